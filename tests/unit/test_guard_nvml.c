/* NVML through a stub library: each figure, each reason bit, processes that are not ours, Xids, missing functions, lost GPUs. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <string.h>
#include <cmocka.h>

#include <dlfcn.h>
#include <stdio.h>

#include "base/fault.h"
#include "base/mem.h"
#include "guard/nvml.h"
#include "stub/nvml_stub.h"

static const int64_t ours[] = { 100, 101 };
static nvml_stub_state saved;

static void path_of(char out[300], const char *kind)
{
    (void)snprintf(out, 300, "%s/nvml_stub_%s.so", ACCORD_NVML_STUBS, kind);
}

/* The stub's own state, as it is when nobody has touched it. Loaded for good, so that its address stays. */
static nvml_stub_state *stub(const char *kind)
{
    char path[300];
    path_of(path, kind);
    void *lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!lib) fail_msg("%s", dlerror());
    nvml_stub_state *s = dlsym(lib, "nvml_stub");
    assert_non_null(s);
    if (!saved.gpu[0].total) saved = *s;
    *s = saved;
    return s;
}

static ac_nvml *opened(const char *kind)
{
    char path[300];
    ac_nvml *n = NULL;
    path_of(path, kind);
    assert_int_equal(ac_nvml_open(&n, path, NULL), AC_OK);
    return n;
}

static ac_nvml_gpu look(ac_nvml *n, size_t i)
{
    ac_nvml_gpu g;
    ac_nvml_read(n, i, ours, AC_COUNTOF(ours), &g);
    return g;
}

static void is(ac_reading r, double want)
{
    if (!r.measured) fail_msg("not measured: %s", r.why);
    assert_true(r.value == want);
}

static void is_not(ac_reading r, const char *why)
{
    assert_false(r.measured);
    assert_non_null(r.why);
    if (why) assert_non_null(strstr(r.why, why));
}

static void values(void **state)
{
    (void)state;
    nvml_stub_state *s = stub("whole");
    s->gpu[0].n_processes = 3;
    s->gpu[0].process[0].pid = 100, s->gpu[0].process[0].used = 5000;
    s->gpu[0].process[1].pid = 7, s->gpu[0].process[1].used = 900;
    s->gpu[0].process[2].pid = 8, s->gpu[0].process[2].used = 1000;
    ac_nvml *n = opened("whole");
    assert_null(ac_nvml_why(n));
    assert_int_equal(ac_nvml_count(n), 1);
    ac_nvml_gpu g = look(n, 0);
    assert_string_equal(g.name, "Stub GPU");
    is(g.memory_total, 80.0 * 1073741824.0);
    is(g.memory_used, 1073741824.0);
    is(g.watts, 70.5);
    is(g.energy_mj, 123456789);
    is(g.celsius, 41);
    is(g.uncorrected, 0);
    is(g.reasons, 0);
    is(g.own_bytes, 5000);
    is(g.foreign_bytes, 1900);
    assert_int_equal(g.foreign_pid, 8);
    assert_int_equal(g.n_foreign, 2);
    for (int bit = 0; bit < 9; bit++) {
        s->gpu[0].reasons = 1ull << bit;
        is(look(n, 0).reasons, (double)(1ull << bit));
    }
    s->gpu[0].process[1].used = ~0ull;                     /* "not told" */
    g = look(n, 0);
    is_not(g.own_bytes, "each process");
    is_not(g.foreign_bytes, "each process");
    assert_int_equal(g.n_foreign, 2);
    s->gpu[0].used = 81ull << 30;
    is_not(look(n, 0).memory_used, "no sense");
    is_not(look(n, 1).watts, "lost");                      /* there is no such GPU */
    ac_nvml_close(&n);
    assert_null(n);
    assert_int_equal(s->inits, 1);
    assert_int_equal(s->shutdowns, 1);
    assert_int_equal(s->sets, 0);
}

static void xid(void **state)
{
    (void)state;
    nvml_stub_state *s = stub("whole");
    ac_nvml *n = opened("whole");
    is(look(n, 0).xids, 0);
    s->gpu[0].n_xids = 3;
    s->gpu[0].xid[0] = 13, s->gpu[0].xid[1] = 48, s->gpu[0].xid[2] = 31;      /* two by programs, one double-bit error */
    ac_nvml_gpu g = look(n, 0);
    is(g.xids, 1);
    assert_int_equal(g.last_xid, 48);
    is(look(n, 0).xids, 1);                                /* told once, and remembered */
    ac_nvml_close(&n);
    s->gpu[0].watch_status = 3;
    n = opened("whole");
    is_not(look(n, 0).xids, "does not tell");
    assert_int_equal(s->sets, 0);
    ac_nvml_close(&n);
}

/* Lost: every figure says so, none is 0; the other GPU goes on. */
static void lost(void **state)
{
    (void)state;
    nvml_stub_state *s = stub("whole");
    s->count = 2;
    s->gpu[1] = s->gpu[0];
    ac_nvml *n = opened("whole");
    is(look(n, 0).watts, 70.5);
    s->gpu[0].status = 15;
    const ac_nvml_gpu g = look(n, 0), other = look(n, 1);
    assert_true(g.lost && !other.lost);
    const ac_reading all[] = { g.memory_used, g.memory_total, g.reasons, g.uncorrected, g.xids, g.watts, g.energy_mj,
                               g.celsius, g.own_bytes, g.foreign_bytes };
    for (size_t i = 0; i < AC_COUNTOF(all); i++) is_not(all[i], "lost");
    is(other.watts, 70.5);
    ac_nvml_close(&n);
}

/* A GPU may lack one thing and have the rest. */
static void partly(void **state)
{
    (void)state;
    nvml_stub_state *s = stub("whole");
    s->gpu[0].ecc_status = 3;
    s->gpu[0].energy_status = 4;
    ac_nvml *n = opened("whole");
    const ac_nvml_gpu g = look(n, 0);
    is_not(g.uncorrected, "does not tell");
    is_not(g.energy_mj, "Permissions");
    is(g.watts, 70.5);
    ac_nvml_close(&n);
}

static void old_driver(void **state)
{
    (void)state;
    saved = (nvml_stub_state){ 0 };
    nvml_stub_state *s = stub("old");
    s->gpu[0].reasons = 0x40;
    ac_nvml *n = opened("old");
    assert_null(ac_nvml_why(n));
    const ac_nvml_gpu g = look(n, 0);
    is(g.reasons, 0x40);
    is(g.memory_used, 1073741824.0);
    const ac_reading none[] = { g.uncorrected, g.xids, g.watts, g.energy_mj, g.celsius, g.own_bytes, g.foreign_bytes };
    for (size_t i = 0; i < AC_COUNTOF(none); i++) is_not(none[i], "no such function");
    assert_string_equal(g.name, "");
    ac_nvml_close(&n);
}

static void unusable(void **state)
{
    (void)state;
    ac_nvml *n = opened("bare");
    assert_non_null(strstr(ac_nvml_why(n), "nvmlInit"));
    assert_int_equal(ac_nvml_count(n), 0);
    ac_nvml_close(&n);
    assert_int_equal(ac_nvml_open(&n, "/nowhere/libnvidia-ml.so.1", NULL), AC_OK);
    assert_non_null(strstr(ac_nvml_why(n), "/nowhere/"));
    ac_nvml_close(&n);
    nvml_stub_state *s = stub("whole");
    s->init_status = 9;
    n = opened("whole");
    assert_string_equal(ac_nvml_why(n), "nvmlInit: Driver Not Loaded");
    ac_nvml_close(&n);
    assert_int_equal(s->shutdowns, 0);
    s->init_status = 0;
    s->count = 0;
    n = opened("whole");
    assert_non_null(strstr(ac_nvml_why(n), "no GPU"));
    ac_nvml_close(&n);
    s->count_status = 4;
    n = opened("whole");
    assert_non_null(strstr(ac_nvml_why(n), "Permissions"));
    ac_nvml_close(&n);
    assert_int_equal(s->shutdowns, 2);
}

static void faults(void **state)
{
    (void)state;
    (void)stub("whole");
    char path[300];
    ac_err err = { 0 };
    ac_nvml *n = NULL;
    path_of(path, "whole");
    ac_fault_arm(AC_FAULT_ALLOC, 1);
    assert_int_equal(ac_nvml_open(&n, path, &err), AC_ENOMEM);
    ac_fault_disarm();
    assert_true(err.text[0] && !n);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    if (!ACCORD_NVML_STUBS[0]) {
        ac_nvml *n = NULL;
        const bool said = !ac_nvml_open(&n, NULL, NULL) && ac_nvml_why(n) && strstr(ac_nvml_why(n), "static program");
        ac_nvml_close(&n);
        puts("not run: a static program opens no libraries");
        return said ? 77 : 1;
    }
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(values), cmocka_unit_test(xid), cmocka_unit_test(lost), cmocka_unit_test(partly),
        cmocka_unit_test(unusable), cmocka_unit_test(faults), cmocka_unit_test(old_driver),
    };
    return cmocka_run_group_tests_name("guard nvml", tests, NULL, NULL);
}
