/* Opening a chat format, and the pen that writes conversations as ids. */
#include "tokenizer/chat.h"

#include <string.h>

#include "base/size.h"
#include "tokenizer/chat_int.h"

static const char *const format_names[] = {
    [AC_CHAT_CHATML] = "chatml", [AC_CHAT_SMOLLM2] = "smollm2", [AC_CHAT_LLAMA2] = "llama2",
    [AC_CHAT_LLAMA3] = "llama3", [AC_CHAT_QWEN2] = "qwen2",     [AC_CHAT_QWEN3] = "qwen3",
    [AC_CHAT_MISTRAL] = "mistral", [AC_CHAT_GEMMA] = "gemma",   [AC_CHAT_PHI3] = "phi3",
    [AC_CHAT_ZEPHYR] = "zephyr", [AC_CHAT_PLAIN] = "plain",
};
#define NAMES "chatml, smollm2, llama2, llama3, qwen2, qwen3, mistral, gemma, phi3, zephyr or plain"

static const char *const role_names[] = { "system", "user", "assistant", "tool" };

const char *ac_role_name(ac_role r)
{
    return role_names[r];
}

bool ac_role_parse(ac_view name, ac_role *out)
{
    for (size_t i = 0; i < AC_COUNTOF(role_names); i++)
        if (ac_view_eq_str(name, role_names[i])) {
            *out = (ac_role)i;
            return true;
        }
    return false;
}

const char *ac_chat_format_name(ac_chat_format f)
{
    return format_names[f];
}

ac_chat_style ac_chat_style_of(ac_chat_format f)
{
    ac_chat_style s = { .format = f, .open = "[INST] ", .close = " [/INST]", .before_answer = "",
                        .after_eos = "", .system_place = AC_SYS_FIRST_USER };
    s.bos = f == AC_CHAT_LLAMA2 || f == AC_CHAT_LLAMA3 || f == AC_CHAT_MISTRAL || f == AC_CHAT_GEMMA;
    s.trim = f == AC_CHAT_LLAMA2 || f == AC_CHAT_LLAMA3 || f == AC_CHAT_GEMMA;
    return s;
}

/* ---- opening ---- */

static bool is_added(const ac_tokenizer *t, int32_t id)
{
    return id >= 0 && t->spec.flags[id] & AC_TOKF_ADDED;
}

static int32_t added_id(const ac_tokenizer *t, const char *spelling)
{
    const int32_t id = ac_tokenizer_find(t, ac_view_of(spelling));
    return is_added(t, id) ? id : -1;
}

static void add_stop(ac_chat *c, int32_t id)
{
    if (id < 0 || c->n_stops == AC_CHAT_MAX_STOPS) return;
    for (size_t i = 0; i < c->n_stops; i++)
        if (c->stop[i] == id) return;
    c->stop[c->n_stops++] = id;
}

/* The token that ends an assistant's turn; NULL: EOS does. */
static const char *end_of_turn(ac_chat_format f)
{
    switch (f) {
    case AC_CHAT_CHATML: case AC_CHAT_SMOLLM2: case AC_CHAT_QWEN2: case AC_CHAT_QWEN3: return "<|im_end|>";
    case AC_CHAT_LLAMA3: return "<|eot_id|>";
    case AC_CHAT_GEMMA: return "<end_of_turn>";
    case AC_CHAT_PHI3: return "<|end|>";
    case AC_CHAT_LLAMA2: case AC_CHAT_MISTRAL: case AC_CHAT_ZEPHYR: case AC_CHAT_PLAIN: return NULL;
    }
    return NULL;
}

static ac_status find_stops(ac_chat *c, ac_err *err)
{
    static const char *const more[] = { "<|end_of_text|>", "<|eom_id|>", "<|endoftext|>", "<eos>" };
    const char *end = end_of_turn(c->style.format), *name = format_names[c->style.format];
    const ac_tokspec *s = &c->t->spec;
    if (end && added_id(c->t, end) < 0)
        return ac_fail(err, AC_EFORMAT, AC_VIEW_FMT ": the chat format %s ends turns with %s, which is not in "
                       "this vocabulary; set chat_format: to another", AC_VIEW_ARG(s->source), name, end);
    if (!end && s->eos < 0)
        return ac_fail(err, AC_EFORMAT, AC_VIEW_FMT ": the chat format %s ends turns with the end-of-sequence "
                       "token, and this tokenizer names none", AC_VIEW_ARG(s->source), name);
    add_stop(c, end ? added_id(c->t, end) : s->eos);
    add_stop(c, s->eos);
    add_stop(c, s->eot);
    for (size_t i = 0; i < AC_COUNTOF(more); i++) add_stop(c, added_id(c->t, more[i]));
    return AC_OK;
}

static ac_status unknown_name(const char *name, ac_err *err)
{
    size_t best = 0;
    unsigned least = 99;
    for (size_t i = 0; i < AC_COUNTOF(format_names); i++) {
        const unsigned d = ac_edit_distance(ac_view_of(name), ac_view_of(format_names[i]), 99);
        if (d < least) {
            least = d;
            best = i;
        }
    }
    return ac_fail(err, AC_EARG, "chat_format: \"%s\" is unknown; did you mean %s? Known are " NAMES, name,
                   format_names[best]);
}

static ac_status choose(ac_chat_style *out, const ac_tokenizer *t, const char *override, ac_err *err)
{
    ac_chat_style seen;
    const ac_view text = t->spec.chat_template;
    const bool known = text.len > 0 && ac_chat_detect(&seen, text);
    if (override) {
        for (size_t i = 0; i < AC_COUNTOF(format_names); i++) {
            if (strcmp(override, format_names[i]) != 0) continue;
            const bool same = known && seen.format == (ac_chat_format)i;
            *out = same ? seen : ac_chat_style_of((ac_chat_format)i);
            if (i == AC_CHAT_PLAIN) out->bos = t->spec.add_bos;
            return AC_OK;
        }
        return unknown_name(override, err);
    }
    if (known) {
        *out = seen;
        return AC_OK;
    }
    return ac_fail(err, AC_EFORMAT, AC_VIEW_FMT ": %s; set chat_format: to " NAMES, AC_VIEW_ARG(t->spec.source),
                   text.len > 0 ? "the model's chat template is none of the known ones"
                                : "the model has no chat template");
}

ac_status ac_chat_open(ac_chat **out, const ac_tokenizer *t, const char *override, ac_err *err)
{
    ac_chat *c = ac_calloc(1, sizeof *c);
    if (!c) return ac_fail_nomem(err, sizeof *c);
    c->t = t;
    ac_status st = choose(&c->style, t, override, err);
    if (!st) st = find_stops(c, err);
    if (st) {
        ac_chat_close(&c);
        return st;
    }
    *out = c;
    return AC_OK;
}

void ac_chat_close(ac_chat **c)
{
    ac_free(*c);
    *c = NULL;
}

ac_chat_format ac_chat_format_of(const ac_chat *c)
{
    return c->style.format;
}

const int32_t *ac_chat_stop_ids(const ac_chat *c, size_t *n)
{
    *n = c->n_stops;
    return c->stop;
}

/* ---- the pen ---- */

void ac_rendered_release(ac_rendered *r)
{
    ac_ids_release(&r->ids);
    ac_free(r->message);
    ac_free(r->said);
    *r = (ac_rendered){ 0 };
}

/* Gives the ids from n_before on the pen's message and said. */
static void label(ac_pen *p, size_t n_before)
{
    ac_rendered *r = p->out;
    if (!p->st && r->ids.n > r->cap) {
        const size_t cap = r->ids.cap;
        int32_t *message = ac_realloc(r->message, cap * sizeof *message);
        if (message) r->message = message;
        uint8_t *said = message ? ac_realloc(r->said, cap * sizeof *said) : NULL;
        if (said) {
            r->said = said;
            r->cap = cap;
        } else {
            p->st = ac_fail_nomem(p->err, cap * 5ull);
        }
    }
    for (size_t i = n_before; !p->st && i < r->ids.n; i++) {
        r->message[i] = p->message;
        r->said[i] = p->said;
    }
}

void ac_pen_cut(ac_pen *p)
{
    const size_t n = p->out->ids.n;
    if (!p->st && !ac_str_ok(&p->run)) p->st = ac_fail_nomem(p->err, p->run.len);
    if (p->st || p->run.len == 0) return;
    p->st = ac_tokenizer_encode(p->c->t, ac_str_view(&p->run), p->fresh ? 0 : AC_ENCODE_CONTINUE, &p->out->ids,
                                p->err);
    label(p, n);
    p->fresh = false;
    ac_str_reset(&p->run);
}

void ac_pen_text(ac_pen *p, ac_view text)
{
    if (p->st) return;
    if (p->eat && p->run.len == 0) {
        size_t at = 0, len;
        while (at < text.len && ac_char_class_at(text.ptr + at, text.len - at, &len) == AC_CH_SPACE) at += len;
        text = ac_view_slice(text, at, text.len);
        if (text.len == 0) return;
        p->eat = false;
    }
    ac_str_append(&p->run, text);
}

void ac_pen_c(ac_pen *p, const char *text)
{
    ac_pen_text(p, ac_view_of(text));
}

void ac_pen_id(ac_pen *p, int32_t id)
{
    if (id < 0) return;
    ac_pen_cut(p);
    const size_t n = p->out->ids.n;
    if (p->st) return;
    p->st = ac_ids_push(&p->out->ids, id, p->err);
    label(p, n);
    p->fresh = true;
    p->eat = (p->c->t->spec.flags[id] & AC_TOKF_RSTRIP) != 0;
}

void ac_pen_token(ac_pen *p, const char *spelling)
{
    const int32_t id = added_id(p->c->t, spelling);
    if (id >= 0) ac_pen_id(p, id);
    else ac_pen_c(p, spelling);
}

void ac_pen_at(ac_pen *p, int32_t message, uint8_t said)
{
    if (message != p->message || said != p->said) ac_pen_cut(p);
    p->message = message;
    p->said = said;
}

/* What str.strip removes: Unicode's white space and the four separators from U+001C on. */
static bool is_strippable(const char *at, size_t remaining, size_t *len)
{
    const unsigned char c = (unsigned char)*at;
    if (c >= 0x1c && c <= 0x1f) {
        *len = 1;
        return true;
    }
    return ac_char_class_at(at, remaining, len) == AC_CH_SPACE;
}

ac_view ac_chat_trim(ac_view v, bool left, bool right)
{
    size_t len;
    while (left && v.len > 0 && is_strippable(v.ptr, v.len, &len)) v = ac_view_slice(v, len, v.len);
    while (right && v.len > 0) {
        size_t at = v.len - 1;
        while (at > 0 && ((unsigned char)v.ptr[at] & 0xc0) == 0x80) at--;
        if (!is_strippable(v.ptr + at, v.len - at, &len) || len != v.len - at) break;
        v.len = at;
    }
    return v;
}
