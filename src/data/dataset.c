/* Rows to token ids and masks (T2, T3, T5). */
#include <string.h>

#include "base/size.h"
#include "data/data_int.h"

typedef struct {
    const ac_row_file *rows;
    ac_row_coder code;          /* the row in hand */
    const ac_data_opts *opts;
    ac_dataset *d;
    size_t n_long, long_line, long_tokens;      /* rows over the context, the first of them */
} build;

/* ---- one row ---- */

void ac_row_coder_release(ac_row_coder *c)
{
    ac_rendered_release(&c->text);
    ac_free(c->target);
    c->target = NULL;
    c->target_cap = 0;
}

static ac_status room_for_targets(ac_row_coder *c, size_t n, ac_err *err)
{
    if (n <= c->target_cap) return AC_OK;
    uint8_t *p = ac_realloc(c->target, n);
    if (!p) return ac_fail_nomem(err, n);
    c->target = p;
    c->target_cap = n;
    return AC_OK;
}

/* A plain text: every token but the first counts, the end-of-text token too where it is asked for. */
static ac_status encode_text(ac_row_coder *c, const ac_row *r, ac_err *err)
{
    ac_ids_reset(&c->text.ids);
    const unsigned flags = AC_ENCODE_BOS | (c->opts->text_eos ? AC_ENCODE_EOS : 0);
    ac_status st = ac_tokenizer_encode(c->tok, r->message[0].content, flags, &c->text.ids, err);
    if (!st) st = room_for_targets(c, c->text.ids.n, err);
    if (!st && c->text.ids.n) memset(c->target, 1, c->text.ids.n);
    return st;
}

size_t ac_row_last_answer(const ac_row *r)
{
    for (size_t i = r->n_messages; i > 0; i--)
        if (r->message[i - 1].role == AC_ROLE_ASSISTANT) return i - 1;
    return SIZE_MAX;
}

bool ac_row_takes(const ac_row *r, size_t i, size_t last_answer, ac_mask mask)
{
    const ac_message *m = &r->message[i];
    if (mask == AC_MASK_NONE) return m->train != 0;
    if (m->train >= 0) return m->train > 0;
    if (m->role != AC_ROLE_ASSISTANT) return false;
    return mask == AC_MASK_ALL_TURNS || i == last_answer;
}

static void mask_turns(ac_row_coder *c, const ac_row *r)
{
    const ac_rendered *t = &c->text;
    const ac_mask mask = c->opts->mask;
    const size_t last = ac_row_last_answer(r);
    for (size_t i = 0; i < t->ids.n; i++) {
        const int32_t at = t->message[i];
        const bool known = at >= 0 && (size_t)at < r->n_messages;
        bool on;
        if (mask == AC_MASK_NONE) on = !known || ac_row_takes(r, (size_t)at, last, mask);
        else on = known && t->said[i] && ac_row_takes(r, (size_t)at, last, mask);
        c->target[i] = on ? 1 : 0;
    }
}

ac_status ac_row_code(ac_row_coder *c, const ac_row *r, ac_row_format format, const char *path, ac_err *err)
{
    ac_status st;
    if (format == AC_FORMAT_TEXT) st = encode_text(c, r, err);
    else {
        st = ac_chat_render(c->chat, r->message, r->n_messages, false, &c->text, err);
        if (st) return ac_err_prefix(err, st, "%s:%zu", path, r->line);
        if (!(st = room_for_targets(c, c->text.ids.n, err))) mask_turns(c, r);
    }
    if (!st && c->text.ids.n) c->target[0] = 0;
    return st;
}

/* ---- all rows ---- */

static const char *why_no_target(const build *b, const ac_row *r, bool cut)
{
    if (cut) return "after cutting it to max_len; raise max_len, shorten the row, or use on_long: drop";
    for (size_t i = 0; i < r->n_messages; i++)
        if (r->message[i].role == AC_ROLE_ASSISTANT)
            return b->rows->format == AC_FORMAT_TEXT ? "(the text is empty); remove the row"
                : "(its assistant turns are empty or marked not to be learnt); remove the row or change the marks";
    return "(it has no assistant turn); add the answer or remove the row";
}

static ac_status store(build *b, const ac_row *r, bool cut, ac_err *err)
{
    ac_dataset *d = b->d;
    const size_t n = b->code.text.ids.n;
    size_t n_target = 0;
    for (size_t i = 0; i < n; i++) n_target += b->code.target[i];
    if (n_target == 0)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: row has no supervised token %s", b->rows->path, r->line,
                       why_no_target(b, r, cut));
    int32_t *ids = ac_arena_alloc_array(&d->arena, n, sizeof *ids);
    uint8_t *target = ac_arena_alloc(&d->arena, n);
    if (!ids || !target) return ac_fail_nomem(err, n * 5);
    memcpy(ids, b->code.text.ids.id, n * sizeof *ids);
    memcpy(target, b->code.target, n);
    d->sample[d->n++] = (ac_sample){ ids, target, n, n_target, r->line };
    d->n_tokens += n;
    d->n_targets += n_target;
    if (n > d->max_len) d->max_len = n;
    return AC_OK;
}

static ac_status one_row(build *b, const ac_row *r, ac_err *err)
{
    const ac_status st = ac_row_code(&b->code, r, b->rows->format, b->rows->path, err);
    if (st) return st;
    const size_t max = b->opts->max_len;
    const bool longer = b->code.text.ids.n > max;
    if (longer) {
        if (b->n_long++ == 0) {
            b->long_line = r->line;
            b->long_tokens = b->code.text.ids.n;
        }
        if (b->opts->on_long == AC_LONG_REFUSE) return AC_OK;     /* named when all were counted */
        if (b->opts->on_long == AC_LONG_DROP) {
            b->d->n_dropped++;
            return AC_OK;
        }
        b->code.text.ids.n = max;
        b->d->n_truncated++;
    }
    return store(b, r, longer, err);
}

static ac_status all_rows(build *b, const ac_sink *sink, ac_err *err)
{
    const ac_row_file *f = b->rows;
    ac_dataset *d = b->d;
    ac_event e = { .kind = AC_EV_STAGE, .text = "tokenize", .unit = "rows", .total = f->n };
    ac_status st = ac_emit(sink, &e, err);
    if (st) return st;
    if (!(d->sample = ac_arena_alloc_array(&d->arena, f->n, sizeof *d->sample)))
        return ac_fail_nomem(err, f->n * sizeof *d->sample);
    e.kind = AC_EV_PROGRESS;
    for (size_t i = 0; i < f->n; i++) {
        if ((st = one_row(b, &f->row[i], err))) return st;
        e.done = i + 1;
        if (e.done % 256 == 0 && (st = ac_emit(sink, &e, err))) return st;
    }
    e.kind = AC_EV_STAGE_END;
    e.done = f->n;
    if ((st = ac_emit(sink, &e, err))) return st;
    if (b->n_long && b->opts->on_long == AC_LONG_REFUSE)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: row has %zu tokens, max_len is %zu (%zu such row%s in the file); "
                       "shorten, raise data.max_len, or set data.on_long to truncate or drop", f->path,
                       b->long_line, b->long_tokens, b->opts->max_len, b->n_long, ac_plural(b->n_long));
    if (d->n == 0)
        return ac_fail(err, AC_EFORMAT, "%s: all %zu rows are longer than max_len %zu and were dropped; raise "
                       "data.max_len", f->path, f->n, b->opts->max_len);
    return AC_OK;
}

ac_status ac_dataset_build(ac_dataset *out, const ac_row_file *rows, const ac_tokenizer *tok,
                           const ac_chat *chat, const ac_data_opts *opts, const ac_sink *sink, ac_err *err)
{
    if (opts->max_len < 2)
        return ac_fail(err, AC_EARG, "max_len is %zu; expected at least 2 tokens", opts->max_len);
    if (!chat && rows->format != AC_FORMAT_TEXT)
        return ac_fail(err, AC_EARG, "%s: rows of format %s need a chat format; set base.chat_format", rows->path,
                       ac_row_format_name(rows->format));
    ac_dataset d = { 0 };
    build b = { .rows = rows, .opts = opts, .d = &d, .code = { .tok = tok, .chat = chat, .opts = opts } };
    const ac_status st = all_rows(&b, sink, err);
    ac_row_coder_release(&b.code);
    if (st) ac_dataset_release(&d);
    else *out = d;
    return st;
}

void ac_dataset_release(ac_dataset *d)
{
    ac_arena_release(&d->arena);
    *d = (ac_dataset){ 0 };
}
