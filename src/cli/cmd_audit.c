/* audit verify, list, show; audit alone is verify with the counts. docs/formats/audit.md. */
#include <string.h>

#include "base/file.h"
#include "cli/commands.h"
#include "cli/keys.h"
#include "cli/project.h"
#include "ledger/ledger.h"

#define JSON_MAX_BYTES ((size_t)256 << 20)

static struct {
    bool list, lock;
    const char *head, *run;
    uint64_t keyed_from;
} a;

static struct {
    const char *act, *run, *lock;
    uint64_t last;
} f;

static struct {
    const char *seq;
} s1;

/* ---- heads noted elsewhere ---- */

static ac_status check_noted(const ac_json *o, const char *count_key, const char *head_key, const char *from, size_t *n, ac_err *err)
{
    const ac_json *count = ac_json_get(o, count_key), *head = ac_json_get(o, head_key);
    ac_audit_head h = { .count = 0 };
    int64_t whole;
    if (!count || !head || count->type != AC_JSON_NUMBER || head->type != AC_JSON_STRING) return AC_OK;   /* of an older version */
    if (!ac_json_as_i64(count, &whole) || whole < 0 || ac_sha256_parse(&h.head, head->text) != 0)
        return ac_fail(err, AC_EFORMAT, "%s: its audit head is no count and hash", from);
    h.count = (uint64_t)whole;
    ++*n;
    return ac_audit_check_head(".", &h, from, err);
}

static ac_status check_file(ac_arena *arena, const char *dir, const char *name, size_t *n, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = JSON_MAX_BYTES };
    const ac_json *o = NULL;
    char *path = NULL;
    ac_status st = ac_run_path(&path, arena, dir, name, err);
    if (st || !ac_path_exists(path)) return st;
    st = ac_json_parse_file(&o, path, arena, &limits, err);
    return st ? st : check_noted(o, "audit_count", "audit_head", path, n, err);
}

/* All that a run noted: when it began or ended, at each checkpoint, at its verdict. */
static ac_status check_run(const char *run, size_t *n, ac_err *err)
{
    ac_arena arena = { 0 };
    char *dir = NULL, *points = NULL, **names = NULL;
    size_t n_names = 0;
    ac_status st = ac_run_find(&dir, &arena, ".", run, err);
    if (!st) st = check_file(&arena, dir, "run.json", n, err);
    if (!st) st = check_file(&arena, dir, "verdict.json", n, err);
    if (!st) st = ac_run_path(&points, &arena, dir, "checkpoints", err);
    if (!st && ac_path_is_dir(points)) st = ac_dir_list(points, &arena, &names, &n_names, err);
    for (size_t i = 0; i < n_names && !st; i++) {
        const char *one = ac_path_join(&arena, points, names[i]);
        st = one ? check_file(&arena, one, "manifest.json", n, err) : ac_fail_nomem(err, 128);
    }
    if (!st && !*n) st = ac_fail(err, AC_EFORMAT, "%s: notes no head of the audit chain", dir);
    ac_arena_release(&arena);
    return st;
}

typedef struct {
    char hex[AC_SHA256_HEX];
    uint64_t seq;
} freeze_of;

static ac_status look_for_freeze(void *ctx, const ac_json *record, uint64_t seq, const char *hash, ac_err *err)
{
    freeze_of *l = ctx;
    const ac_json *act = ac_json_get(record, "act"), *lock = ac_json_get(record, "lock");
    AC_UNUSED(hash);
    AC_UNUSED(err);
    if (lock && lock->type == AC_JSON_STRING && ac_view_eq_str(act->text, "freeze") && ac_view_eq_str(lock->text, l->hex))
        l->seq = seq;
    return AC_OK;
}

/* A lock holds no head, since its bytes follow from its inputs alone; the chain names it instead. */
static ac_status check_lock(ac_err *err)
{
    freeze_of l = { .seq = 0 };
    ac_sha256 h;
    ac_status st = ac_sha256_file(&h, "accord.lock", err);
    if (st) return st;
    ac_sha256_hex(l.hex, &h);
    st = ac_audit_each(".", look_for_freeze, &l, err);
    if (!st && !l.seq)
        st = ac_fail(err, AC_ENO, "no record says that accord.lock (%.16s...) was frozen: the chain was cut off or written anew, or "
                     "the lock was frozen elsewhere", l.hex);
    return st;
}

/* ---- verify ---- */

static ac_status print_all(ac_cli *cli, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    ac_str s = { 0 };
    ac_status st = ac_lines_open(&l, ".accord/audit.jsonl", (size_t)1 << 20, err);
    while (!st) {
        st = ac_lines_next(l, &line, NULL, err);
        if (st || !line.ptr) break;
        ac_str_reset(&s);
        ac_cli_foreign(&s, cli, line);
        st = ac_cli_result(cli, &s, err);
    }
    ac_lines_close(&l);
    ac_str_release(&s);
    return st;
}

static ac_status check_heads(size_t *n, ac_err *err)
{
    ac_audit_head h;
    ac_status st = AC_OK;
    if (a.head) {
        st = ac_audit_head_parse(&h, a.head, err);
        if (!st) st = ac_audit_check_head(".", &h, "the head that was given", err);
        ++*n;
    }
    if (!st && a.run) st = check_run(a.run, n, err);
    if (!st && a.lock) {
        st = check_lock(err);
        ++*n;
    }
    return st;
}

static ac_status check_macs(ac_audit_macs *out, bool *has_key, ac_err *err)
{
    ac_view key = { NULL, 0 };
    const ac_status st = ac_keys_audit(&key, err);
    *has_key = key.len > 0;
    if (!st && !*has_key && a.keyed_from) return ac_fail(err, AC_EARG, "--keyed-from needs the key: set ACCORD_AUDIT_KEY to its file");
    return st || !*has_key ? st : ac_audit_check_macs(".", key, a.keyed_from, out, err);
}

static void say_macs(ac_cli *cli, ac_str *s, ac_jw *w, const ac_audit_macs *m)
{
    if (cli->json) {
        ac_jw_u64(w, "keyed", m->keyed);
        ac_jw_u64(w, "keyed_from", m->first);
    } else if (m->keyed) {
        ac_str_appendf(s, "%llu of them carry a MAC of this key, from record %llu to the last\n", (unsigned long long)m->keyed,
                       (unsigned long long)m->first);
    } else {
        ac_str_append_c(s, "none of them carries a MAC: all were written without the key, or the log was written anew\n");
    }
}

static ac_status counts(ac_cli *cli, ac_str *s, ac_jw *w, ac_err *err)
{
    static const char *const acts[] = { "freeze", "train", "opening", "refusal" };
    ac_status st = AC_OK;
    for (size_t i = 0; !st && i < AC_COUNTOF(acts); i++) {
        uint64_t n = 0;
        st = ac_audit_count(".", acts[i], NULL, &n, err);
        if (cli->json) ac_jw_u64(w, acts[i], n);
        else ac_str_appendf(s, "%-8s %llu\n", acts[i], (unsigned long long)n);
    }
    return st;
}

static ac_status run_verify(ac_cli *cli, ac_err *err)
{
    ac_audit_head head = { .count = 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_audit_macs macs = { .keyed = 0 };
    bool has_key = false;
    size_t n_heads = 0;
    char hex[AC_SHA256_HEX], text[AC_AUDIT_HEAD_TEXT];
    ac_status st = ac_audit_verify(".", &head, err);
    if (!st) st = check_heads(&n_heads, err);
    if (!st) st = check_macs(&macs, &has_key, err);
    if (!st && a.list && head.count) st = print_all(cli, err);
    ac_sha256_hex(hex, &head.head);
    ac_audit_head_text(text, &head);
    ac_jw_init(&w, &s, false);
    if (cli->json) {
        ac_jw_object(&w, NULL);
        ac_jw_bool(&w, "intact", true);
        ac_jw_u64(&w, "records", head.count);
        ac_jw_cstr(&w, "head", hex);
        ac_jw_u64(&w, "heads_checked", n_heads);
    } else if (head.count) {
        ac_str_appendf(&s, "%llu record%s, the chain is intact; head %s\n", (unsigned long long)head.count,
                       ac_plural(head.count), text);
        if (n_heads) ac_str_appendf(&s, "%zu head%s noted elsewhere: none of it was cut off or written anew\n", n_heads,
                                    ac_plural(n_heads));
    } else {
        ac_str_append_c(&s, "no records yet\n");
    }
    if (has_key && head.count) say_macs(cli, &s, &w, &macs);
    if (!st && head.count) st = counts(cli, &s, &w, err);
    if (cli->json) ac_jw_end_object(&w);
    if (!st) st = ac_cli_result(cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- list and show ---- */

typedef struct {
    ac_cli *cli;
    uint64_t skip, matched;      /* of those that match, the first `skip` are left out */
    bool count_only, any;
    ac_str out;
} lister;

static bool has(const ac_json *record, const char *key, const char *begins)
{
    const ac_json *v = ac_json_get(record, key);
    return !begins || (v && v->type == AC_JSON_STRING && ac_view_starts(v->text, ac_view_of(begins)));
}

static const char *const fixed[] = { "act", "seq", "utc", "prev", "hash", "mac" };

static bool is_fixed(ac_view key)
{
    for (size_t i = 0; i < AC_COUNTOF(fixed); i++)
        if (ac_view_eq_str(key, fixed[i])) return true;
    return false;
}

static void in_words(ac_str *s, const ac_json *r, uint64_t seq)
{
    const ac_json *utc = ac_json_get(r, "utc"), *act = ac_json_get(r, "act");
    ac_str_appendf(s, "%5llu  " AC_VIEW_FMT "  %-9s", (unsigned long long)seq, AC_VIEW_ARG(utc ? utc->text : AC_VIEW("")),
                   act->text.ptr);
    for (const ac_json *c = r->child; c; c = c->next) {
        if (is_fixed(c->key)) continue;
        ac_str v = { 0 };
        if (c->type == AC_JSON_STRING) ac_str_append(&v, c->text.len > 60 ? ac_view_slice(c->text, 0, 16) : c->text);
        else ac_json_write(&v, c);
        ac_str_appendf(s, " " AC_VIEW_FMT "=%s%s", AC_VIEW_ARG(c->key), ac_str_c(&v), c->text.len > 60 && c->type == AC_JSON_STRING
                       ? "..." : "");
        if (!ac_str_ok(&v)) s->failed = true;
        ac_str_release(&v);
    }
}

static ac_status one_record(void *ctx, const ac_json *record, uint64_t seq, const char *hash, ac_err *err)
{
    lister *l = ctx;
    AC_UNUSED(hash);
    const ac_json *act = ac_json_get(record, "act");
    if (f.act && !ac_view_eq_str(act->text, f.act)) return AC_OK;
    if (!has(record, "run", f.run) || !has(record, "lock", f.lock)) return AC_OK;
    if (l->matched++ < l->skip || l->count_only) return AC_OK;
    ac_str s = { 0 };
    if (l->cli->json) {
        ac_str_append_c(&l->out, l->any ? ",\n" : "[\n");
        ac_json_write(&l->out, record);
    } else {
        in_words(&s, record, seq);
        ac_cli_foreign(&l->out, l->cli, ac_str_view(&s));
        ac_str_append_char(&l->out, '\n');
    }
    l->any = true;
    const bool ok = ac_str_ok(&s) && ac_str_ok(&l->out);
    ac_str_release(&s);
    return ok ? AC_OK : ac_fail_nomem(err, l->out.len);
}

static ac_status run_list(ac_cli *cli, ac_err *err)
{
    lister l = { .cli = cli, .count_only = f.last != 0 };
    ac_status st = AC_OK;
    if (f.last) {                                        /* once to count, once to print */
        st = ac_audit_each(".", one_record, &l, err);
        l = (lister){ .cli = cli, .skip = l.matched > f.last ? l.matched - f.last : 0 };
    }
    if (!st) st = ac_audit_each(".", one_record, &l, err);
    /* Records before a damaged one are shown all the same. */
    if (cli->json && (!st || l.any)) ac_str_append_c(&l.out, l.any ? "\n]" : "[]");
    if (!cli->json && !st && !l.any) ac_str_append_c(&l.out, "no such record\n");
    const ac_status shown = l.out.len ? ac_cli_result(cli, &l.out, st ? NULL : err) : AC_OK;
    ac_str_release(&l.out);
    return st ? st : shown;
}

typedef struct {
    uint64_t wanted;
    ac_str out;
} shower;

static ac_status show_record(void *ctx, const ac_json *record, uint64_t seq, const char *hash, ac_err *err)
{
    shower *s = ctx;
    AC_UNUSED(hash);
    AC_UNUSED(err);
    if (seq != s->wanted) return AC_OK;
    ac_str_append_c(&s->out, "{");
    for (const ac_json *c = record->child; c; c = c->next) {
        ac_str_append_c(&s->out, c == record->child ? "\n  " : ",\n  ");
        ac_json_quote(&s->out, c->key);
        ac_str_append_c(&s->out, ": ");
        ac_json_write(&s->out, c);
    }
    ac_str_append_c(&s->out, "\n}");
    return AC_OK;
}

static ac_status run_show(ac_cli *cli, ac_err *err)
{
    shower s = { .wanted = 0 };
    if (!ac_parse_u64(ac_view_of(s1.seq), &s.wanted) || !s.wanted)
        return ac_fail(err, AC_EARG, "\"%.40s\" is no number of a record; accord audit list shows them", s1.seq);
    ac_status st = ac_audit_each(".", show_record, &s, err);
    if (!st && !s.out.len) st = ac_fail(err, AC_ENOENT, "the chain has no record %llu", (unsigned long long)s.wanted);
    if (!st) {
        ac_str shown = { 0 };
        ac_cli_foreign(&shown, cli, ac_str_view(&s.out));
        st = ac_str_ok(&s.out) ? ac_cli_result(cli, &shown, err) : ac_fail_nomem(err, s.out.len);
        ac_str_release(&shown);
    }
    ac_str_release(&s.out);
    return st;
}

/* ---- the commands ---- */

static const ac_opt options[] = {
    AC_OPT_GROUP("Output"),
    AC_OPT_BOOL('l', "list", &a.list, "print the records as they stand, one a line, before the result"),
    AC_OPT_END
};

const ac_cmd ac_cmd_audit = {
    .name = "audit",
    .group = "Look",
    .summary = "verify the chain of records: freezes, trainings, openings, refusals",
    .text = "Every record of .accord/audit.jsonl holds the hash of the one before it. A record that was changed, taken "
            "out, put in or moved is named, and the exit code is 1. A tail that was cut off shows only against a head noted "
            "elsewhere: accord audit verify.",
    .options = options,
    .run = run_verify,
};

static const ac_opt verify_options[] = {
    AC_OPT_GROUP("Against what was noted elsewhere"),
    AC_OPT_STR(0, "head", &a.head, "count:hash", "a head that was printed or kept before"),
    AC_OPT_STR('r', "run", &a.run, "run", "every head that this run noted: run.json, verdict.json, checkpoints; a copy will do"),
    AC_OPT_BOOL(0, "lock", &a.lock, "the chain must hold the freezing of accord.lock"),
    AC_OPT_U64(0, "keyed-from", &a.keyed_from, "n", "records from this one on must carry a MAC of the key in ACCORD_AUDIT_KEY; 0: "
               "those behind the first one that does"),
    AC_OPT_END
};

static const char *const verify_examples[] = {
    "accord audit verify",
    "accord audit verify --run /backup/20260131T093000Z-1a2b3c4d --lock",
    NULL
};

const ac_cmd ac_cmd_audit_verify = {
    .name = "audit verify",
    .group = "Look",
    .summary = "is the chain of records whole, and the one that was seen before",
    .text = "Without a head: finds every edit, insertion, deletion and reordering of records. With one: a chain that was cut off, "
            "or written anew from its beginning, too; so with the key that the records were made with (accord key audit). Exit code 1 names what is wrong. A torn last line, as after a power loss, is "
            "told apart; the next act cuts it off and records that.",
    .examples = verify_examples,
    .options = verify_options,
    .run = run_verify,
};

static const ac_opt list_options[] = {
    AC_OPT_GROUP("Which"),
    AC_OPT_STR(0, "act", &f.act, "name", "only these acts, as freeze, train, opening, refusal, promote or verify"),
    AC_OPT_STR('r', "run", &f.run, "run", "only of the runs whose id begins so"),
    AC_OPT_STR(0, "lock", &f.lock, "hash", "only under the locks whose hash begins so"),
    AC_OPT_U64('n', "last", &f.last, "n", "only the last of them; 0: all"),
    AC_OPT_END
};

const ac_cmd ac_cmd_audit_list = {
    .name = "audit list",
    .group = "Look",
    .summary = "the records, one a line",
    .text = "A chain that does not hold is listed up to its first bad record, and the exit code is 1.",
    .options = list_options,
    .run = run_list,
};

static const ac_opt show_options[] = {
    AC_OPT_ARG("SEQ", &s1.seq, "number of the record"),
    AC_OPT_END
};

const ac_cmd ac_cmd_audit_show = {
    .name = "audit show",
    .group = "Look",
    .summary = "one record, whole",
    .text = "The record as it stands in the chain, with its own hash and that of the record before it.",
    .options = show_options,
    .run = run_show,
};
