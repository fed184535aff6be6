/* The first rows of a file with what is learnt of them. */
#include "data/survey_int.h"

typedef struct {
    row_reader r;
    uint8_t *takes;
    size_t cap;
} walk;

static ac_status give(walk *w, const ac_row *row, ac_row_format format, const char *path, const ac_survey_opts *o,
                      ac_mask_fn *fn, void *ctx, ac_err *err)
{
    const size_t last = ac_row_last_answer(row);
    ac_mask_row m = { .row = row };
    if (row->n_messages > w->cap) {
        uint8_t *p = ac_realloc(w->takes, row->n_messages);
        if (!p) return ac_fail_nomem(err, row->n_messages);
        w->takes = p;
        w->cap = row->n_messages;
    }
    for (size_t i = 0; i < row->n_messages; i++) w->takes[i] = ac_row_takes(row, i, last, o->data.mask);
    m.takes = w->takes;
    if (o->tok) {
        const ac_status st = ac_row_code(&w->r.coder, row, format, path, err);
        if (st) return st;
        m.ids = w->r.coder.text.ids.id;
        m.target = w->r.coder.target;
        m.n = w->r.coder.text.ids.n;
        for (size_t i = 0; i < m.n; i++) m.n_target += m.target[i];
    }
    return fn(ctx, &m, err);
}

static ac_status walk_rows(walk *w, ac_stream *s, ac_block *b, ac_row_format format, size_t n, const ac_survey_opts *o,
                           ac_mask_fn *fn, void *ctx, ac_err *err)
{
    bool end = false;
    size_t given = 0;
    while (given < n) {
        const ac_status st = ac_stream_next(s, b, &end, err);
        if (st || end) return st;
        ac_items x;
        ac_item it;
        ac_items_start(&x, s, b);
        while (given < n && ac_items_next(&x, &it)) {
            ac_row row = { 0 };
            ac_err own = { "" };
            ac_status one = row_read(&w->r, &row, NULL, &it, format, s->path, &own);
            if (!one) one = give(w, &row, format, s->path, o, fn, ctx, &own);
            if (one && one != AC_EFORMAT) return ac_fail(err, one, "%s", own.text);
            given += one == AC_OK;
        }
    }
    return AC_OK;
}

ac_status ac_mask_walk(const char *path, ac_row_format format, size_t n, const ac_survey_opts *o, ac_mask_fn *fn,
                       void *ctx, ac_err *err)
{
    ac_stream s;
    ac_block b = { 0 };
    walk w = { .r = { .coder = { .tok = o->tok, .chat = o->chat, .opts = &o->data } } };
    ac_status st = ac_stream_open(&s, path, err);
    if (st) return st;
    st = walk_rows(&w, &s, &b, format, n, o, fn, ctx, err);
    ac_block_release(&b);
    ac_stream_close(&s);
    row_reader_release(&w.r);
    ac_free(w.takes);
    return st;
}
