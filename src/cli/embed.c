#include "cli/embed.h"

#include "base/size.h"

static ac_status one(float *out, ac_loaded *l, ac_view text, ac_ids *ids, ac_err *err)
{
    static const uint32_t start = 0;
    ids->n = 0;
    const ac_status st = ac_tokenizer_encode(l->tokenizer, ac_view_slice(text, 0, AC_EMBED_TOKENS * 16), 0, ids, err);
    if (st || !ids->n) return st;
    const ac_unit unit = { .ids = ids->id, .n = ids->n < AC_EMBED_TOKENS ? ids->n : AC_EMBED_TOKENS, .doc_start = &start, .n_docs = 1 };
    return ac_model_embed(l->model, &unit, 1, out, err);
}

ac_status ac_embed_texts(float **out, ac_loaded *l, ac_cli *cli, const ac_view *text, size_t n, const char *what, ac_arena *a,
                         ac_err *err)
{
    const size_t hidden = ac_model_get_config(l->model)->hidden;
    ac_ids ids = { 0 };
    size_t floats = 0;
    float *v = ac_size_mul(&floats, n + 1, hidden) ? ac_arena_alloc_array(a, floats, sizeof *v) : NULL;
    ac_status st = v ? AC_OK : ac_fail_nomem(err, floats * sizeof *v);
    if (cli) ac_cli_stage(cli, what, "texts", n);
    for (size_t i = 0; i < n && !st; i++) {
        st = one(v + i * hidden, l, text[i], &ids, err);
        if (cli) ac_cli_stage_at(cli, i + 1);
    }
    if (cli) ac_cli_stage_end(cli);
    ac_ids_release(&ids);
    if (!st) *out = v;
    return st;
}
