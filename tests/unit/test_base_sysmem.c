/* What the system and its control groups leave, from trees of files made here. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <stdio.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/sysmem.h"

static char root[64];

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
    strcpy(root, "/tmp/accord_sysmem.XXXXXX");
    return mkdtemp(root) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return ac_remove_tree(root, NULL) ? -1 : 0;
}

static void nothing_known(void **state)
{
    (void)state;
    assert_int_equal(ac_memory_available_under(root), -1);
    put("/proc/meminfo", "MemTotal: 16 kB\n");
    assert_int_equal(ac_memory_available_under(root), -1);
    put("/proc/meminfo", "MemTotal: 9 kB\nMemAvailable: none\n");
    assert_int_equal(ac_memory_available_under(root), -1);
}

static void system_alone(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal:       24684496 kB\nMemFree:        21059000 kB\nMemAvailable:   23397000 kB\n");
    assert_int_equal(ac_memory_available_under(root), 23397000LL * 1024);
    assert_int_equal(ac_memory_machine_under(root), 24684496LL * 1024);
    put("/proc/self/cgroup", "0::/a/b\n");                            /* a group without limits */
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    assert_int_equal(ac_memory_available_under(root), 23397000LL * 1024);
}

static void groups_v2(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemAvailable: 1000000 kB\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "500000000\n");
    put("/sys/fs/cgroup/a/b/memory.current", "100000000\n");
    assert_int_equal(ac_memory_available_under(root), 400000000);
    put("/sys/fs/cgroup/a/b/memory.stat", "anon 7\nfile 9\ninactive_file 29000000\nactive_file 1000000\n");
    assert_int_equal(ac_memory_available_under(root), 430000000);
    assert_int_equal(ac_memory_machine_under(root), 500000000);
    put("/sys/fs/cgroup/a/b/memory.high", "450000000\n");            /* slowed down from there on */
    assert_int_equal(ac_memory_available_under(root), 380000000);
    assert_int_equal(ac_memory_machine_under(root), 450000000);
    put("/sys/fs/cgroup/a/b/memory.high", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "300000000\n");               /* the level above is tighter */
    put("/sys/fs/cgroup/a/memory.current", "250000000\n");
    assert_int_equal(ac_memory_available_under(root), 50000000);
    put("/sys/fs/cgroup/memory.max", "200\n");                       /* and so is the root of a container */
    put("/sys/fs/cgroup/memory.current", "900\n");
    assert_int_equal(ac_memory_available_under(root), 0);
}

static void groups_v1(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemAvailable: 1000000 kB\n");
    put("/proc/self/cgroup", "9:name=systemd:/\n4:memory:/jobs/7\n2:cpu,cpuacct:/\n0::/\n");
    put("/sys/fs/cgroup/memory/memory.limit_in_bytes", "9223372036854771712\n");
    assert_int_equal(ac_memory_available_under(root), 1024000000);
    put("/sys/fs/cgroup/memory/jobs/7/memory.limit_in_bytes", "64000000\n");
    put("/sys/fs/cgroup/memory/jobs/7/memory.usage_in_bytes", "14000000\n");
    put("/sys/fs/cgroup/memory/jobs/7/memory.stat", "total_inactive_file 99000000\n");
    assert_int_equal(ac_memory_available_under(root), 64000000);
    assert_int_equal(ac_memory_machine_under(root), 64000000);
    ac_fault_arm(AC_FAULT_IO, 1);                                    /* nothing can be read: nothing is known */
    assert_int_equal(ac_memory_available_under(root), -1);
    ac_fault_disarm();
}

static void this_process(void **state)
{
    (void)state;
    const int64_t before = ac_rss_own_bytes(), size = 32 << 20;
    char *p = malloc((size_t)size);
    assert_non_null(p);
    memset(p, 1, (size_t)size);
    const int64_t after = ac_rss_own_bytes();
    if (before) assert_true(after - before > size / 2 && after - before < 2 * size);
    else printf("not run: the system does not say what a process holds\n");
    assert_true(ac_rss_mapped_bytes() >= 0 && p[size - 1] == 1);
    free(p);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(nothing_known, fresh, drop),
        cmocka_unit_test_setup_teardown(system_alone, fresh, drop),
        cmocka_unit_test_setup_teardown(groups_v2, fresh, drop),
        cmocka_unit_test_setup_teardown(groups_v1, fresh, drop),
        cmocka_unit_test(this_process),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
