/* Energy from trees of files made here: RAPL and its turning over, permissions, battery by gauge and by power, sacct, a GPU,
 * watts times load, and that nothing is ever a silent zero. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <math.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "guard/energy.h"

#define SECOND ((int64_t)1000000000)
#define RAPL "/sys/class/powercap/"
#define BAT "/sys/class/power_supply/BAT0/"

static char root[64];
static ac_energy_from from;
static ac_energy_meter m;
static ac_energy e;

static void put(const char *path, const char *text)
{
    char full[300], dir[300];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(full, text, strlen(text), NULL), AC_OK);
}

static int fresh(void **state)
{
    (void)state;
    strcpy(root, "/tmp/accord_energy.XXXXXX");
    from = (ac_energy_from){ .root = root, .cpus = 4 };
    return mkdtemp(root) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return ac_remove_tree(root, NULL) ? -1 : 0;
}

static void zone(const char *name, const char *label, const char *uj, const char *range)
{
    char path[128];
    (void)snprintf(path, sizeof path, RAPL "%s/name", name);
    put(path, label);
    (void)snprintf(path, sizeof path, RAPL "%s/energy_uj", name);
    put(path, uj);
    (void)snprintf(path, sizeof path, RAPL "%s/max_energy_range_uj", name);
    if (range) put(path, range);
}

static void is(ac_energy_kind kind, double joules)
{
    if (e.kind != kind) fail_msg("kind %d (%s), %s", (int)e.kind, e.method, e.why);
    if (fabs(e.joules - joules) > 1e-6) fail_msg("%s: %.9f J, not %.9f", e.method, e.joules, joules);
}

static void test_nothing(void **state)
{
    (void)state;
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 8, 10, 10 * SECOND, true);
    is(AC_ENERGY_NONE, 0);
    assert_string_equal(e.method, "not measured");
    assert_non_null(strstr(e.why, "Slurm: not in a job"));
    assert_non_null(strstr(e.why, "battery: there is none"));
    assert_non_null(strstr(e.why, "RAPL: no package in /sys/class/powercap"));
    assert_null(strstr(e.why, "NVML"));
}

static void test_watts(void **state)
{
    (void)state;
    from.watts = 60;
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 20, 10, 10 * SECOND, true);         /* half of four processors for ten seconds */
    is(AC_ENERGY_WATTS, 300);
    assert_true(e.estimated);
    assert_string_equal(e.covers, "estimated: 60 W at full load, 50.0 % of it");
    ac_energy_read(&m, &e, 80, 10, 10 * SECOND, true);         /* more than there are: full load */
    is(AC_ENERGY_WATTS, 600);
    ac_energy_read(&m, &e, -1, 10, 10 * SECOND, true);         /* unknown load is no load of 0 */
    is(AC_ENERGY_NONE, 0);
}

static void test_rapl(void **state)
{
    (void)state;
    from.watts = 60;
    zone("intel-rapl:0", "package-0\n", "1000000\n", "262143328850\n");
    zone("intel-rapl:0:0", "core\n", "500000\n", "262143328850\n");
    zone("intel-rapl:0:1", "dram\n", "7000000\n", "65712999613\n");
    zone("intel-rapl:1", "psys\n", "7000000\n", "65712999613\n");
    zone("intel-rapl-mmio:0", "package-0\n", "1000000\n", "262143328850\n");
    ac_energy_begin(&m, &from, 0);
    assert_int_equal(m.n_zones, 2);
    zone("intel-rapl:0", "package-0\n", "31000000\n", NULL);
    zone("intel-rapl:0:1", "dram\n", "9500000\n", NULL);
    ac_energy_read(&m, &e, 8, 10, 10 * SECOND, true);
    is(AC_ENERGY_COUNTERS, 32.5);
    assert_string_equal(e.method, "RAPL");
    assert_string_equal(e.covers, "package-0, dram");
    assert_false(e.at_least);
    assert_false(e.estimated);
}

static void test_rapl_turns_over(void **state)
{
    (void)state;
    int64_t d;
    assert_true(ac_energy_counter_delta(&d, 10, 30, 0) && d == 20);
    assert_true(ac_energy_counter_delta(&d, 90, 5, 100) && d == 15);
    assert_true(ac_energy_counter_delta(&d, 100, 0, 100) && d == 0);
    assert_false(ac_energy_counter_delta(&d, 90, 5, 0));
    assert_false(ac_energy_counter_delta(&d, 190, 5, 100));
    assert_false(ac_energy_counter_delta(&d, -1, 5, 100));
    zone("intel-rapl:0", "package-0", "65000000000", "65532610987");
    ac_energy_begin(&m, &from, 0);
    zone("intel-rapl:0", "package-0", "100000000", NULL);
    ac_energy_look(&m, SECOND / 2);                              /* too soon: not looked */
    assert_true(m.rapl_uj == 0);
    ac_energy_look(&m, 30 * SECOND);                             /* 632.610987 J, over the end of the range */
    zone("intel-rapl:0", "package-0", "65100000000", NULL);
    ac_energy_look(&m, 60 * SECOND);
    zone("intel-rapl:0", "package-0", "50000000", NULL);
    ac_energy_read(&m, &e, 1, 62, 62 * SECOND, true);
    is(AC_ENERGY_COUNTERS, (65532.610987 - 65000 + 100) + (65100 - 100) + (65532.610987 - 65100 + 50));
    assert_false(e.at_least);
    ac_energy_read(&m, &e, 1, 162, 162 * SECOND, true);          /* 100 s at 1000 W could hide a whole range */
    assert_true(e.at_least);
    put(RAPL "intel-rapl:0/energy_uj", "garbage");
    ac_energy_read(&m, &e, 1, 163, 163 * SECOND, true);
    is(AC_ENERGY_NONE, 0);
    assert_non_null(strstr(e.why, "no count"));
}

static void test_rapl_backwards(void **state)
{
    (void)state;
    zone("intel-rapl:0", "package-0", "5000", NULL);
    ac_energy_begin(&m, &from, 0);
    zone("intel-rapl:0", "package-0", "4000", NULL);
    ac_energy_read(&m, &e, 1, 2, 2 * SECOND, true);
    is(AC_ENERGY_NONE, 0);
    assert_non_null(strstr(e.why, "package-0 went backwards"));
}

static void test_rapl_forbidden(void **state)
{
    (void)state;
    char path[300];
    zone("intel-rapl:0", "package-0", "5000", "100000");
    (void)snprintf(path, sizeof path, "%s" RAPL "intel-rapl:0/energy_uj", root);
    assert_int_equal(chmod(path, 0400), 0);
    assert_int_equal(chmod(root, 0755), 0);
    const bool dropped = geteuid() == 0 && seteuid(65534) == 0;
    if (!dropped) assert_int_equal(chmod(path, 0), 0);
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 2, 2 * SECOND, true);
    if (dropped) assert_int_equal(seteuid(0), 0);
    is(AC_ENERGY_NONE, 0);
    assert_non_null(strstr(e.why, "only root may read it since Linux 5.10"));
}

static void battery(const char *status, const char *uwh, const char *uw)
{
    put(BAT "type", "Battery\n");
    put(BAT "status", status);
    if (uwh) put(BAT "energy_now", uwh);
    if (uw) put(BAT "power_now", uw);
}

static void test_battery(void **state)
{
    (void)state;
    zone("intel-rapl:0", "package-0", "1", "65532610987");
    put("/sys/class/power_supply/AC/type", "Mains");
    put("/sys/class/power_supply/mouse/type", "Battery");
    put("/sys/class/power_supply/mouse/scope", "Device");
    battery("Discharging\n", "50000000\n", "10000000\n");
    ac_energy_begin(&m, &from, 0);
    ac_energy_look(&m, 10 * SECOND);                             /* 10 W for 10 s, then up to 20 W for 10 s */
    battery("Discharging\n", "49990000\n", "20000000\n");
    ac_energy_read(&m, &e, 1, 20, 20 * SECOND, true);
    is(AC_ENERGY_BATTERY, 100 + 150);
    assert_string_equal(e.covers, "the whole machine, by power_now");
    battery("Discharging\n", "49000000\n", "20000000\n");        /* 1 Wh by the gauge */
    ac_energy_read(&m, &e, 1, 60, 60 * SECOND, true);
    is(AC_ENERGY_BATTERY, 3600);
    assert_string_equal(e.covers, "the whole machine, by energy_now");
    battery("Charging\n", "49000000\n", "20000000\n");
    ac_energy_look(&m, 70 * SECOND);
    battery("Discharging\n", "48000000\n", "20000000\n");
    ac_energy_read(&m, &e, 1, 80, 80 * SECOND, true);            /* plugged in for a while: the next method */
    is(AC_ENERGY_COUNTERS, 0);
    assert_non_null(strstr(e.why, "battery: it was not discharging all the time"));
}

static void test_battery_charge(void **state)
{
    (void)state;
    battery("Discharging", NULL, NULL);
    put(BAT "charge_now", "4000000");
    put(BAT "voltage_now", "12000000");
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    is(AC_ENERGY_NONE, 0);                                       /* no zero: the gauge has not moved */
    assert_non_null(strstr(e.why, "its gauge moved by less than it can tell"));
    put(BAT "charge_now", "3900000");
    ac_energy_read(&m, &e, 1, 500, 500 * SECOND, true);          /* 0.1 Ah at 12 V */
    is(AC_ENERGY_BATTERY, 1.2 * 3600);
}

static void sacct(const char *body)
{
    static char path[300];
    (void)snprintf(path, sizeof path, "%s/sacct", root);
    put("/sacct", body);
    assert_int_equal(chmod(path, 0755), 0);
    from.sacct = path;
    from.slurm_job = "4711";
}

static void test_slurm(void **state)
{
    (void)state;
    from.watts = 60;
    sacct("#!/bin/sh\nn=$(cat \"${0%/*}/n\" 2>/dev/null || echo 0)\necho $((n + 700)) >\"${0%/*}/n\"\n"
          "[ \"$2\" = 4711 ] && echo $((n + 5000))\n");
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, false);             /* not asked in between */
    is(AC_ENERGY_WATTS, 60 * 0.05 * 5);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    is(AC_ENERGY_SLURM, 700);
    assert_string_equal(e.covers, "the nodes of job 4711");
    assert_string_equal(e.why, "");
    sacct("#!/bin/sh\necho 0\n");                                /* a cluster without an energy plugin */
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    is(AC_ENERGY_WATTS, 60 * 0.05 * 5);
    assert_non_null(strstr(e.why, "has not grown"));
    sacct("#!/bin/sh\necho\n");
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    assert_non_null(strstr(e.why, "sacct knows no energy of job 4711"));
    sacct("#!/bin/sh\nexit 3\n");
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    assert_non_null(strstr(e.why, "exit code 3"));
    from.sacct = "/nonexistent/sacct";
    ac_energy_begin(&m, &from, 0);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    assert_non_null(strstr(e.why, "Slurm: "));
}

static bool gpu(void *ctx, int64_t *mj, char why[AC_ENERGY_TEXT])
{
    int64_t *now = ctx;
    if (*now < 0) {
        (void)snprintf(why, AC_ENERGY_TEXT, "the GPU is lost");
        return false;
    }
    *mj = *now;
    return true;
}

static void test_gpu(void **state)
{
    (void)state;
    int64_t mj = 5000;
    zone("intel-rapl:0", "package-0", "1000000", "65532610987");
    ac_energy_begin(&m, &from, 0);
    ac_energy_with_gpu(&m, gpu, &mj);
    mj = 12000;
    zone("intel-rapl:0", "package-0", "2000000", NULL);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    is(AC_ENERGY_COUNTERS, 8);
    assert_string_equal(e.method, "RAPL + NVML");
    assert_string_equal(e.covers, "package-0, GPU");
    mj = -1;
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
    is(AC_ENERGY_COUNTERS, 1);                                   /* half of it is known: at least */
    assert_true(e.at_least);
    assert_non_null(strstr(e.why, "NVML: the GPU is lost"));
    ac_energy_begin(&m, &from, 0);
    ac_energy_with_gpu(&m, NULL, NULL);
    ac_energy_with_watts(&m, 200);
    zone("intel-rapl:0", "package-0", "garbage", NULL);
    ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);              /* neither can be read: a GPU's machine counts as fully loaded */
    is(AC_ENERGY_WATTS, 1000);
}

static void test_faults(void **state)
{
    (void)state;
    zone("intel-rapl:0", "package-0", "1000000", "65532610987");
    battery("Charging", "49000000", NULL);
    sacct("#!/bin/sh\necho 0\n");
    for (int kind = 0; kind < 2; kind++)
        for (long nth = 1; nth < 200; nth++) {
            ac_fault_arm(kind ? AC_FAULT_IO : AC_FAULT_ALLOC, nth);
            ac_energy_begin(&m, &from, 0);
            ac_energy_read(&m, &e, 1, 5, 5 * SECOND, true);
            const bool fired = ac_fault_fired();
            ac_fault_disarm();
            assert_int_equal(ac_live_bytes(), 0);
            assert_true(e.kind != AC_ENERGY_NONE || e.why[0]);
            if (!fired) break;
            assert_true(nth < 199);
        }
}

int main(void)
{
#define T(f) cmocka_unit_test_setup_teardown(f, fresh, drop)
    const struct CMUnitTest tests[] = { T(test_nothing), T(test_watts), T(test_rapl), T(test_rapl_turns_over), T(test_rapl_backwards),
                                        T(test_rapl_forbidden), T(test_battery), T(test_battery_charge), T(test_slurm), T(test_gpu),
                                        T(test_faults) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
