/* The audit chain (A1, A2) and run folders (A3). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>
#include <cmocka.h>

#include "base/file.h"
#include "ledger/ledger.h"

typedef struct {
    char dir[64], audit[96];
} project;

static int setup(void **state)
{
    project *p = calloc(1, sizeof *p);
    (void)strcpy(p->dir, "/tmp/accord-ledger-XXXXXX");
    if (!p || !mkdtemp(p->dir)) return -1;
    (void)snprintf(p->audit, sizeof p->audit, "%s/.accord/audit.jsonl", p->dir);
    *state = p;
    return 0;
}

static int teardown(void **state)
{
    project *p = *state;
    (void)ac_remove_tree(p->dir, NULL);
    free(p);
    return 0;
}

static void act(const project *p, const char *name, const char *fields)
{
    ac_err err = { 0 };
    if (ac_audit_append(p->dir, name, fields, &err)) fail_msg("%s", err.text);
}

static ac_status verify(const project *p, ac_audit_head *h, ac_err *err)
{
    *err = (ac_err){ 0 };
    return ac_audit_verify(p->dir, h, err);
}

static void load(const project *p, ac_str *s)
{
    assert_int_equal(ac_file_read(s, p->audit, 1 << 20, NULL), AC_OK);
}

static void save(const project *p, const char *text, size_t len)
{
    assert_int_equal(ac_file_write_atomic(p->audit, text, len, NULL), AC_OK);
}

static void three(const project *p)
{
    act(p, "freeze", "\"lock\":\"aa\",\"cases\":48");
    act(p, "opening", "\"lock\":\"aa\",\"nested\":{\"hash\":\"x\",\"z\":[1,2.5,null]}");
    act(p, "opening", "\"lock\":\"bb\",\"text\":\"caf\xc3\xa9 \\\"q\\\"\"");
}

static void chain_grows_and_counts(void **state)
{
    const project *p = *state;
    ac_err err;
    ac_audit_head h = { 0 };
    uint64_t n = 99;
    assert_int_equal(verify(p, &h, &err), AC_OK);
    assert_int_equal(h.count, 0);
    assert_int_equal(ac_audit_count(p->dir, "opening", NULL, &n, NULL), AC_OK);
    assert_int_equal(n, 0);
    three(p);
    assert_int_equal(verify(p, &h, &err), AC_OK);
    assert_int_equal(h.count, 3);
    assert_int_equal(ac_audit_count(p->dir, "opening", NULL, &n, NULL), AC_OK);
    assert_int_equal(n, 2);
    assert_int_equal(ac_audit_count(p->dir, "opening", "aa", &n, NULL), AC_OK);
    assert_int_equal(n, 1);
    assert_int_equal(ac_audit_count(p->dir, "train", NULL, &n, NULL), AC_OK);
    assert_int_equal(n, 0);
    ac_str s = { 0 };
    load(p, &s);
    /* The first record's prev is 64 zeros, keys are sorted, and the head is the last line's hash. */
    const char *zeros = "\"prev\":\"0000000000000000000000000000000000000000000000000000000000000000\",\"seq\":1,";
    assert_int_equal(strncmp(ac_str_c(&s), "{\"act\":\"freeze\",\"cases\":48,\"hash\":\"", 34), 0);
    assert_non_null(strstr(ac_str_c(&s), zeros));
    char hex[AC_SHA256_HEX];
    ac_sha256_hex(hex, &h.head);
    assert_int_equal(ac_view_find(ac_str_view(&s), ac_view_of(hex), 0) != SIZE_MAX, 1);
    ac_str_release(&s);
}

static void bad_fields_write_nothing(void **state)
{
    const project *p = *state;
    ac_err err = { 0 };
    ac_audit_head h;
    assert_int_equal(ac_audit_append(p->dir, "x", "\"seq\":7", &err), AC_EARG);
    assert_int_equal(ac_audit_append(p->dir, "x", "\"hash\":\"7\"", NULL), AC_EARG);
    assert_int_equal(ac_audit_append(p->dir, "x", "\"a\":", NULL), AC_EARG);
    assert_int_equal(verify(p, &h, &err), AC_OK);
    assert_int_equal(h.count, 0);
}

/* Every byte of a three-record chain: changing it is found, and stops further appends. */
static void every_changed_byte_is_found(void **state)
{
    const project *p = *state;
    ac_str s = { 0 };
    ac_err err;
    ac_audit_head h;
    three(p);
    load(p, &s);
    for (size_t i = 0; i < s.len; i++) {
        const char was = s.ptr[i];
        s.ptr[i] = was == '7' ? '8' : '7';
        save(p, s.ptr, s.len);
        if (verify(p, &h, &err) != AC_ENO) fail_msg("byte %zu of %zu ('%c') changed unseen", i, s.len, was);
        assert_non_null(strstr(err.text, "audit.jsonl:"));
        s.ptr[i] = was;
    }
    s.ptr[40] ^= 1;
    save(p, s.ptr, s.len);
    err = (ac_err){ 0 };
    assert_int_equal(ac_audit_append(p->dir, "train", NULL, &err), AC_ESTATE);
    assert_non_null(strstr(err.text, "nothing more is appended"));
    uint64_t n;
    assert_int_equal(ac_audit_count(p->dir, "train", NULL, &n, NULL), AC_ESTATE);
    ac_str_release(&s);
}

static void removed_and_swapped_lines_are_found(void **state)
{
    const project *p = *state;
    ac_str s = { 0 }, t = { 0 };
    ac_err err;
    ac_audit_head h;
    three(p);
    load(p, &s);
    const size_t a = ac_view_find(ac_str_view(&s), AC_VIEW("\n"), 0) + 1;
    const size_t b = ac_view_find(ac_str_view(&s), AC_VIEW("\n"), a) + 1;
    save(p, s.ptr + a, s.len - a);                   /* the first removed */
    assert_int_equal(verify(p, &h, &err), AC_ENO);
    assert_non_null(strstr(err.text, ":1: "));
    ac_str_append(&t, ac_view_slice(ac_str_view(&s), 0, a));
    ac_str_append(&t, ac_view_slice(ac_str_view(&s), b, s.len));
    save(p, t.ptr, t.len);                           /* the second removed */
    assert_int_equal(verify(p, &h, &err), AC_ENO);
    assert_non_null(strstr(err.text, ":2: "));
    ac_str_append(&t, ac_view_slice(ac_str_view(&s), a, b));
    save(p, t.ptr, t.len);                           /* the last two swapped */
    assert_int_equal(verify(p, &h, &err), AC_ENO);
    /* What a plain chain cannot see, and why its head is copied into locks and verdicts: a cut-off tail. */
    save(p, s.ptr, b);
    assert_int_equal(verify(p, &h, &err), AC_OK);
    assert_int_equal(h.count, 2);
    ac_str_release(&s);
    ac_str_release(&t);
}

static void torn_tail_is_cut_and_said(void **state)
{
    const project *p = *state;
    ac_str s = { 0 };
    ac_err err;
    ac_audit_head h;
    uint64_t n;
    three(p);
    load(p, &s);
    for (size_t cut = 1; cut < 200; cut += 7) {
        save(p, s.ptr, s.len - cut);
        assert_int_equal(verify(p, &h, &err), AC_ENO);
        assert_non_null(strstr(err.text, "torn"));
        act(p, "train", "\"lock\":\"aa\"");
        assert_int_equal(verify(p, &h, &err), AC_OK);
        assert_int_equal(h.count, 4);                /* two whole ones, recovered, train */
        assert_int_equal(ac_audit_count(p->dir, "recovered", NULL, &n, NULL), AC_OK);
        assert_int_equal(n, 1);
    }
    ac_str_release(&s);
}

/* ---- runs ---- */

static void put(const char *run, const char *file, const char *text)
{
    char path[256];
    (void)snprintf(path, sizeof path, "%s/%s", run, file);
    assert_int_equal(ac_file_write_atomic(path, text, strlen(text), NULL), AC_OK);
}

static void runs_are_made_found_and_listed(void **state)
{
    const project *p = *state;
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_run_info *list;
    size_t n = 9;
    char *run[3], *found;
    assert_int_equal(ac_runs_list(&list, &n, &a, p->dir, &err), AC_OK);
    assert_int_equal(n, 0);
    assert_int_equal(ac_run_find(&found, &a, p->dir, "latest", &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "accord train"));
    for (int i = 0; i < 3; i++) {
        assert_int_equal(ac_run_create(&run[i], &a, p->dir, &err), AC_OK);
        assert_true(ac_path_is_dir(run[i]));
    }
    /* Made within one second, they still sort as they were made. */
    assert_true(strcmp(run[0], run[1]) < 0 && strcmp(run[1], run[2]) < 0);
    put(run[0], "run.json", "{\"state\":\"trained\",\"started\":\"2026-01-01T00:00:00Z\",\"steps\":12,"
        "\"last_loss\":0.5,\"best_valid_loss\":0.75,\"train_seconds\":3}");
    put(run[0], "verdict.json", "{\"verdict\":\"WIN\"}");
    put(run[1], "run.json", "{\"state\":");
    assert_int_equal(ac_runs_list(&list, &n, &a, p->dir, &err), AC_OK);
    assert_int_equal(n, 3);
    for (size_t i = 0; i < n; i++) {
        if (strcmp(list[i].path, run[0]) != 0) {     /* broken and empty ones are listed all the same */
            assert_string_equal(list[i].state, "unknown");
            assert_true(isnan(list[i].train_loss) && !list[i].verdict && !list[i].has_steps);
            continue;
        }
        assert_string_equal(list[i].state, "trained");
        assert_string_equal(list[i].verdict, "WIN");
        assert_true(list[i].has_steps && list[i].steps == 12);
        assert_true(list[i].train_loss == 0.5 && list[i].valid_loss == 0.75 && list[i].seconds == 3);
    }
    const char *id = strrchr(run[0], '/') + 1;
    assert_int_equal(ac_run_find(&found, &a, p->dir, id, &err), AC_OK);
    assert_string_equal(found, run[0]);
    assert_int_equal(ac_run_find(&found, &a, p->dir, id + 17, &err), AC_OK);     /* the hex part alone */
    assert_string_equal(found, run[0]);
    assert_int_equal(ac_run_find(&found, &a, p->dir, run[2], &err), AC_OK);      /* a path */
    assert_string_equal(found, run[2]);
    err = (ac_err){ 0 };
    assert_int_equal(ac_run_find(&found, &a, p->dir, "20", &err), AC_EARG);
    assert_non_null(strstr(err.text, "could be"));
    assert_int_equal(ac_run_find(&found, &a, p->dir, "zz", NULL), AC_ENOENT);
    ac_arena_release(&a);
}

static void env_is_json_with_the_facts(void **state)
{
    const project *p = *state;
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_str s = { 0 };
    const ac_json *env;
    char arg0[] = "accord", arg1[] = "tr\"ain\n";
    char *argv[] = { arg0, arg1 };
    assert_int_equal(ac_env_json(&s, &(ac_env_facts){ .argc = 2, .argv = argv, .tier = "avx2", .threads = 2, .project = p->dir }, &err), AC_OK);
    assert_int_equal(ac_json_parse(&env, ac_str_view(&s), &a, "env", 1, NULL, &err), AC_OK);
    assert_true(ac_view_eq_str(ac_json_get(env, "argv")->child->next->text, "tr\"ain\n"));
    assert_true(ac_view_eq_str(ac_json_get(ac_json_get(env, "machine"), "tier")->text, "avx2"));
    assert_int_equal(ac_json_get(env, "git")->type, AC_JSON_NULL);      /* a fresh folder is no repository */
    assert_true(ac_json_get(ac_json_get(env, "machine"), "memory_bytes")->number > 1e6);
    assert_int_equal(ac_json_get(ac_json_get(env, "build"), "program_sha256")->text.len, 64);
    assert_non_null(ac_json_get(ac_json_get(ac_json_get(env, "machine"), "gpu"), "method"));
    assert_int_equal(ac_json_get(env, "lock")->type, AC_JSON_NULL);
    ac_arena_release(&a);
    ac_str_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

static void env_names_the_commit(void **state)
{
    const project *p = *state;
    ac_arena a = { 0 };
    ac_str s = { 0 };
    const ac_json *env;
    char cmd[512];
    (void)snprintf(cmd, sizeof cmd, "cd %s && git init -q . 2>/dev/null && echo a > f && git add f && git -c user.name=t "
                   "-c user.email=t@example.org commit -qm m 2>/dev/null", p->dir);
    if (system(cmd) != 0) skip();                    /* no git here */
    for (int dirty = 0; dirty < 2; dirty++) {
        char f[128];
        (void)snprintf(f, sizeof f, "%s/f", p->dir);
        if (dirty) assert_int_equal(ac_file_write_atomic(f, "b\n", 2, NULL), AC_OK);
        ac_str changes = { 0 };
        ac_str_reset(&s);
        assert_int_equal(ac_env_json(&s, &(ac_env_facts){ .tier = "ref", .threads = 1, .project = p->dir, .diff = &changes }, NULL), AC_OK);
        assert_int_equal(ac_json_parse(&env, ac_str_view(&s), &a, "env", 1, NULL, NULL), AC_OK);
        const ac_json *g = ac_json_get(env, "git");
        assert_int_equal(ac_json_get(g, "commit")->text.len, 40);
        assert_int_equal(ac_json_get(g, "dirty")->boolean, dirty);
        assert_int_equal(changes.len, ac_json_get(g, "diff_bytes")->number);
        assert_int_equal(strstr(ac_str_c(&changes), "+b") != NULL, dirty);
        ac_str_release(&changes);
        assert_int_equal(ac_json_get(g, "diff_sha256")->type, dirty ? AC_JSON_STRING : AC_JSON_NULL);
    }
    ac_arena_release(&a);
    ac_str_release(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(chain_grows_and_counts, setup, teardown),
        cmocka_unit_test_setup_teardown(bad_fields_write_nothing, setup, teardown),
        cmocka_unit_test_setup_teardown(every_changed_byte_is_found, setup, teardown),
        cmocka_unit_test_setup_teardown(removed_and_swapped_lines_are_found, setup, teardown),
        cmocka_unit_test_setup_teardown(torn_tail_is_cut_and_said, setup, teardown),
        cmocka_unit_test_setup_teardown(runs_are_made_found_and_listed, setup, teardown),
        cmocka_unit_test_setup_teardown(env_is_json_with_the_facts, setup, teardown),
        cmocka_unit_test_setup_teardown(env_names_the_commit, setup, teardown),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
