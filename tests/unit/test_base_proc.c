/* Running other programs: output, exit codes, limits, and nothing left behind. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/mem.h"
#include "base/proc.h"
#include "base/time.h"

static ac_status run(const char *script, const ac_proc_limits *l, ac_str *out, int *code, ac_err *err)
{
    const char *const argv[] = { "sh", "-c", script, NULL };
    return ac_proc_run(argv, l, out, code, err);
}

static void output_and_code(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_str out = { 0 };
    int code = -1;
    assert_int_equal(run("printf 'a\\nb'; echo hidden >&2; cat; exit 7", NULL, &out, &code, &err), AC_OK);
    assert_string_equal(ac_str_c(&out), "a\nb");
    assert_int_equal(code, 7);
    ac_str_reset(&out);
    const ac_proc_limits both = { .with_stderr = true };
    assert_int_equal(run("echo one; echo two >&2; kill -9 $$", &both, &out, &code, &err), AC_OK);
    assert_string_equal(ac_str_c(&out), "one\ntwo\n");
    assert_int_equal(code, 137);
    ac_str_release(&out);
    assert_int_equal(ac_live_bytes(), 0);
}

static void no_shell_no_program(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_str out = { 0 };
    int code = -1;
    const char *const echo[] = { "echo", "$HOME; `id` *", NULL }, *const none[] = { "no-such-program-at-all", NULL };
    assert_int_equal(ac_proc_run(echo, NULL, &out, &code, &err), AC_OK);
    assert_string_equal(ac_str_c(&out), "$HOME; `id` *\n");
#ifdef ACCORD_EMULATED
    print_message("not run: qemu-user makes vfork a fork, so posix_spawn cannot tell that no program was found\n");
    (void)none;
#else
    assert_int_equal(ac_proc_run(none, NULL, &out, &code, &err), AC_ENOENT);
    assert_non_null(strstr(err.text, "no-such-program-at-all"));
#endif
    ac_str_release(&out);
}

static void limits_hold(void **state)
{
    (void)state;
    ac_err err = { 0 };
    ac_str out = { 0 };
    int code = -1;
    const ac_proc_limits few = { .max_bytes = 1000 }, brief = { .timeout_ms = 150 };
    assert_int_equal(run("yes", &few, &out, &code, &err), AC_EIO);
    assert_non_null(strstr(err.text, "1000 bytes"));
    assert_int_equal(code, -1);
    err = (ac_err){ 0 };
    const int64_t start = ac_mono_ns();
    assert_int_equal(run("exec sleep 30", &brief, &out, &code, &err), AC_EIO);
    assert_non_null(strstr(err.text, "in time"));
    assert_int_equal(run("exec >&-; exec sleep 30", &brief, &out, &code, NULL), AC_OK);
    assert_int_equal(code, 137);
    assert_true(ac_mono_ns() - start < INT64_C(10000000000));
    ac_str_release(&out);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(output_and_code), cmocka_unit_test(no_shell_no_program), cmocka_unit_test(limits_hold),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
