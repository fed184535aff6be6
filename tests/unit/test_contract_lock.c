/* freeze, the lock and the gate: what is refused, what is sealed, and that each change is named (K2, K3, V1). */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "contract_fixture.h"
#include "eval/stats.h"

static int fresh(void **state)
{
    (void)state;
    cf_reset();
    return 0;
}

typedef struct {
    ac_lock lock;
    ac_str report;
    ac_err err;
    ac_status st;
} outcome;

static outcome freeze(const ac_freeze_opts *o)
{
    static const ac_freeze_opts none = { 0 };
    outcome r = { .st = AC_OK };
    ac_contract c = { 0 };
    r.st = ac_contract_read(&c, df_dir, &r.err);
    if (!r.st) r.st = ac_freeze(&r.lock, &c, o ? o : &none, &r.report, &r.err);
    ac_contract_release(&c);
    return r;
}

static void drop(outcome *r)
{
    ac_lock_release(&r->lock);
    ac_str_release(&r->report);
}

static void freezes(void)
{
    outcome r = freeze(NULL);
    if (r.st) fail_msg("%s\n%s", r.err.text, ac_str_c(&r.report));
    drop(&r);
}

static void refuses(const ac_freeze_opts *o, ac_status st, const char *says)
{
    const int64_t live = ac_live_bytes();
    ac_str before = { 0 }, after = { 0 };
    const bool had = ac_file_read(&before, df_path("accord.lock"), 1 << 20, NULL) == AC_OK;
    outcome r = freeze(o);
    if (r.st != st || !strstr(r.err.text, says))
        fail_msg("wanted %s \"%s\", found %s \"%s\"", ac_status_name(st), says, ac_status_name(r.st), r.err.text);
    /* Nothing half-written: the lock is as it was, and nothing lies beside it. */
    const bool has = ac_file_read(&after, df_path("accord.lock"), 1 << 20, NULL) == AC_OK;
    assert_int_equal(had, has);
    assert_true(ac_view_eq(ac_str_view(&before), ac_str_view(&after)));
    ac_arena a = { 0 };
    char **names;
    size_t n;
    assert_int_equal(ac_dir_list(df_dir, &a, &names, &n, NULL), AC_OK);
    for (size_t i = 0; i < n; i++) assert_true(names[i][0] != '.' && !strstr(names[i], "tmp"));
    ac_arena_release(&a);
    ac_str_release(&before);
    ac_str_release(&after);
    drop(&r);
    assert_int_equal(ac_live_bytes(), live);
}

static ac_status gate(ac_err *err)
{
    ac_contract c = { 0 };
    ac_lock l = { 0 };
    ac_status st = ac_contract_read(&c, df_dir, err);
    if (!st) st = ac_lock_read(&l, &c, err);
    if (!st) st = ac_gate(&l, &c, err);
    ac_lock_release(&l);
    ac_contract_release(&c);
    return st;
}

static void gate_says(ac_status want, const char *says)
{
    ac_err err = { 0 };
    const ac_status st = gate(&err);
    if (st != want || !strstr(err.text, says))
        fail_msg("wanted %s \"%s\", found %s \"%s\"", ac_status_name(want), says, ac_status_name(st), err.text);
}

static void sealed_and_passed(void **state)
{
    (void)state;
    gate_says(AC_EREFUSED, "run: accord freeze");
    outcome r = freeze(NULL);
    if (r.st) fail_msg("%s\n%s", r.err.text, ac_str_c(&r.report));
    assert_int_equal(r.lock.n_cases, 30);
    assert_int_equal(r.lock.n_class[0], 19);
    assert_int_equal(r.lock.n_class[1], 6);
    assert_int_equal(r.lock.n_class[2], 5);
    assert_int_equal(r.lock.number, 1);
    assert_true(r.lock.smallest_gain_points == ac_stats_smallest_gain(30));
    assert_true(r.lock.smallest_gain_points == 30.5);
    const ac_sha256 h = ac_sha256_of(ac_str_c(&r.lock.text), r.lock.text.len);
    assert_memory_equal(&h, &r.lock.hash, sizeof h);
    /* Canonical JSON and one line end. */
    ac_arena a = { 0 };
    const ac_json *t;
    ac_str again = { 0 };
    assert_int_equal(ac_json_parse_file(&t, df_path("accord.lock"), &a, NULL, NULL), AC_OK);
    ac_json_canonical(&again, t);
    ac_str_append_char(&again, '\n');
    assert_string_equal(ac_str_c(&again), ac_str_c(&r.lock.text));
    static const char *const sealed[] = { "base.model", "base.tokenizer", "data.train", "data.valid", "eval.cases",
                                          "eval.docs" };
    for (size_t i = 0; i < AC_COUNTOF(sealed); i++)
        assert_int_equal(ac_json_get(ac_json_get(ac_json_get(t, "sealed"), sealed[i]), "sha256")->text.len, 64);
    assert_true(ac_json_get(ac_json_get(ac_json_get(t, "values"), "eval"), "margin")->number == 12.5);
    assert_true(ac_json_get(ac_json_get(ac_json_get(t, "values"), "method"), "rank")->number == 16);
    ac_arena_release(&a);
    ac_str_release(&again);
    drop(&r);
    gate_says(AC_OK, "");
    assert_int_equal(ac_live_bytes(), 0);
}

static void same_world_same_lock(void **state)
{
    (void)state;
    outcome a = freeze(NULL), b = freeze(NULL);
    assert_int_equal(a.st || b.st, AC_OK);
    assert_true(!a.lock.unchanged && b.lock.unchanged);
    assert_memory_equal(&a.lock.hash, &b.lock.hash, sizeof a.lock.hash);
    drop(&b);
    cf_rows("train.jsonl", 0, 41);
    b = freeze(NULL);
    assert_int_equal(b.st, AC_OK);
    assert_int_equal(b.lock.number, 2);                                /* and it names the one before */
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &a.lock.hash);
    assert_true(ac_view_eq_str(ac_json_get(b.lock.tree, "previous")->text, hex));
    drop(&a);
    a = freeze(NULL);
    assert_true(a.lock.unchanged && a.lock.number == 2);
    drop(&a);
    drop(&b);
    /* A comment is no change. */
    ac_str s = { 0 };
    ac_str_appendf(&s, "# a remark\n%s", cf_yaml);
    (void)df_text("accord.yaml", ac_str_c(&s));
    ac_str_release(&s);
    gate_says(AC_OK, "");
}

static void every_change_is_named(void **state)
{
    (void)state;
    freezes();
    static const struct {
        const char *file, *text, *says;
    } change[] = {
        { "train.jsonl", "{\"prompt\":\"p\",\"completion\":\"c\"}\n", "data.train (train.jsonl)" },
        { "valid.jsonl", "{\"prompt\":\"p\",\"completion\":\"c\"}\n", "data.valid (valid.jsonl)" },
        { "cases.jsonl", "{\"id\":\"x\",\"input\":\"i\",\"ideal\":\"j\"}\n", "eval.cases (cases.jsonl)" },
        { "docs/a.md", "other", "eval.docs (docs)" },
        { "docs/new.md", "new", "eval.docs (docs)" },
        { "model/config.json", "{\"a\":1}", "base.model (model)" },
        { "model/model.safetensors", "others", "base.model (model)" },
    };
    for (size_t i = 0; i < AC_COUNTOF(change); i++) {
        ac_str was = { 0 };
        const bool had = ac_file_read(&was, df_path(change[i].file), 1 << 20, NULL) == AC_OK;
        (void)df_text(change[i].file, change[i].text);
        gate_says(AC_ECONTRACT, change[i].says);
        if (had) (void)df_write(change[i].file, was.ptr, was.len);
        else assert_int_equal(ac_remove_tree(df_path(change[i].file), NULL), AC_OK);
        ac_str_release(&was);
        gate_says(AC_OK, "");
    }
    /* All in one message, with the values, and what is gone. */
    ac_str y = { 0 };
    ac_str_appendf(&y, "%s  rank: 8\n  lr: 1e-3\n", cf_yaml);
    (void)df_text("accord.yaml", ac_str_c(&y));
    ac_str_release(&y);
    (void)df_text("docs/a.md", "other");
    assert_int_equal(ac_remove_tree(df_path("valid.jsonl"), NULL), AC_OK);
    gate_says(AC_ECONTRACT, "method.rank (16, now 8)");
    gate_says(AC_ECONTRACT, "method.lr (0.0002, now 0.001)");
    gate_says(AC_ECONTRACT, "eval.docs (docs)");
    gate_says(AC_ECONTRACT, "data.valid (valid.jsonl, now missing)");
}

/* The lock's text with one piece in place of another. */
static void edit_lock(const char *was, const char *is)
{
    ac_str s = { 0 }, out = { 0 };
    assert_int_equal(ac_file_read(&s, df_path("accord.lock"), 1 << 20, NULL), AC_OK);
    const size_t at = ac_view_find(ac_str_view(&s), ac_view_of(was), 0);
    assert_true(at != SIZE_MAX);
    ac_str_append(&out, ac_view_slice(ac_str_view(&s), 0, at));
    ac_str_append_c(&out, is);
    ac_str_append(&out, ac_view_slice(ac_str_view(&s), at + strlen(was), s.len));
    (void)df_write("accord.lock", out.ptr, out.len);
    ac_str_release(&s);
    ac_str_release(&out);
}

/* A lock of an older program holds, as long as the keys that it does not know have their defaults; one of a younger program is
 * not followed in part. */
static void locks_of_other_versions(void **state)
{
    (void)state;
    freezes();
    edit_lock("\"memory\":{\"budget\":null,\"reserve\":null},", "");
    gate_says(AC_OK, "");
    edit_lock("\"polite\":true,", "");
    gate_says(AC_OK, "");
    ac_str y = { 0 };
    ac_str_appendf(&y, "%s\nmemory:\n  budget: 8G\nguard:\n  polite: false\n", cf_yaml);
    (void)df_text("accord.yaml", ac_str_c(&y));
    ac_str_release(&y);
    gate_says(AC_ECONTRACT, "memory.budget (not sealed, now \"8G\")");
    gate_says(AC_ECONTRACT, "guard.polite (not sealed, now false)");
    (void)df_text("accord.yaml", cf_yaml);
    gate_says(AC_OK, "");
    edit_lock("\"beside\":false,", "\"beside\":false,\"besides\":true,");
    gate_says(AC_ECONTRACT, "guard.besides (sealed, but not known to this program)");
}

static void model_that_is_gone_says_how_to_get_it(void **state)
{
    (void)state;
    freezes();
    assert_int_equal(ac_rename(df_path("model"), df_path("away"), NULL), AC_OK);
    gate_says(AC_ENOENT, "accord model pull");
    assert_int_equal(ac_rename(df_path("away"), df_path("model"), NULL), AC_OK);
}

static void damaged_locks_stop(void **state)
{
    (void)state;
    ac_str s = { 0 };
    freezes();
    assert_int_equal(ac_file_read(&s, df_path("accord.lock"), 1 << 20, NULL), AC_OK);
    for (size_t cut = 1; cut < s.len; cut += 37) {
        (void)df_write("accord.lock", s.ptr, s.len - cut);
        gate_says(AC_ECONTRACT, "");
    }
    (void)df_write("accord.lock", s.ptr, s.len - 1);                   /* the line end alone */
    gate_says(AC_ECONTRACT, "it was edited");
    refuses(NULL, AC_ECONTRACT, "it was edited");                      /* nor is it silently replaced */
    ac_str_append_c(&s, " ");
    (void)df_write("accord.lock", s.ptr, s.len);
    gate_says(AC_ECONTRACT, "it was edited");
    (void)df_text("accord.lock", "{}\n");
    gate_says(AC_ECONTRACT, "\"cases\" is missing");
    (void)df_text("accord.lock", "{\"cases\":{\"edge\":1,\"n\":-1,\"refusal\":1,\"success\":1},\"number\":0}\n");
    gate_says(AC_ECONTRACT, "missing or bad");
    ac_str_release(&s);
}

static void too_few_cases(void **state)
{
    (void)state;
    const ac_freeze_opts ok = { .accept_small_reason = "pilot" }, empty = { .accept_small_reason = "" };
    cf_cases(29, 6, 5, "");
    refuses(NULL, AC_EREFUSED, "29 cases (18 success, 6 refusal, 5 edge) are too few");
    cf_cases(40, 4, 10, "");
    refuses(NULL, AC_EREFUSED, "--accept-small");
    refuses(&empty, AC_EARG, "--reason");
    outcome r = freeze(&ok);
    if (r.st) fail_msg("%s", r.err.text);
    assert_true(ac_view_eq_str(ac_json_get(r.lock.tree, "accept_small")->text, "pilot"));
    drop(&r);
    cf_cases(40, 10, 10, "");
    refuses(&ok, AC_EARG, "no meaning here");
}

static void id_in(const ac_str *report, const char *kind, char id[64])
{
    const char *p = strstr(ac_str_c(report), kind);
    assert_non_null(p);
    size_t n = 0;
    while (n < 63 && p[n] && p[n] != ' ') n++;
    memcpy(id, p, n);
    id[n] = '\0';
}

static void leaks_block_until_accepted(void **state)
{
    (void)state;
    ac_str q = { 0 }, rows = { 0 };
    char id[64];
    cf_question(&q, "ask", 1003);
    ac_str_appendf(&rows, "{\"prompt\":\"a b c d\",\"completion\":\"e\"}\n{\"prompt\":\"%s?\",\"completion\":\"x\"}\n", ac_str_c(&q));
    (void)df_write("train.jsonl", rows.ptr, rows.len);
    refuses(NULL, AC_EREFUSED, "leak-exact-");
    outcome r = freeze(NULL);
    id_in(&r.report, "leak-exact-", id);
    assert_non_null(strstr(ac_str_c(&r.report), "case-03"));
    assert_non_null(strstr(ac_str_c(&r.report), "train.jsonl:2"));
    drop(&r);
    const char *const one[] = { id }, *const other[] = { "leak-exact-00000000" };
    const ac_freeze_opts with = { .accept_leak = one, .n_accept_leak = 1, .accept_leak_reason = "agreed in review" };
    const ac_freeze_opts without = { .accept_leak = one, .n_accept_leak = 1 };
    const ac_freeze_opts wrong = { .accept_leak = other, .n_accept_leak = 1, .accept_leak_reason = "r" };
    refuses(&without, AC_EARG, "--reason");
    refuses(&wrong, AC_EARG, "no such blocking finding");
    r = freeze(&with);
    if (r.st) fail_msg("%s", r.err.text);
    const ac_json *acc = ac_json_get(r.lock.tree, "accepted")->child;
    assert_true(ac_view_eq_str(ac_json_get(acc, "id")->text, id));
    assert_true(ac_view_eq_str(ac_json_get(acc, "reason")->text, "agreed in review"));
    drop(&r);
    gate_says(AC_OK, "");
    ac_str_release(&q);
    ac_str_release(&rows);
}

static void leaks_are_sought_everywhere(void **state)
{
    (void)state;
    ac_str q = { 0 }, t = { 0 };
    cf_question(&q, "ask", 1007);
    ac_str_appendf(&t, "{\"prompt\":\"%s\",\"completion\":\"x\"}\n", ac_str_c(&q));
    (void)df_write("valid.jsonl", t.ptr, t.len);
    refuses(NULL, AC_EREFUSED, "leak-exact-");
    cf_rows("valid.jsonl", 200, 10);
    ac_str_reset(&t);
    ac_str_appendf(&t, "# Worked\n\nFirst words, then: %s and then the answer: ideal 7\n", ac_str_c(&q));
    cf_doc("b.md", ac_str_c(&t));
    refuses(NULL, AC_EREFUSED, "leak-exact-");
    cf_doc("b.md", "# Copied\n\nSomebody pasted canary-of-the-fixture-01 here.\n");
    refuses(NULL, AC_EREFUSED, "leak-canary-");
    cf_doc("b.md", "# Fine\n\nNothing of the kind.\n");
    cf_rows("valid.jsonl", 39, 10);
    refuses(NULL, AC_EREFUSED, "train-valid-");
    cf_rows("valid.jsonl", 200, 10);
    ac_str_reset(&t);
    ac_str_appendf(&t, "{\"id\":\"again\",\"class\":\"edge\",\"input\":\"%s\",\"ideal\":\"y\"}\n", ac_str_c(&q));
    cf_cases(30, 6, 5, ac_str_c(&t));
    refuses(NULL, AC_EREFUSED, "1 finding must not be sealed: case-duplicate-");
    cf_cases(30, 6, 5, "");
    (void)df_text("train.jsonl", "{\"prompt\":\"a\\u202eb\",\"completion\":\"c\"}\n");
    refuses(NULL, AC_EREFUSED, "unicode-hidden-");
    ac_str_release(&q);
    ac_str_release(&t);
    assert_int_equal(ac_remove_tree(df_path("docs/b.md"), NULL), AC_OK);
}

/* A secret in rows, cases or documents blocks, and its value is nowhere in what is said; personal data warns. */
static void secrets_are_sought_everywhere(void **state)
{
    (void)state;
    static const char secret[] = "ghp_w9Xk2LmQ4rTz7VbN1cPd8SfGh3JyUe5A6oRi";
    char row[400], id[64];
    (void)snprintf(row, sizeof row, "{\"prompt\":\"use %s, Ann: ann@shop.example\",\"completion\":\"c\"}\n", secret);
    (void)df_text("train.jsonl", row);
    refuses(NULL, AC_EREFUSED, "secret-");
    outcome r = freeze(NULL);
    id_in(&r.report, "secret-", id);
    assert_non_null(strstr(ac_str_c(&r.report), "train.jsonl:1:github-token:1.00 (40 characters)"));
    assert_non_null(strstr(ac_str_c(&r.report), "train.jsonl:1:EMAIL_ADDRESS:1.00 xxx@xxxx.xxxxxxx"));
    assert_null(strstr(ac_str_c(&r.report), "w9Xk2"));
    assert_null(strstr(r.err.text, "w9Xk2"));
    assert_null(strstr(ac_str_c(&r.report), "ann@"));
    drop(&r);
    const char *const one[] = { id };
    const ac_freeze_opts with = { .accept_leak = one, .n_accept_leak = 1, .accept_leak_reason = "revoked" };
    r = freeze(&with);
    if (r.st) fail_msg("%s", r.err.text);
    drop(&r);
    cf_rows("train.jsonl", 0, 40);
    (void)snprintf(row, sizeof row, "{\"id\":\"s\",\"class\":\"edge\",\"input\":\"what key\",\"ideal\":\"%s\"}\n", secret);
    cf_cases(30, 6, 5, row);
    refuses(NULL, AC_EREFUSED, "secret-");
    cf_cases(30, 6, 5, "");
    (void)snprintf(row, sizeof row, "# Keys\n\nThe token\nis %s today.\n", secret);
    cf_doc("k.md", row);
    refuses(NULL, AC_EREFUSED, "secret-");
    r = freeze(NULL);
    assert_non_null(strstr(ac_str_c(&r.report), "k.md:4:github-token"));
    drop(&r);
    /* Rules of one's own take the place of ours, and are sealed. */
    (void)df_text("rules.toml", "[[rules]]\nid = 'house'\nregex = 'house-[0-9]{6}'\n");
    (void)df_text("accord.yaml", "base:\n  model: model\n  chat_format: chatml\ndata:\n  train: train.jsonl\n"
                                 "  secret_rules: rules.toml\neval:\n  cases: cases.jsonl\n  docs: docs\n");
    freezes();
    gate_says(AC_OK, "");
    (void)df_text("rules.toml", "[[rules]]\nid = 'house'\nregex = 'house-[0-9]{5}'\n");
    gate_says(AC_ECONTRACT, "the content of data.secret_rules");
    cf_doc("k.md", "# Keys\n\nThe key is house-123456.\n");
    refuses(NULL, AC_EREFUSED, "secret-");
    assert_int_equal(ac_remove_tree(df_path("docs/k.md"), NULL), AC_OK);
}

/* Hashes say that nothing changed since the checks were made, not that today's were. */
static void older_checks_do_not_train(void **state)
{
    (void)state;
    ac_contract c = { 0 };
    ac_lock l = { 0 }, old = { 0 };
    ac_str text = { 0 };
    ac_err err = { 0 };
    freezes();
    assert_int_equal(ac_contract_read(&c, df_dir, NULL), AC_OK);
    assert_int_equal(ac_lock_read(&l, &c, NULL), AC_OK);
    assert_int_equal(ac_gate_checks(&l, &c, &err), AC_OK);
    const char *full = ac_str_c(&l.text), *at = strstr(full, "\"checks\":");
    assert_non_null(at);
    ac_str_append(&text, (ac_view){ full, (size_t)(at - full) });
    ac_str_append_c(&text, strchr(at, ',') + 1);
    (void)df_write("accord.lock", text.ptr, text.len);
    assert_int_equal(ac_lock_read(&old, &c, NULL), AC_OK);
    assert_int_equal(ac_gate(&old, &c, &err), AC_OK);
    assert_int_equal(ac_gate_checks(&old, &c, &err), AC_EREFUSED);
    assert_non_null(strstr(err.text, "run: accord freeze"));
    ac_lock_release(&l);
    ac_lock_release(&old);
    ac_contract_release(&c);
    ac_str_release(&text);
}

static void bad_inputs_keep_their_codes(void **state)
{
    (void)state;
    freezes();
    (void)df_text("train.jsonl", "{\"prompt\":\"a\"}\n");
    refuses(NULL, AC_EFORMAT, "train.jsonl:1:1");
    (void)df_text("train.jsonl", "{\"messages\":[{\"role\":\"user\",\"content\":\"only\"}]}\n");
    refuses(NULL, AC_EFORMAT, "no supervised token");
    cf_rows("train.jsonl", 0, 40);
    (void)df_text("cases.jsonl", "{\"id\":1}\n");
    refuses(NULL, AC_EFORMAT, "cases.jsonl:1");
    assert_int_equal(ac_remove_tree(df_path("cases.jsonl"), NULL), AC_OK);
    refuses(NULL, AC_ENOENT, "eval.cases");
    cf_cases(30, 6, 5, "{\"id\":\"q\",\"class\":\"edge\",\"input\":\"what\",\"assert\":[{\"type\":\"sql-equal\",\"value\":\"SELECT 1\"}]}\n");
    refuses(NULL, AC_ECONTRACT, "names no eval.database");
    cf_cases(30, 6, 5, "");
    ac_str y = { 0 };
    ac_str_append_c(&y, cf_yaml);
    const size_t at = (size_t)(strstr(cf_yaml, "method:") - cf_yaml);
    ac_str z = { 0 };
    ac_str_appendf(&z, "%.*s  database: docs/a.md\n%s", (int)at, cf_yaml, cf_yaml + at);
    (void)df_text("accord.yaml", ac_str_c(&z));
    refuses(NULL, AC_ECONTRACT, "eval.database has no effect: no case of ");
    ac_str_release(&y);
    ac_str_release(&z);
}

/* The contract with a line more in front of a section. */
static void with_line(const char *section, const char *line)
{
    ac_str s = { 0 };
    const size_t at = (size_t)(strstr(cf_yaml, section) - cf_yaml);
    ac_str_appendf(&s, "%.*s  %s\n%s", (int)at, cf_yaml, line, cf_yaml + at);
    (void)df_text("accord.yaml", ac_str_c(&s));
    ac_str_release(&s);
}

/* Cases that each bring a system turn and, for refusals, their own sentence. */
static void whole_cases(void)
{
    ac_str s = { 0 };
    for (unsigned i = 0; i < 30; i++) {
        const bool no = i < 6;
        ac_str_appendf(&s, "{\"id\":\"w%u\",\"class\":\"%s\",\"turns\":[{\"role\":\"system\",\"content\":\"s\"},"
                       "{\"role\":\"user\",\"content\":\"", i, no ? "refusal" : i < 11 ? "edge" : "success");
        cf_question(&s, "ask", 1000 + i);
        ac_str_appendf(&s, "\"}],\"assert\":[{\"type\":\"%s\",\"value\":\"ideal %u\"}]}\n", no ? "is-refusal" : "equals", i);
    }
    (void)df_write("cases.jsonl", ac_str_c(&s), s.len);
    ac_str_release(&s);
}

/* Words that would meet no case or row are refused (T7); where they meet one they are sealed. */
static void words_without_effect_are_refused(void **state)
{
    (void)state;
    cf_reset();
    with_line("data:", "system: You are a shop.");
    outcome r = freeze(NULL);
    if (r.st) fail_msg("%s", r.err.text);
    drop(&r);
    cf_reset();
    with_line("method:", "refusal: I cannot.");
    refuses(NULL, AC_ECONTRACT, "eval.refusal has no effect");      /* each refusal case has its ideal */
    cf_cases(30, 6, 5, "{\"id\":\"q\",\"class\":\"refusal\",\"input\":\"may I\"}\n");
    r = freeze(NULL);
    if (r.st) fail_msg("%s", r.err.text);
    drop(&r);
    cf_reset();
    whole_cases();
    r = freeze(NULL);
    if (r.st) fail_msg("%s", r.err.text);
    drop(&r);
    with_line("data:", "system: You are a shop.");
    refuses(NULL, AC_ECONTRACT, "base.system has no effect: every case of ");
    with_line("method:", "refusal: I cannot.");
    refuses(NULL, AC_ECONTRACT, "eval.refusal has no effect");
    cf_reset();
    ac_str rows = { 0 };
    for (unsigned i = 0; i < 40; i++) ac_str_appendf(&rows, "{\"text\":\"plain words of row %u, %u\"}\n", i, i * i + 7);
    (void)df_write("train.jsonl", ac_str_c(&rows), rows.len);
    ac_str_release(&rows);
    with_line("eval:", "mask: last");
    refuses(NULL, AC_ECONTRACT, "data.mask: last has no effect");
}

typedef struct {
    size_t n;
    ac_status st;
    int asked;
} reference_check;

static ac_status check(void *ctx, const char *database, const char *refusal, const char *cases_path, ac_str *problems,
                       size_t *n_problems, ac_err *err)
{
    reference_check *r = ctx;
    assert_null(database);
    assert_null(refusal);
    assert_non_null(strstr(cases_path, "cases.jsonl"));
    r->asked++;
    *n_problems = r->n;
    if (r->n) ac_str_append_c(problems, "case-01: fails\n");
    return r->st ? ac_fail(err, r->st, "grader") : AC_OK;
}

static void references_must_pass(void **state)
{
    (void)state;
    reference_check r = { .n = 2 };
    const ac_freeze_opts o = { .check_reference = check, .check_ctx = &r };
    refuses(&o, AC_EREFUSED, "2 reference answers fail their own graders");
    r = (reference_check){ .st = AC_ECONTRACT };
    refuses(&o, AC_ECONTRACT, "grader");
    r = (reference_check){ 0 };
    outcome f = freeze(&o);
    assert_int_equal(f.st, AC_OK);
    assert_int_equal(r.asked, 1);
    drop(&f);
}

/* Cases of one cluster count once, so they show less. */
static void clusters_count_once(void **state)
{
    (void)state;
    ac_str s = { 0 };
    for (unsigned i = 0; i < 10; i++) {
        ac_str_appendf(&s, "{\"id\":\"k%u\",\"class\":\"success\",\"cluster\":\"one\",\"ideal\":\"z\",\"input\":\"", i);
        cf_question(&s, "probe", 3000 + i);
        ac_str_append_c(&s, "\"}\n");
    }
    cf_cases(30, 6, 5, ac_str_c(&s));
    outcome r = freeze(NULL);
    if (r.st) fail_msg("%s", r.err.text);
    assert_int_equal(r.lock.n_cases, 40);
    assert_true(ac_json_get(ac_json_get(r.lock.tree, "cases"), "clusters")->number == 31);
    assert_true(r.lock.smallest_gain_points == ac_stats_smallest_gain(31));
    drop(&r);
    ac_str_release(&s);
}

#define T(f) cmocka_unit_test_setup(f, fresh)

int main(void)
{
    const struct CMUnitTest tests[] = {
        T(sealed_and_passed), T(same_world_same_lock), T(every_change_is_named), T(locks_of_other_versions),
        T(model_that_is_gone_says_how_to_get_it),
        T(damaged_locks_stop), T(too_few_cases), T(leaks_block_until_accepted), T(leaks_are_sought_everywhere),
        T(secrets_are_sought_everywhere), T(older_checks_do_not_train),
        T(bad_inputs_keep_their_codes), T(references_must_pass), T(clusters_count_once),
        T(words_without_effect_are_refused),
    };
    if (cf_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
