#include <string.h>

#include "base/file.h"
#include "base/pool.h"
#include "base/size.h"
#include "base/time.h"
#include "cli/check_show.h"
#include "cli/commands.h"
#include "cli/load.h"
#include "contract/contract.h"
#include "contract/texts.h"

static struct {
    ac_opt_list files;
    const char *model, *chat_format, *rules, *cases, *docs;
    int mask, on_long;
    int64_t show_mask, max_len, limit;
    bool near, scan;
} a = { .limit = 50, .near = true, .scan = true };

static const char *const masks[] = { "assistant", "last", "none", NULL };                 /* ac_mask */
static const char *const longs[] = { "refuse", "truncate", "drop", NULL };                /* ac_on_long */

static const ac_opt options[] = {
    AC_OPT_ARGS("FILE", &a.files, 0, AC_OPT_LIST_MAX, "rows to check, or a folder with train.jsonl, valid.jsonl, "
                "test.jsonl; without files, --cases and --docs: what accord.yaml names"),
    AC_OPT_PATH(0, "cases", &a.cases, "file", "check these cases too, and whether they stand in the rows"),
    AC_OPT_PATH(0, "docs", &a.docs, "dir", "check the documents in this folder too"),
    AC_OPT_GROUP("Tokens, for files given here; else accord.yaml says"),
    AC_OPT_PATH('m', "model", &a.model, "path", "count lengths and masks in this model's tokens; without it, in words"),
    AC_OPT_STR(0, "chat-format", &a.chat_format, "name", "instead of the one recognised from the model"),
    AC_OPT_ENUM(0, "mask", &a.mask, masks, "which tokens are trained: all assistant turns, the last one, or all text"),
    AC_OPT_INT(0, "max-len", &a.max_len, 0, 1e9, "n", "longest row, in tokens or words; 0: any length"),
    AC_OPT_ENUM(0, "on-long", &a.on_long, longs, "what training does with longer rows"),
    AC_OPT_GROUP("Checks"),
    AC_OPT_BOOL(0, "near", &a.near, "look for near duplicates"),
    AC_OPT_BOOL(0, "scan", &a.scan, "look for secrets and personal data"),
    AC_OPT_PATH(0, "rules", &a.rules, "file", "gitleaks rules (TOML) instead of the built-in ones, or of accord.yaml's"),
    AC_OPT_GROUP("Output"),
    AC_OPT_INT_OR(0, "show-mask", &a.show_mask, 0, 1e6, "3", "n", "print the first n rows of each file with what is "
                  "trained marked; 3 when no number follows"),
    AC_OPT_INT(0, "limit", &a.limit, 0, 1e9, "n", "findings to print at most; 0: all that are kept, 1,000 of a kind"),
    AC_OPT_END
};

#define INPUTS_MAX (AC_OPT_LIST_MAX * 3)

typedef struct {
    ac_cli *cli;
    ac_contract contract;
    ac_loaded l;
    ac_arena arena;
    ac_pool *pool;
    ac_scanner *scanner;
    ac_survey_input in[INPUTS_MAX];
    size_t n_in;
    ac_survey_opts opts;
    ac_survey survey;
    const char *cases_path, *docs_path;
    ac_cases cases;
    ac_case_texts texts;
    ac_rag_text *doc;
    size_t n_docs, n_lists;
    ac_findings *list;                  /* cases and documents, cases among themselves, leaks file by file */
    ac_check_page page;
    ac_str shown;                       /* rows with their masks */
} check;

/* ---- rows with their masks ---- */

static void mark(check *k, bool on)
{
    if (k->cli->color) ac_str_append_c(&k->shown, on ? "\x1b[7m" : "\x1b[0m");
    else ac_str_append_c(&k->shown, on ? "[[" : "]]");
}

/* Trained text stands in reverse video on a terminal, between [[ and ]] elsewhere. */
static ac_status show_tokens(check *k, const ac_mask_row *r, ac_err *err)
{
    ac_str text = { 0 };
    ac_status st = AC_OK;
    ac_str_appendf(&k->shown, "line %zu: %zu tokens, %zu trained\n", r->row->line, r->n, r->n_target);
    for (size_t i = 0; i < r->n && !st;) {
        size_t to = i + 1;
        while (to < r->n && r->target[to] == r->target[i]) to++;
        ac_str_reset(&text);
        st = ac_tokenizer_decode(k->l.tokenizer, r->ids + i, to - i, AC_DECODE_SPECIAL | AC_DECODE_KEEP_PREFIX_SPACE,
                                 &text, err);
        if (r->target[i]) mark(k, true);
        ac_cli_foreign(&k->shown, k->cli, ac_str_view(&text));
        if (r->target[i]) mark(k, false);
        i = to;
    }
    ac_str_append_c(&k->shown, "\n\n");
    if (!st && !ac_str_ok(&text)) st = ac_fail_nomem(err, text.len);
    ac_str_release(&text);
    return st;
}

static void show_turn(check *k, const char *who, const ac_message *m, bool on)
{
    ac_str_appendf(&k->shown, "%s: ", who);
    if (on) mark(k, true);
    ac_cli_foreign(&k->shown, k->cli, m->content);
    if (m->tool_calls.len) ac_cli_foreign(&k->shown, k->cli, m->tool_calls);
    if (on) mark(k, false);
    ac_str_append_char(&k->shown, '\n');
}

static ac_status show_row(void *ctx, const ac_mask_row *r, ac_err *err)
{
    check *k = ctx;
    if (r->ids) return show_tokens(k, r, err);
    ac_str_appendf(&k->shown, "line %zu\n", r->row->line);
    for (size_t i = 0; i < r->row->n_messages; i++)
        show_turn(k, ac_role_name(r->row->message[i].role), &r->row->message[i], r->takes[i] != 0);
    for (size_t i = 0; i < r->row->n_rejected; i++) show_turn(k, "rejected", &r->row->rejected[i], false);
    ac_str_append_char(&k->shown, '\n');
    return AC_OK;
}

/* ---- the files ---- */

static ac_status add_input(check *k, const char *path, ac_split split, ac_err *err)
{
    if (k->n_in == INPUTS_MAX) return ac_fail(err, AC_EARG, "more than %d files", INPUTS_MAX);
    k->in[k->n_in++] = (ac_survey_input){ path, split };
    return AC_OK;
}

/* mlx-lm's folder: train.jsonl, and two files that may be missing. */
static ac_status add_folder(check *k, const char *dir, ac_err *err)
{
    static const char *const names[] = { "train.jsonl", "valid.jsonl", "test.jsonl" };
    for (size_t i = 0; i < AC_COUNTOF(names); i++) {
        const char *path = ac_path_join(&k->arena, dir, names[i]);
        if (!path) return ac_fail_nomem(err, strlen(dir));
        if (i > 0 && !ac_path_exists(path)) continue;
        const ac_status st = add_input(k, path, (ac_split)(AC_SPLIT_TRAIN + (int)i), err);
        if (st) return st;
    }
    return AC_OK;
}

static bool from_contract(void)
{
    return !a.files.n && !a.cases && !a.docs;
}

static ac_status name_files(check *k, ac_err *err)
{
    if (!a.files.n && (a.model || a.chat_format || a.mask || a.max_len || a.on_long || a.show_mask))
        return ac_fail(err, AC_EARG, "--model, --chat-format, --mask, --max-len, --on-long and --show-mask are about rows; "
                       "give a file of rows");
    k->cases_path = a.cases;
    k->docs_path = a.docs;
    ac_status st = a.model ? ac_load_tokenizer(&k->l, a.model, err) : AC_OK;
    if (!st && !a.model && a.chat_format) st = ac_fail(err, AC_EARG, "--chat-format needs --model");
    for (size_t i = 0; i < a.files.n && !st; i++)
        st = ac_path_is_dir(a.files.item[i]) ? add_folder(k, a.files.item[i], err)
             : add_input(k, a.files.item[i], ac_split_of(a.files.item[i]), err);
    k->opts.data = (ac_data_opts){ .mask = (ac_mask)a.mask, .on_long = (ac_on_long)a.on_long,
                                   .max_len = (size_t)a.max_len, .text_eos = true };
    return st;
}

static int choice(const char *value, const char *const *names)
{
    int i = 0;
    while (names[i] && strcmp(value, names[i]) != 0) i++;
    return names[i] ? i : 0;
}

static ac_status name_contract(check *k, ac_err *err)
{
    const char *model = NULL, *path;
    if (a.model || a.chat_format || a.mask || a.max_len || a.on_long)
        return ac_fail(err, AC_EARG, "--model, --chat-format, --mask, --max-len and --on-long go with files; accord.yaml "
                       "says the rest");
    ac_status st = ac_contract_read(&k->contract, ".", err);
    const ac_contract_values *v = &k->contract.v;
    if (st) return st;
    k->opts.data = (ac_data_opts){ .mask = (ac_mask)choice(v->mask, masks), .on_long = (ac_on_long)choice(v->on_long, longs),
                                   .max_len = (size_t)v->max_len, .text_eos = true };
    if (!(k->cases_path = ac_contract_path(&k->contract, v->cases))) return ac_fail_nomem(err, 0);
    if (v->docs && !(k->docs_path = ac_contract_path(&k->contract, v->docs))) return ac_fail_nomem(err, 0);
    if (!(path = ac_contract_path(&k->contract, v->train))) return ac_fail_nomem(err, 0);
    /* Cases are written first: then there may be no rows yet. */
    if (!ac_path_exists(path) && ac_path_exists(k->cases_path)) k->page.absent = path;
    else if (!(st = ac_contract_files(&k->contract, AC_NAMES_TRAIN | AC_NAMES_VALID | AC_NAMES_CASES | AC_NAMES_OTHERS, err)))
        st = add_input(k, path, AC_SPLIT_TRAIN, err);
    if (!st && v->valid && !(path = ac_contract_path(&k->contract, v->valid))) return ac_fail_nomem(err, 0);
    if (!st && v->valid && (!k->page.absent || ac_path_exists(path))) st = add_input(k, path, AC_SPLIT_VALID, err);
    if (!st && k->n_in) st = ac_contract_model_path(&k->contract, &model, err);
    if (!st && k->n_in) st = ac_load_tokenizer(&k->l, model, err);
    return st;
}

/* A model whose chat format is not known still does for plain text; rows of turns are refused with the reason. */
static ac_status survey(check *k, ac_err *err)
{
    ac_err no_chat = { "" };
    const char *format = from_contract() ? k->contract.v.chat_format : a.chat_format;
    ac_status st = ac_pool_open(&k->pool, (size_t)k->cli->threads, err), chat = AC_OK;
    if (st) return st;
    if (k->l.tokenizer) chat = ac_load_chat(&k->l, format, &no_chat);
    if (chat && chat != AC_EFORMAT) return ac_fail(err, chat, "%s", no_chat.text);
    if (a.scan) {
        const char *rules = a.rules || !from_contract() ? a.rules : ac_contract_path(&k->contract, k->contract.v.secret_rules);
        if ((st = ac_scanner_open(&k->scanner, rules, err))) return st;
    }
    k->opts.scanner = k->scanner;
    k->opts.tok = k->l.tokenizer;
    k->opts.chat = k->l.chat;
    k->opts.near = a.near;
    k->opts.pool = k->pool;
    k->opts.sink = &k->cli->sink;
    if (!k->n_in) return AC_OK;
    st = ac_survey_run(&k->survey, k->in, k->n_in, &k->opts, err);
    if (st == AC_EARG && chat && err) *err = no_chat;
    return st == AC_EARG && chat ? chat : st;
}

/* ---- cases and documents ---- */

static ac_status read_texts(check *k, ac_err *err)
{
    ac_status st = k->cases_path ? ac_cases_read(&k->cases, k->cases_path, err) : AC_OK;
    if (!st && k->cases_path) st = ac_case_texts_make(&k->texts, &k->cases, &k->arena, err);
    if (!st && k->docs_path) st = ac_rag_texts(&k->doc, &k->n_docs, &k->arena, k->docs_path, err);
    if (st) return st;
    if (k->cases_path) k->page.cases = &k->cases;
    k->page.docs = k->docs_path;
    k->page.n_docs = k->n_docs;
    for (size_t i = 0; i < k->n_docs; i++) k->page.docs_bytes += k->doc[i].text.len;
    k->list = ac_arena_alloc_array(&k->arena, k->n_in + 3, sizeof *k->list);
    if (!k->list) return ac_fail_nomem(err, (k->n_in + 3) * sizeof *k->list);
    memset(k->list, 0, (k->n_in + 3) * sizeof *k->list);
    return AC_OK;
}

/* Rows that are not for learning from (pairs, KTO) may show a case all the same. */
static ac_status leaks_in_rows(check *k, size_t file, ac_err *err)
{
    ac_row_file rows = { .n = 0 };
    ac_status st = ac_rows_read(&rows, k->in[file].path, AC_FORMAT_AUTO, err);
    if (!st) st = ac_texts_leaks_rows(&k->list[k->n_lists], &k->texts, &rows, err);
    for (size_t i = 0; i < k->list[k->n_lists].n; i++)
        if (k->list[k->n_lists].finding[i].path_b) k->list[k->n_lists].finding[i].path_b = k->in[file].path;
    ac_rows_release(&rows);
    k->n_lists++;
    return st;
}

static ac_status check_texts(check *k, ac_err *err)
{
    ac_status st = read_texts(k, err);
    if (st) return st;
    ac_findings *first = &k->list[k->n_lists++];
    if (k->cases_path) st = ac_texts_scan_cases(first, k->scanner, &k->cases, true, err);
    if (!st && k->scanner) st = ac_texts_scan_documents(first, k->scanner, k->doc, k->n_docs, err);
    if (!st) st = ac_texts_odd_documents(first, k->doc, k->n_docs, err);
    if (st || !k->cases_path) return st;
    st = ac_texts_twins(&k->list[k->n_lists++], &k->texts, err);
    for (size_t i = 0; i < k->n_in && !st; i++) st = leaks_in_rows(k, i, err);
    if (!st && k->n_docs) st = ac_texts_leaks_documents(&k->list[k->n_lists++], &k->texts, k->doc, k->n_docs, err);
    return st;
}

/* ---- the answer ---- */

static ac_status answer(check *k, ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = AC_OK;
    if (!ac_str_ok(&k->shown)) return ac_fail_nomem(err, k->shown.len);
    k->page.survey = &k->survey;
    k->page.more = k->list;
    k->page.n_more = k->n_lists;
    k->page.masks = ac_str_view(&k->shown);
    k->page.has_masks = a.show_mask > 0;
    k->page.limit = (size_t)a.limit;
    ac_check_count(&k->page);
    if (k->cli->json) ac_check_json(&s, &k->page);
    else st = ac_check_text(&s, &k->page, k->cli, err);
    if (!st) st = ac_cli_result(k->cli, &s, err);
    ac_str_release(&s);
    if (st) return st;
    k->cli->answered = true;
    if (k->survey.first_bad.text[0]) {
        size_t bad = 0;
        for (size_t i = 0; i < k->survey.n_files; i++) bad += k->survey.file[i].n_bad;
        return ac_fail(err, AC_EFORMAT, bad > 1 ? "%s (%zu bad rows in all)" : "%s", k->survey.first_bad.text, bad);
    }
    return k->page.by[AC_FIND_FAIL] ? AC_ENO : AC_OK;            /* AC_ENO: said already */
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    static check k;
    const int64_t began = ac_mono_ns();
    k.cli = cli;
    ac_status st = from_contract() ? name_contract(&k, err) : name_files(&k, err);
    if (!st) st = survey(&k, err);
    if (!st) k.page.seconds = (double)(ac_mono_ns() - began) * 1e-9;
    if (!st && (k.cases_path || k.docs_path) && !k.survey.first_bad.text[0]) st = check_texts(&k, err);
    for (size_t i = 0; i < k.n_in && a.show_mask && !st; i++) {
        if (k.n_in > 1) ac_str_appendf(&k.shown, "%s\n", k.in[i].path);
        st = ac_mask_walk(k.in[i].path, k.survey.file[i].format, (size_t)a.show_mask, &k.opts, show_row, &k, err);
    }
    if (!st) st = answer(&k, err);
    ac_survey_release(&k.survey);
    for (size_t i = 0; i < k.n_lists; i++) ac_findings_release(&k.list[i]);
    ac_cases_release(&k.cases);
    ac_str_release(&k.shown);
    ac_pool_close(&k.pool);
    ac_scanner_close(&k.scanner);
    ac_loaded_release(&k.l);
    ac_arena_release(&k.arena);
    ac_contract_release(&k.contract);
    return st;
}

static const char *const examples[] = {
    "accord data check",
    "accord data check train.jsonl valid.jsonl",
    "accord data check rows.jsonl --model smollm2-135m-instruct --show-mask",
    "accord data check --cases evals/cases.jsonl --docs docs",
    NULL
};

const ac_cmd ac_cmd_data_check = {
    .name = "data check",
    .group = "Start",
    .summary = "check every row before anything is sealed: form, masks, copies, leaks",
    .text = "Every row of every file is read as training would read it, and a bad one is named with line and column. Then "
            "lengths, rows in which nothing is learnt, copies, near duplicates, contradictions, turns out of order, answers "
            "that end in the middle, odd characters, secrets, personal data, rows in both files, and cases that leak into "
            "the rows or documents are looked for. Cases and documents are searched for secrets, personal data and odd "
            "characters too, and may be checked before there is any row. Rows are streamed; memory does not grow with "
            "their text.\n\nExit code 0: clean, or warnings only; 1: something fails; 65: a row or a file cannot be read.",
    .examples = examples,
    .options = options,
    .run = run,
};
