/* Rows to token ids and masks (T2, T3, T5). */
#include <string.h>

#include "base/size.h"
#include "data/data_int.h"

typedef struct {
    const ac_row_file *rows;
    const ac_tokenizer *tok;
    const ac_chat *chat;
    const ac_data_opts *opts;
    ac_dataset *d;
    ac_rendered text;           /* of the row in hand */
    uint8_t *target;
    size_t target_cap;
    size_t n_long, long_line, long_tokens;      /* rows over the context, the first of them */
} build;

static ac_status room_for_targets(build *b, size_t n, ac_err *err)
{
    if (n <= b->target_cap) return AC_OK;
    uint8_t *p = ac_realloc(b->target, n);
    if (!p) return ac_fail_nomem(err, n);
    b->target = p;
    b->target_cap = n;
    return AC_OK;
}

/* A plain text: every token but the first counts, the end-of-text token too where it is asked for. */
static ac_status encode_text(build *b, const ac_row *r, ac_err *err)
{
    ac_ids_reset(&b->text.ids);
    const unsigned flags = AC_ENCODE_BOS | (b->opts->text_eos ? AC_ENCODE_EOS : 0);
    ac_status st = ac_tokenizer_encode(b->tok, r->message[0].content, flags, &b->text.ids, err);
    if (!st) st = room_for_targets(b, b->text.ids.n, err);
    if (!st && b->text.ids.n) memset(b->target, 1, b->text.ids.n);
    return st;
}

/* Does the mask take this message? The row's own word goes first. */
static bool takes(const ac_row *r, size_t i, size_t last_assistant, ac_mask mask)
{
    const ac_message *m = &r->message[i];
    if (m->train >= 0) return m->train > 0;
    if (m->role != AC_ROLE_ASSISTANT) return false;
    return mask == AC_MASK_ALL_TURNS || i == last_assistant;
}

static void mask_turns(build *b, const ac_row *r)
{
    const ac_rendered *t = &b->text;
    const ac_mask mask = b->opts->mask;
    size_t last = SIZE_MAX;
    for (size_t i = 0; i < r->n_messages; i++)
        if (r->message[i].role == AC_ROLE_ASSISTANT) last = i;
    for (size_t i = 0; i < t->ids.n; i++) {
        const int32_t at = t->message[i];
        const bool known = at >= 0 && (size_t)at < r->n_messages;
        bool on;
        if (mask == AC_MASK_NONE) on = !known || r->message[at].train != 0;
        else on = known && t->said[i] && takes(r, (size_t)at, last, mask);
        b->target[i] = on ? 1 : 0;
    }
}

static ac_status encode_turns(build *b, const ac_row *r, ac_err *err)
{
    ac_status st = ac_chat_render(b->chat, r->message, r->n_messages, false, &b->text, err);
    if (st) return ac_err_prefix(err, st, "%s:%zu", b->rows->path, r->line);
    if ((st = room_for_targets(b, b->text.ids.n, err))) return st;
    mask_turns(b, r);
    return AC_OK;
}

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
    const size_t n = b->text.ids.n;
    size_t n_target = 0;
    if (n) b->target[0] = 0;
    for (size_t i = 0; i < n; i++) n_target += b->target[i];
    if (n_target == 0)
        return ac_fail(err, AC_EFORMAT, "%s:%zu: row has no supervised token %s", b->rows->path, r->line,
                       why_no_target(b, r, cut));
    int32_t *ids = ac_arena_alloc_array(&d->arena, n, sizeof *ids);
    uint8_t *target = ac_arena_alloc(&d->arena, n);
    if (!ids || !target) return ac_fail_nomem(err, n * 5);
    memcpy(ids, b->text.ids.id, n * sizeof *ids);
    memcpy(target, b->target, n);
    d->sample[d->n++] = (ac_sample){ ids, target, n, n_target, r->line };
    d->n_tokens += n;
    d->n_targets += n_target;
    if (n > d->max_len) d->max_len = n;
    return AC_OK;
}

static ac_status one_row(build *b, const ac_row *r, ac_err *err)
{
    const ac_status st = b->rows->format == AC_FORMAT_TEXT ? encode_text(b, r, err) : encode_turns(b, r, err);
    if (st) return st;
    const size_t max = b->opts->max_len;
    const bool longer = b->text.ids.n > max;
    if (longer) {
        if (b->n_long++ == 0) {
            b->long_line = r->line;
            b->long_tokens = b->text.ids.n;
        }
        if (b->opts->on_long == AC_LONG_REFUSE) return AC_OK;     /* named when all were counted */
        if (b->opts->on_long == AC_LONG_DROP) {
            b->d->n_dropped++;
            return AC_OK;
        }
        b->text.ids.n = max;
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
                       b->long_line, b->long_tokens, b->opts->max_len, b->n_long, b->n_long == 1 ? "" : "s");
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
    build b = { .rows = rows, .tok = tok, .chat = chat, .opts = opts, .d = &d };
    const ac_status st = all_rows(&b, sink, err);
    ac_rendered_release(&b.text);
    ac_free(b.target);
    if (st) ac_dataset_release(&d);
    else *out = d;
    return st;
}

void ac_dataset_release(ac_dataset *d)
{
    ac_arena_release(&d->arena);
    *d = (ac_dataset){ 0 };
}
