#include "cli/commands.h"
#include "cli/human.h"
#include "cli/load.h"
#include "cli/table.h"
#include "data/data.h"
#include "formats/json.h"

/* Rows go through the model in groups of about so many tokens: large enough to keep the products busy. */
#define GROUP_TOKENS 2048
#define GROUP_ROWS   32

static const char *const masks[] = { "assistant", "last", "none", NULL };                 /* ac_mask */
static const char *const longs[] = { "refuse", "truncate", "drop", NULL };                /* ac_on_long */
static const char *const formats[] = { "auto", "messages", "prompt-completion", "text", "alpaca", "sharegpt",
                                       NULL };                                            /* ac_row_format */

static struct {
    const char *model, *adapter, *data, *chat_format;
    int mask, on_long, format;
    int64_t max_len, limit;
    bool rows, eos;
} a;

static const ac_opt options[] = {
    AC_OPT_GROUP("Model"),
    AC_OPT_PATH_REQ('m', "model", &a.model, "path", "GGUF file, folder, or a pulled model's name"),
    AC_OPT_PATH('a', "adapter", &a.adapter, "folder", "adapter in PEFT's layout, or a run folder; or weights trained from this model"),
    AC_OPT_GROUP("Rows"),
    AC_OPT_PATH_REQ('d', "data", &a.data, "file", "rows, one JSON object a line"),
    AC_OPT_ENUM(0, "format", &a.format, formats, "of the rows; auto decides once, from all of them"),
    AC_OPT_ENUM(0, "mask", &a.mask, masks, "which tokens count: all assistant turns, the last one, or all text"),
    AC_OPT_STR(0, "chat-format", &a.chat_format, "name", "instead of the one recognised from the model"),
    AC_OPT_INT(0, "max-len", &a.max_len, 0, 1e9, "tokens", "longest row; 0: the model's context"),
    AC_OPT_ENUM(0, "on-long", &a.on_long, longs, "what to do with a longer row"),
    AC_OPT_BOOL(0, "eos", &a.eos, "end plain text rows with the end-of-text token, as training does"),
    AC_OPT_INT(0, "limit", &a.limit, 0, 1e9, "n", "score only the first n rows; 0: all"),
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL(0, "rows", &a.rows, "a line for each row in the text too; --json always has them"),
    AC_OPT_END
};

static ac_status load_rows(ac_loaded *l, ac_row_file *rows, ac_dataset *set, const ac_cli *cli, ac_err *err)
{
    const size_t context = ac_model_get_config(l->model)->context;
    const ac_data_opts o = { .mask = (ac_mask)a.mask, .on_long = (ac_on_long)a.on_long,
                             .text_eos = a.eos, .max_len = a.max_len ? (size_t)a.max_len : context };
    if (o.max_len > context)
        return ac_fail(err, AC_EARG, "--max-len %lld is more than the model's context of %zu",
                       (long long)a.max_len, context);
    ac_status st = ac_rows_read(rows, a.data, (ac_row_format)a.format, err);
    if (st) return st;
    if (a.limit && (size_t)a.limit < rows->n) rows->n = (size_t)a.limit;
    if (rows->format != AC_FORMAT_TEXT) st = ac_load_chat(l, a.chat_format, err);
    else if (a.chat_format) st = ac_fail(err, AC_EARG, "--chat-format has no meaning for rows of plain text");
    return st ? st : ac_dataset_build(set, rows, l->tokenizer, l->chat, &o, &cli->sink, err);
}

static ac_status score(ac_cli *cli, const ac_loaded *l, const ac_dataset *set, double *nll, ac_err *err)
{
    static const uint32_t zero = 0;
    ac_unit unit[GROUP_ROWS];
    ac_status st = AC_OK;
    uint64_t tokens = 0;
    ac_cli_stage(cli, "scoring", "tokens", set->n_tokens);
    for (size_t i = 0; i < set->n && !st;) {
        size_t n = 0, group = 0;
        for (; n < GROUP_ROWS && i + n < set->n && (n == 0 || group + set->sample[i + n].n <= GROUP_TOKENS); n++) {
            const ac_sample *s = &set->sample[i + n];
            unit[n] = (ac_unit){ .ids = s->ids, .target = s->target, .n = s->n, .doc_start = &zero, .n_docs = 1,
                                 .index = i + n };
            group += s->n;
        }
        st = ac_model_nll(l->model, l->adapter, unit, n, nll + i, NULL, err);
        i += n;
        tokens += group;
        if (!st) ac_cli_stage_at(cli, tokens);
    }
    if (!st) ac_cli_stage_end(cli);
    return st;
}

static void as_json(ac_str *s, const ac_loaded *l, const ac_row_file *rows, const ac_dataset *set,
                    const double *nll, double total)
{
    char hex[AC_SHA256_HEX];
    ac_jw w;
    ac_sha256_hex(hex, &rows->hash);
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "model", l->path);
    ac_jw_cstr(&w, "adapter", a.adapter);
    ac_jw_cstr(&w, "data", rows->path);
    ac_jw_cstr(&w, "data_sha256", hex);
    ac_jw_cstr(&w, "format", ac_row_format_name(rows->format));
    ac_jw_array(&w, "rows");
    for (size_t i = 0; i < set->n; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_u64(&w, "line", set->sample[i].line);
        ac_jw_u64(&w, "tokens", set->sample[i].n);
        ac_jw_u64(&w, "supervised", set->sample[i].n_target);
        ac_jw_f64(&w, "nll", nll[i]);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_object(&w, "total");
    ac_jw_u64(&w, "rows", set->n);
    ac_jw_u64(&w, "tokens", set->n_tokens);
    ac_jw_u64(&w, "supervised", set->n_targets);
    ac_jw_u64(&w, "truncated", set->n_truncated);
    ac_jw_u64(&w, "dropped", set->n_dropped);
    ac_jw_f64(&w, "nll", total);
    ac_jw_f64(&w, "mean", total / (double)set->n_targets);
    ac_jw_end_object(&w);
    ac_jw_end_object(&w);
}

static ac_status rows_text(ac_str *s, const ac_dataset *set, const double *nll, bool color, ac_err *err)
{
    static const char *const head[] = { "line", "tokens", "supervised", "nll", "mean" };
    ac_table t;
    ac_table_init(&t, "rrrrr", head);
    for (size_t i = 0; i < set->n; i++) {
        const ac_sample *e = &set->sample[i];
        ac_table_cellf(&t, "%zu", e->line);
        ac_table_cellf(&t, "%zu", e->n);
        ac_table_cellf(&t, "%zu", e->n_target);
        ac_table_cellf(&t, "%.4f", nll[i]);
        ac_table_cellf(&t, "%.4f", nll[i] / (double)e->n_target);
    }
    const ac_status st = ac_table_render(&t, s, 0, color, err);
    ac_str_append_char(s, '\n');
    ac_table_release(&t);
    return st;
}

static ac_status show(ac_cli *cli, const ac_loaded *l, const ac_row_file *rows, const ac_dataset *set,
                      const double *nll, ac_err *err)
{
    ac_str s = { 0 };
    double total = 0;
    for (size_t i = 0; i < set->n; i++) total += nll[i];
    ac_status st = AC_OK;
    if (cli->json) {
        as_json(&s, l, rows, set, nll, total);
    } else {
        char tokens[32], supervised[32];
        if (a.rows) st = rows_text(&s, set, nll, cli->color, err);
        ac_human_count(tokens, set->n_tokens);
        ac_human_count(supervised, set->n_targets);
        ac_str_appendf(&s, "%zu row%s, %s tokens, %s supervised; nll %.4f, mean %.6f, perplexity %.3f\n", set->n, ac_plural(set->n),
                       tokens, supervised, total, total / (double)set->n_targets,
                       ac_exp_f64(total / (double)set->n_targets));
        if (set->n_truncated || set->n_dropped)
            ac_str_appendf(&s, "%zu row%s truncated, %zu dropped as too long\n", set->n_truncated, ac_plural(set->n_truncated), set->n_dropped);
    }
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_loaded l = { 0 };
    ac_row_file rows = { .n = 0 };
    ac_dataset set = { .n = 0 };
    double *nll = NULL;
    ac_status st = ac_load_model(&l, cli, a.model, a.adapter, err);
    if (!st) st = ac_load_tokenizer(&l, a.model, err);
    if (!st) st = load_rows(&l, &rows, &set, cli, err);
    if (!st && set.n_targets == 0) st = ac_fail(err, AC_EFORMAT, "%s: no row is left to score", a.data);
    if (!st && !(nll = ac_calloc(set.n, sizeof *nll))) st = ac_fail_nomem(err, set.n * sizeof *nll);
    if (!st) st = score(cli, &l, &set, nll, err);
    if (!st) st = show(cli, &l, &rows, &set, nll, err);
    ac_free(nll);
    ac_dataset_release(&set);
    ac_rows_release(&rows);
    ac_loaded_release(&l);
    return st;
}

static const char *const examples[] = {
    "accord score --model smollm2-135m-instruct --data valid.jsonl",
    "accord score --model base.gguf --adapter .accord/runs/latest --data valid.jsonl --json",
    NULL
};

const ac_cmd ac_cmd_score = {
    .name = "score",
    .group = "Use",
    .summary = "how well a model predicts rows: negative log likelihood of each",
    .text = "Each row is rendered and masked as training would do it, and the negative log likelihoods of its "
            "supervised tokens are summed (natural logarithm). --json gives tokens, supervised tokens and the sum for "
            "each row, and the total. The figures do not depend on threads or instruction set.",
    .examples = examples,
    .options = options,
    .run = run,
};
