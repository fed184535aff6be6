/* data split: rows into train, valid and test, by group and with a seed; split.json says how, so that it can be repeated. */
#include <string.h>

#include "base/file.h"
#include "base/pool.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "data/survey.h"
#include "formats/json.h"
#include "ledger/ledger.h"

static struct {
    ac_opt_list files;
    const char *out, *by;
    double valid, test;
    uint64_t seed;
    bool near;
} a = { .by = "prompt", .valid = 0.1, .test = 0.0, .near = true };

static const ac_opt options[] = {
    AC_OPT_ARGS("FILE", &a.files, 1, AC_OPT_LIST_MAX, "rows to split, all of one format"),
    AC_OPT_GROUP("Split"),
    AC_OPT_PATH_REQ('o', "out", &a.out, "folder", "where train.jsonl, valid.jsonl, test.jsonl and split.json go; nothing is "
                    "overwritten"),
    AC_OPT_F64(0, "valid", &a.valid, 0, 0.9, "share", "share of the rows for validation"),
    AC_OPT_F64(0, "test", &a.test, 0, 0.9, "share", "share of the rows for a test file"),
    AC_OPT_STR(0, "by", &a.by, "key", "rows that stay together: those with the same prompt; with the same value of a key of "
               "theirs; or none"),
    AC_OPT_BOOL(0, "near", &a.near, "near duplicates stay together too"),
    AC_OPT_U64(0, "seed", &a.seed, "n", "another seed deals the groups otherwise"),
    AC_OPT_END
};

/* ---- split.json ---- */

static void hash_member(ac_jw *w, const ac_sha256 *h)
{
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, h);
    ac_jw_cstr(w, "sha256", hex);
}

static void parts_json(ac_jw *w, const ac_split_result *r)
{
    ac_jw_object(w, "parts");
    for (int s = AC_SPLIT_TRAIN; s <= AC_SPLIT_TEST; s++) {
        if (!r->part[s].rows) continue;
        ac_jw_object(w, ac_split_name((ac_split)s));
        ac_jw_u64(w, "rows", r->part[s].rows);
        ac_jw_u64(w, "groups", r->part[s].groups);
        ac_jw_u64(w, "bytes", r->part[s].bytes);
        hash_member(w, &r->part[s].hash);
        ac_jw_end_object(w);
    }
    ac_jw_end_object(w);
}

/* No time, no machine: the same command over the same bytes gives the same file. */
static void as_json(ac_str *out, const ac_split_result *r, const ac_cli *cli)
{
    ac_jw w;
    ac_jw_init(&w, out, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "accord_split", 1);
    ac_jw_u64(&w, "seed", a.seed);
    ac_jw_cstr(&w, "by", a.by);
    ac_jw_bool(&w, "near", a.near);
    ac_jw_f64(&w, "valid", a.valid);
    ac_jw_f64(&w, "test", a.test);
    ac_jw_cstr(&w, "format", ac_row_format_name(r->format));
    ac_jw_u64(&w, "rows", r->n_rows);
    ac_jw_u64(&w, "groups", r->n_groups);
    ac_jw_u64(&w, "largest_group", r->largest_group);
    ac_jw_array(&w, "inputs");
    for (size_t i = 0; i < r->n_files; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "path", r->file[i].path);
        ac_jw_u64(&w, "rows", r->file[i].n_rows);
        ac_jw_u64(&w, "bytes", r->file[i].bytes);
        hash_member(&w, &r->file[i].hash);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    parts_json(&w, r);
    ac_jw_array(&w, "command");
    for (int i = 0; i < cli->argc; i++) ac_jw_cstr(&w, NULL, i ? cli->argv[i] : "accord");
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "accord", ACCORD_VERSION);
    ac_jw_end_object(&w);
    ac_str_append_char(out, '\n');
}

/* ---- the audit chain, when this is a project ---- */

static ac_status record(const ac_split_result *r, ac_err *err)
{
    ac_str s = { 0 };
    char hex[AC_SHA256_HEX];
    if (!ac_path_exists("accord.yaml") && !ac_path_is_dir(".accord")) return AC_OK;
    ac_str_append_c(&s, "\"out\":");
    ac_json_quote(&s, ac_view_of(a.out));
    ac_str_appendf(&s, ",\"seed\":\"%llu\",\"by\":", (unsigned long long)a.seed);
    ac_json_quote(&s, ac_view_of(a.by));
    ac_str_appendf(&s, ",\"near\":%s,\"rows\":%zu,\"inputs\":[", a.near ? "true" : "false", r->n_rows);
    for (size_t i = 0; i < r->n_files; i++) {
        ac_sha256_hex(hex, &r->file[i].hash);
        ac_str_appendf(&s, "%s\"%s\"", i ? "," : "", hex);
    }
    ac_str_append_c(&s, "],\"parts\":{");
    bool comma = false;
    for (int p = AC_SPLIT_TRAIN; p <= AC_SPLIT_TEST; p++) {
        if (!r->part[p].rows) continue;
        ac_sha256_hex(hex, &r->part[p].hash);
        ac_str_appendf(&s, "%s\"%s\":\"%s\"", comma ? "," : "", ac_split_name((ac_split)p), hex);
        comma = true;
    }
    ac_str_append_char(&s, '}');
    const ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "split", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

/* ---- the command ---- */

static ac_status write_json(ac_str *s, ac_arena *arena, ac_err *err)
{
    const char *path = ac_path_join(arena, a.out, "split.json");
    if (!ac_str_ok(s) || !path) return ac_fail_nomem(err, s->len);
    return ac_file_write_atomic(path, s->ptr, s->len, err);
}

static ac_status is_new(ac_arena *arena, ac_err *err)
{
    const char *path = ac_path_join(arena, a.out, "split.json");
    if (!path) return ac_fail_nomem(err, strlen(a.out));
    if (!ac_path_exists(path)) return AC_OK;
    return ac_fail(err, AC_ECREATE, "%s is there already; nothing is overwritten: name another folder", path);
}

static void as_text(ac_str *s, const ac_split_result *r)
{
    char n[32], g[32];
    ac_human_count(n, r->n_rows);
    ac_human_count(g, r->n_groups);
    ac_str_appendf(s, "%s row%s (%s) in %s group%s, the largest of %zu row%s; seed %llu\n", n, ac_plural(r->n_rows),
                   ac_row_format_name(r->format), g, ac_plural(r->n_groups), r->largest_group, ac_plural(r->largest_group), (unsigned long long)a.seed);
    for (int p = AC_SPLIT_TRAIN; p <= AC_SPLIT_TEST; p++) {
        char hex[AC_SHA256_HEX];
        if (!r->part[p].rows) continue;
        ac_sha256_hex(hex, &r->part[p].hash);
        ac_human_count(n, r->part[p].rows);
        ac_human_count(g, r->part[p].groups);
        ac_str_appendf(s, "  %s/%s.jsonl: %s row%s, %s group%s, sha256 %.16s...\n", a.out, ac_split_name((ac_split)p), n,
                       ac_plural(r->part[p].rows), g, ac_plural(r->part[p].groups), hex);
    }
    ac_str_appendf(s, "  %s/split.json: how it was made\n", a.out);
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_split_result r = { .n_rows = 0 };
    ac_arena arena = { 0 };
    ac_pool *pool = NULL;
    ac_str json = { 0 }, text = { 0 };
    ac_split_opts o = { .by = AC_SPLIT_BY_KEY, .key = a.by, .near = a.near, .valid = a.valid, .test = a.test, .seed = a.seed };
    if (!a.by[0]) return ac_fail(err, AC_EARG, "--by: expected prompt, none, or a key of the rows");
    if (strcmp(a.by, "prompt") == 0) o.by = AC_SPLIT_BY_PROMPT;
    else if (strcmp(a.by, "none") == 0) o.by = AC_SPLIT_BY_NONE;
    if (a.valid + a.test <= 0 || a.valid + a.test >= 1)
        return ac_fail(err, AC_EARG, "--valid and --test together must be more than 0 and less than 1");
    for (size_t i = 0; i < a.files.n; i++)
        if (ac_file_is_sealed(a.files.item[i]))
            return ac_fail(err, AC_EARG, "%s: is sealed, and its parts would lie open; unseal it, split it, and seal the parts: "
                           "accord unseal-data, seal-data", a.files.item[i]);
    ac_status st = is_new(&arena, err);
    if (!st) st = ac_pool_open(&pool, (size_t)cli->threads, err);
    o.pool = pool;
    o.sink = &cli->sink;
    if (!st) st = ac_split_write(&r, a.files.item, a.files.n, a.out, &o, err);
    if (!st) as_json(&json, &r, cli);
    if (!st) st = write_json(&json, &arena, err);
    if (!st) st = record(&r, err);
    if (!st && !cli->json) as_text(&text, &r);
    if (!st) st = ac_cli_result(cli, cli->json ? &json : &text, err);
    ac_split_result_release(&r);
    ac_pool_close(&pool);
    ac_arena_release(&arena);
    ac_str_release(&json);
    ac_str_release(&text);
    return st;
}

static const char *const examples[] = {
    "accord data split rows.jsonl --out data --valid 0.1 --test 0.1 --seed 7",
    "accord data split rows.jsonl --out data --by customer",
    NULL
};

const ac_cmd ac_cmd_data_split = {
    .name = "data split",
    .group = "Start",
    .summary = "make train, valid and test files by group, with a seed",
    .text = "Rows that belong together never come to stand on both sides: those with the same prompt, or the same value of a "
            "key, and near duplicates (runs of 5 words, Jaccard index 0.8). Groups are dealt by the seed, and the same rows "
            "and options give the same bytes.\n\nsplit.json beside the files holds the seed, the inputs' SHA-256, the counts "
            "and the command. In a project the act goes to the audit log.",
    .examples = examples,
    .options = options,
    .run = run,
};
