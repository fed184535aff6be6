/* A Linux machine as one text, "=== /path" and then that file's bytes, is read twice: each signal is a finite value in its
 * range, or has a reason. Only paths of the list are made, so that a mutation stays below the root. */
#include "fuzz.h"

#include <fcntl.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/file.h"
#include "guard/signals.h"

static const char *const paths[] = {
    "/proc/meminfo", "/proc/vmstat", "/proc/stat", "/proc/pressure/memory", "/proc/self/cgroup", "/proc/77/smaps_rollup",
    "/proc/77/stat", "/proc/77/io", "/proc/90/comm", "/proc/90/cmdline", "/sys/fs/cgroup/a/memory.max",
    "/sys/fs/cgroup/a/memory.current", "/sys/fs/cgroup/a/memory.stat", "/sys/fs/cgroup/memory/a/memory.limit_in_bytes",
    "/sys/fs/cgroup/memory/a/memory.usage_in_bytes", "/sys/fs/cgroup/memory/a/memory.stat",
    "/sys/class/thermal/thermal_zone0/temp", "/sys/class/thermal/thermal_zone0/trip_point_0_temp",
    "/sys/class/thermal/thermal_zone0/trip_point_0_type", "/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count",
    "/sys/class/power_supply/AC/type", "/sys/class/power_supply/AC/online", "/sys/class/power_supply/BAT0/type",
    "/sys/class/power_supply/BAT0/capacity", "/sys/class/power_supply/BAT0/status", "/sys/class/power_supply/BAT0/scope",
    "/proc/acpi/button/lid/LID/state", "/sys/firmware/acpi/platform_profile", "/run/systemd/sessions/1",
};
static char root[64];

static void drop(void)
{
    (void)ac_remove_tree(root, NULL);
}

static void make_folders(void)
{
    char full[300];
    (void)snprintf(root, sizeof root, "%s/accord_fuzz.XXXXXX", access("/dev/shm", W_OK) == 0 ? "/dev/shm" : "/tmp");
    FUZZ_CHECK(mkdtemp(root));
    (void)atexit(drop);
    for (size_t i = 0; i < AC_COUNTOF(paths); i++) {
        (void)snprintf(full, sizeof full, "%s%s", root, paths[i]);
        *strrchr(full, '/') = '\0';
        FUZZ_CHECK(ac_mkdir_p(full, NULL) == AC_OK);
    }
}

static void put(size_t i, ac_view text)
{
    char full[300];
    (void)snprintf(full, sizeof full, "%s%s", root, paths[i]);
    const int fd = open(full, O_WRONLY | O_CREAT | O_TRUNC, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, text.ptr, text.len) == (ssize_t)text.len);
    (void)close(fd);
}

/* Writes the files that the text names, removes the others. */
static void make_machine(ac_view all)
{
    static bool there[AC_COUNTOF(paths)];
    bool named[AC_COUNTOF(paths)] = { false };
    char full[300];
    while (all.len) {
        const size_t next = ac_view_find(all, AC_VIEW("\n=== "), 1);
        const ac_view part = ac_view_slice(all, 0, next == SIZE_MAX ? all.len : next + 1);
        all = ac_view_slice(all, part.len, all.len);
        const size_t lf = ac_view_find(part, AC_VIEW("\n"), 0);
        const ac_view path = ac_view_slice(part, 4, lf);
        for (size_t i = 0; lf != SIZE_MAX && i < AC_COUNTOF(paths); i++)
            if (ac_view_eq_str(path, paths[i])) {
                put(i, ac_view_slice(part, lf + 1, part.len));
                named[i] = true;
            }
    }
    for (size_t i = 0; i < AC_COUNTOF(paths); i++) {
        (void)snprintf(full, sizeof full, "%s%s", root, paths[i]);
        if (there[i] && !named[i]) (void)unlink(full);
        there[i] = named[i];
    }
}

static void judge(const ac_guard_sample *in)
{
    for (int i = 0; i < AC_SIG_N_READ; i++) {
        const ac_reading r = in->read[i];
        FUZZ_CHECK(r.measured ? isfinite(r.value) : r.why && r.why[0]);
        if (!r.measured || i == AC_SIG_TRIP_MARGIN || i == AC_SIG_HOT_MARGIN) continue;
        FUZZ_CHECK(r.value >= 0);
        const bool yes_no = i == AC_SIG_LID || i == AC_SIG_LOW_POWER || i == AC_SIG_ON_BATTERY;
        const bool percent = i == AC_SIG_PSI_SOME || i == AC_SIG_PSI_FULL || i == AC_SIG_BATTERY || i == AC_SIG_FOREIGN_CPU;
        FUZZ_CHECK(!yes_no || r.value == 0 || r.value == 1);
        FUZZ_CHECK(!percent || r.value <= 100);
    }
    FUZZ_CHECK(memchr(in->beside, '\0', sizeof in->beside));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    if (!root[0]) make_folders();
    const int64_t live = ac_live_bytes();
    static ac_signals s;
    ac_guard_sample in = { .minute = 0 };
    const ac_signals_from from = { .root = root, .pid = 77, .budget_bytes = 1 << 30, .checkpoint_dir = "/", .utc_ns = 1 };
    const ac_view all = { (const char *)data, len };
    s = (ac_signals){ .had_slow = false };
    make_machine(ac_view_slice(all, 0, len / 2));          /* a machine that changes between two looks */
    FUZZ_CHECK(ac_signals_read(&s, &from, 1000, &in, NULL) == AC_OK);
    judge(&in);
    make_machine(all);
    FUZZ_CHECK(ac_signals_read(&s, &from, 7000, &in, NULL) == AC_OK);
    judge(&in);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
