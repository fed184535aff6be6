#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "cli/table.h"
#include "cli/train_run.h"
#include "data/scan.h"
#include "eval/cases.h"

static struct {
    ac_opt_list files;
    const char *model, *chat_format, *rules;
    int mask;
    int64_t show_mask, max_len, limit;
} a = { .limit = 50 };

static const char *const masks[] = { "assistant", "last", "none", NULL };                 /* ac_mask */

static const ac_opt options[] = {
    AC_OPT_ARGS("FILE", &a.files, 0, AC_OPT_LIST_MAX, "rows to check; none: what accord.yaml names"),
    AC_OPT_GROUP("Tokens, for files given here; else accord.yaml says"),
    AC_OPT_PATH('m', "model", &a.model, "path", "check lengths and masks with this model's tokenizer too"),
    AC_OPT_STR(0, "chat-format", &a.chat_format, "name", "instead of the one recognised from the model"),
    AC_OPT_ENUM(0, "mask", &a.mask, masks, "which tokens are trained: all assistant turns, the last one, or all text"),
    AC_OPT_INT(0, "max-len", &a.max_len, 0, 1e9, "tokens", "longest row; 0: any length"),
    AC_OPT_GROUP("Secrets"),
    AC_OPT_PATH(0, "rules", &a.rules, "file", "gitleaks rules (TOML) instead of the built-in ones, or of accord.yaml's"),
    AC_OPT_GROUP("Output"),
    AC_OPT_INT(0, "show-mask", &a.show_mask, 0, 1e6, "n", "print the first n rows with what is trained marked"),
    AC_OPT_INT(0, "limit", &a.limit, 0, 1e9, "n", "findings to print at most; 0: all"),
    AC_OPT_END
};

typedef struct {
    ac_cli *cli;
    ac_contract contract;
    ac_loaded l;
    ac_scanner *scanner;
    ac_arena arena;
    ac_findings found[AC_OPT_LIST_MAX + 4];
    const char *where[AC_OPT_LIST_MAX + 4];
    size_t n_found;
    size_t n_rows, n_tokens, n_targets;
    ac_str shown;                       /* rows with their masks */
} check;

static ac_findings *next_findings(check *k, const char *where)
{
    k->where[k->n_found] = where;
    return &k->found[k->n_found++];
}

/* Trained text stands in reverse video on a terminal, between [[ and ]] elsewhere. */
static ac_status show_row(check *k, const ac_sample *s, ac_err *err)
{
    const char *on = k->cli->color ? "\x1b[7m" : "[[", *off = k->cli->color ? "\x1b[0m" : "]]";
    ac_str text = { 0 };
    ac_status st = AC_OK;
    ac_str_appendf(&k->shown, "line %zu: %zu tokens, %zu trained\n", s->line, s->n, s->n_target);
    for (size_t i = 0; i < s->n && !st;) {
        size_t to = i + 1;
        while (to < s->n && s->target[to] == s->target[i]) to++;
        ac_str_reset(&text);
        st = ac_tokenizer_decode(k->l.tokenizer, s->ids + i, to - i, AC_DECODE_SPECIAL | AC_DECODE_KEEP_PREFIX_SPACE,
                                 &text, err);
        if (s->target[i]) ac_str_append_c(&k->shown, on);
        ac_cli_foreign(&k->shown, k->cli, ac_str_view(&text));
        if (s->target[i]) ac_str_append_c(&k->shown, off);
        i = to;
    }
    ac_str_append_c(&k->shown, "\n\n");
    if (!st && !ac_str_ok(&text)) st = ac_fail_nomem(err, text.len);
    ac_str_release(&text);
    return st;
}

/* And shows the first `most` rows. */
static ac_status count_tokens(check *k, const ac_dataset *d, size_t most, ac_err *err)
{
    ac_status st = AC_OK;
    k->n_tokens += d->n_tokens;
    k->n_targets += d->n_targets;
    for (size_t i = 0; i < d->n && i < most && !st; i++) st = show_row(k, &d->sample[i], err);
    return st;
}

/* Secrets, personal data, and where the file lies; rules: the contract's, or NULL. */
static ac_status scan(check *k, const ac_row_file *rows, const char *rules, ac_err *err)
{
    ac_findings *f = &k->found[k->n_found - 1];
    ac_status st = k->scanner ? AC_OK : ac_scanner_open(&k->scanner, a.rules ? a.rules : rules, err);
    if (!st) st = ac_scan_rows(f, k->scanner, rows, err);
    return st ? st : ac_scan_place(f, rows->path, true, err);
}

/* ---- files given on the command line ---- */

static ac_status check_file(check *k, const char *path, ac_err *err)
{
    ac_row_file rows = { .n = 0 };
    ac_dataset d = { .n = 0 };
    const ac_data_opts o = { .mask = (ac_mask)a.mask, .max_len = a.max_len ? (size_t)a.max_len : SIZE_MAX / 2,
                             .text_eos = true };
    ac_status st = ac_rows_read(&rows, path, AC_FORMAT_AUTO, err);
    if (!st) st = ac_rows_check(next_findings(k, path), &rows, err);
    if (!st) st = scan(k, &rows, NULL, err);
    if (!st) k->n_rows += rows.n;
    if (!st && a.model) {
        if (rows.format != AC_FORMAT_TEXT && !k->l.chat) st = ac_load_chat(&k->l, a.chat_format, err);
        if (!st) st = ac_dataset_build(&d, &rows, k->l.tokenizer, k->l.chat, &o, &k->cli->sink, err);
        if (!st) st = count_tokens(k, &d, (size_t)a.show_mask, err);
    }
    ac_dataset_release(&d);
    ac_rows_release(&rows);
    return st;
}

static ac_status check_files(check *k, ac_err *err)
{
    ac_status st = a.model ? ac_load_tokenizer(&k->l, a.model, err) : AC_OK;
    if (!st && !a.model && (a.show_mask || a.max_len || a.mask || a.chat_format))
        st = ac_fail(err, AC_EARG, "--show-mask, --max-len, --mask and --chat-format need --model");
    for (size_t i = 0; i < a.files.n && !st; i++) st = check_file(k, a.files.item[i], err);
    return st;
}

/* ---- what the contract names ---- */

static ac_status leak_texts(ac_leak_text **out, const ac_cases *cases, ac_arena *arena, ac_err *err)
{
    ac_leak_text *t = ac_arena_alloc_array(arena, cases->n, sizeof *t);
    if (!t) return ac_fail_nomem(err, cases->n * sizeof *t);
    for (size_t i = 0; i < cases->n; i++) {
        const ac_case *c = &cases->item[i];
        ac_str context = { 0 };
        for (size_t m = 0; m + 1 < c->n_turns; m++) {
            if (c->turn[m].role == AC_ROLE_SYSTEM) continue;
            if (context.len) ac_str_append_char(&context, '\n');
            ac_str_append(&context, c->turn[m].content);
        }
        t[i] = (ac_leak_text){ .id = ac_arena_strndup(arena, c->id.ptr, c->id.len), .answer = c->ideal };
        if (c->n_turns) t[i].prompt = c->turn[c->n_turns - 1].content;
        if (context.len) {
            t[i].context.ptr = ac_arena_strndup(arena, context.ptr, context.len);
            t[i].context.len = context.len;
        }
        const bool ok = ac_str_ok(&context) && t[i].id && (!context.len || t[i].context.ptr);
        ac_str_release(&context);
        if (!ok) return ac_fail_nomem(err, c->id.len);
    }
    *out = t;
    return AC_OK;
}

static ac_status check_leaks(check *k, const ac_row_file *rows, ac_err *err)
{
    ac_cases cases = { .n = 0 };
    ac_leak_text *texts = NULL;
    char *canary = NULL;
    const char *path = ac_contract_path(&k->contract, k->contract.v.cases);
    if (!path) return ac_fail_nomem(err, 0);
    ac_status st = ac_cases_read(&cases, path, err);
    if (!st) st = leak_texts(&texts, &cases, &k->arena, err);
    if (!st && cases.canary.len && !(canary = ac_arena_strndup(&k->arena, cases.canary.ptr, cases.canary.len)))
        st = ac_fail_nomem(err, cases.canary.len);
    if (!st) st = ac_leak_check(next_findings(k, "cases against train"), texts, cases.n, rows, canary, err);
    ac_cases_release(&cases);
    return st;
}

static ac_status check_contract(check *k, ac_err *err)
{
    ac_row_file train = { .n = 0 }, valid = { .n = 0 };
    ac_dataset d = { .n = 0 }, dv = { .n = 0 };
    const char *model = NULL;
    if (a.model || a.chat_format || a.mask || a.max_len)
        return ac_fail(err, AC_EARG, "--model, --chat-format, --mask and --max-len go with files; accord.yaml says the rest");
    ac_status st = ac_contract_read(&k->contract, ".", err);
    const ac_contract_values *v = &k->contract.v;
    if (!st) st = ac_contract_model_path(&k->contract, &model, err);
    if (!st) st = ac_load_tokenizer(&k->l, model, err);
    if (!st) st = ac_train_data(&d, &train, &k->l, &k->contract, v->train, &k->cli->sink, err);
    const char *rules = ac_contract_path(&k->contract, v->secret_rules);
    if (!st) st = ac_rows_check(next_findings(k, v->train), &train, err);
    if (!st) st = scan(k, &train, rules, err);
    if (!st) st = count_tokens(k, &d, (size_t)a.show_mask, err);
    if (!st && v->valid) {
        st = ac_train_data(&dv, &valid, &k->l, &k->contract, v->valid, &k->cli->sink, err);
        if (!st) st = count_tokens(k, &dv, 0, err);
        if (!st) st = ac_rows_check(next_findings(k, v->valid), &valid, err);
        if (!st) st = scan(k, &valid, rules, err);
        if (!st) st = ac_rows_overlap(next_findings(k, "train against valid"), &train, &valid, err);
    }
    if (!st && v->cases) st = check_leaks(k, &train, err);
    k->n_rows = train.n + valid.n;
    ac_dataset_release(&d);
    ac_dataset_release(&dv);
    ac_rows_release(&train);
    ac_rows_release(&valid);
    return st;
}

/* ---- the answer ---- */

static const char *severity_name(ac_severity s)
{
    return s == AC_FIND_FAIL ? "FAIL" : s == AC_FIND_WARN ? "warn" : "note";
}

static void lines_of(char out[64], const ac_finding *f)
{
    if (f->line_a && f->line_b) (void)snprintf(out, 64, "%zu, %zu", f->line_a, f->line_b);
    else if (f->line_a || f->line_b) (void)snprintf(out, 64, "%zu", f->line_a ? f->line_a : f->line_b);
    else (void)snprintf(out, 64, "-");
}

static void finding_json(ac_jw *w, const char *where, const ac_finding *f)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "severity", severity_name(f->severity));
    ac_jw_cstr(w, "kind", f->kind);
    ac_jw_cstr(w, "id", f->id);
    ac_jw_cstr(w, "where", where);
    ac_jw_u64(w, "line_a", f->line_a);
    ac_jw_u64(w, "line_b", f->line_b);
    ac_jw_f64(w, "score", f->score);
    ac_jw_cstr(w, "text", f->text);
    ac_jw_end_object(w);
}

static void count(const check *k, size_t by[3])
{
    for (size_t i = 0; i < k->n_found; i++)
        for (size_t j = 0; j < k->found[i].n; j++) by[k->found[i].finding[j].severity]++;
}

static void as_json(ac_str *s, const check *k, const size_t by[3])
{
    ac_jw w;
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "rows", k->n_rows);
    ac_jw_u64(&w, "tokens", k->n_tokens);
    ac_jw_u64(&w, "supervised_tokens", k->n_targets);
    ac_jw_u64(&w, "fail", by[AC_FIND_FAIL]);
    ac_jw_u64(&w, "warn", by[AC_FIND_WARN]);
    ac_jw_u64(&w, "note", by[AC_FIND_NOTE]);
    ac_jw_array(&w, "findings");
    for (size_t i = 0; i < k->n_found; i++)
        for (size_t j = 0; j < k->found[i].n; j++) finding_json(&w, k->where[i], &k->found[i].finding[j]);
    ac_jw_end_array(&w);
    if (a.show_mask) ac_jw_str(&w, "masks", ac_str_view(&k->shown));
    ac_jw_end_object(&w);
}

static ac_status as_text(ac_str *s, const check *k, const size_t by[3], ac_err *err)
{
    static const char *const head[] = { "", "kind", "where", "lines", "id", "finding" };
    ac_table t;
    size_t printed = 0, all = by[0] + by[1] + by[2];
    const size_t most = a.limit ? (size_t)a.limit : SIZE_MAX;
    ac_status st = AC_OK;
    ac_str_append(s, ac_str_view(&k->shown));
    ac_table_init(&t, "llllll", head);
    for (int level = AC_FIND_FAIL; level >= AC_FIND_NOTE; level--)
        for (size_t i = 0; i < k->n_found; i++)
            for (size_t j = 0; j < k->found[i].n && printed < most; j++) {
                const ac_finding *f = &k->found[i].finding[j];
                char lines[64];
                if ((int)f->severity != level) continue;
                lines_of(lines, f);
                ac_table_cell(&t, ac_view_of(severity_name(f->severity)));
                ac_table_cell(&t, ac_view_of(f->kind));
                ac_table_cell(&t, ac_view_of(k->where[i]));
                ac_table_cell(&t, ac_view_of(lines));
                ac_table_cell(&t, ac_view_of(f->id));
                ac_table_cell(&t, ac_view_of(f->text));
                printed++;
            }
    if (all) st = ac_table_render(&t, s, 0, k->cli->color, err);
    if (printed < all) ac_str_appendf(s, "... and %zu more; --limit 0 shows all\n", all - printed);
    char tokens[32], targets[32];
    ac_human_count(tokens, k->n_tokens);
    ac_human_count(targets, k->n_targets);
    ac_str_appendf(s, "%s%zu rows", all ? "\n" : "", k->n_rows);
    if (k->n_tokens) ac_str_appendf(s, ", %s tokens, %s of them trained", tokens, targets);
    ac_str_appendf(s, ": %zu failures, %zu warnings, %zu notes\n", by[AC_FIND_FAIL], by[AC_FIND_WARN],
                   by[AC_FIND_NOTE]);
    ac_table_release(&t);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    static check k;
    size_t by[3] = { 0, 0, 0 };
    ac_str s = { 0 };
    k.cli = cli;
    ac_status st = a.files.n ? check_files(&k, err) : check_contract(&k, err);
    if (!st) {
        count(&k, by);
        if (cli->json) as_json(&s, &k, by);
        else st = as_text(&s, &k, by, err);
    }
    if (!st && !ac_str_ok(&k.shown)) st = ac_fail_nomem(err, k.shown.len);
    if (!st) st = ac_cli_result(cli, &s, err);
    if (!st && by[AC_FIND_FAIL]) st = AC_ENO;                    /* said already */
    for (size_t i = 0; i < k.n_found; i++) ac_findings_release(&k.found[i]);
    ac_str_release(&k.shown);
    ac_str_release(&s);
    ac_scanner_close(&k.scanner);
    ac_loaded_release(&k.l);
    ac_arena_release(&k.arena);
    ac_contract_release(&k.contract);
    return st;
}

static const char *const examples[] = {
    "accord data check",
    "accord data check rows.jsonl --model smollm2-135m-instruct --show-mask 3",
    NULL
};

const ac_cmd ac_cmd_data_check = {
    .name = "data check",
    .group = "Start",
    .summary = "check rows before anything is sealed: form, duplicates, leaks, masks",
    .text = "Every row is read as training would read it; a bad one is named with line and column. Then duplicates, "
            "contradictions, odd characters, secrets, personal data, rows in both files, and cases that leak into the rows are looked for. "
            "Exit code 1 when anything fails.",
    .examples = examples,
    .options = options,
    .run = run,
};
