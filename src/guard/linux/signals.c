#include "guard/linux/linux_int.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sysfile.h"
#include "base/sysmem.h"

/* The trainer and, behind it, its workers (`train --workers`). */
#define FAMILY_MAX 64
typedef struct {
    int64_t pid[FAMILY_MAX];
    size_t n;
} family;

static family family_of(const ac_signals_from *f)
{
    family all = { .pid = { f->pid }, .n = 1 };
    char path[64], text[768];
    int64_t pid;
    (void)snprintf(path, sizeof path, "/proc/%lld/task/%lld/children", (long long)f->pid, (long long)f->pid);
    if (f->pid <= 0 || ac_linux_line(text, sizeof text, f->root, path, "")) return all;
    while (all.n < FAMILY_MAX && ac_linux_word(&pid, text, (int)all.n - 1) && pid > 0) all.pid[all.n++] = pid;
    return all;
}

/* Of the trainer it must be there; a worker that has just ended has none. */
static const char *number_of_all(int64_t *sum, const family *all, const char *root, const char *file, const char *key)
{
    *sum = 0;
    for (size_t i = 0; i < all->n; i++) {
        char path[64];
        int64_t v = 0;
        (void)snprintf(path, sizeof path, "/proc/%lld/%s", (long long)all->pid[i], file);
        const char *why = ac_linux_number(&v, root, path, key);
        if (!why && v < 0) why = "not as expected";
        if (why && i == 0) return why;
        if (!why) *sum += v;
    }
    return NULL;
}

static void memory(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f)
{
    char path[64];
    int64_t kib = 0, total = 0, left = 0;
    const char *no_total = ac_linux_number(&total, f->root, "/proc/meminfo", "MemTotal:");
    const char *no_left = ac_linux_number(&left, f->root, "/proc/meminfo", "MemAvailable:");
    if (!no_total && total <= 0) no_total = "not as expected";
    const int64_t system = 1024 * left, all = no_total ? -1 : 1024 * total;
    left = no_left || left < 0 ? -1 : ac_memory_available_under(f->root);
    /* Where a control group leaves less than the machine does, it is the share of the group's limit that counts. */
    s->total_bytes = !no_total && left >= 0 && left < system ? ac_memory_machine_under(f->root) : all;
    in->read[AC_SIG_AVAILABLE] = no_total ? ac_sig_none(s, AC_SIG_AVAILABLE, "MemTotal in /proc/meminfo: %s", no_total)
                               : left < 0 ? ac_sig_none(s, AC_SIG_AVAILABLE, "MemAvailable in /proc/meminfo: %s",
                                                        no_left ? no_left : "not as expected")
                               : ac_sig_value(100.0 * (double)left / (double)s->total_bytes);
    s->available_bytes = left;
    (void)snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", (long long)f->pid);
    const family all_of_us = family_of(f);
    const char *no_pss = f->pid > 0 ? number_of_all(&kib, &all_of_us, f->root, "smaps_rollup", "Pss:") : "no training process";
    s->footprint_bytes = no_pss ? -1 : 1024 * kib;
    in->read[AC_SIG_FOOTPRINT] = f->pid <= 0 ? ac_sig_none(s, AC_SIG_FOOTPRINT, "no training process")
                               : f->budget_bytes <= 0 ? ac_sig_none(s, AC_SIG_FOOTPRINT, "no memory budget")
                               : no_pss ? ac_sig_none(s, AC_SIG_FOOTPRINT, "Pss in %s: %s", path, no_pss)
                               : ac_sig_value(100.0 * (double)s->footprint_bytes / (double)f->budget_bytes);
}

static ac_reading pressure(ac_signals *s, ac_signal sig, const char *root, const char *kind)
{
    char text[128];
    double v;
    const char *why = ac_linux_line(text, sizeof text, root, "/proc/pressure/memory", kind);
    if (!why && (strncmp(text, "avg10=", 6) != 0 || !ac_parse_f64((ac_view){ text + 6, strcspn(text + 6, " ") }, &v) || v < 0
                 || v > 100))
        why = "not as expected";
    return why ? ac_sig_none(s, sig, "/proc/pressure/memory: %s", why) : ac_sig_value(v);
}

static void swap(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now)
{
    const double page_mib = (double)sysconf(_SC_PAGESIZE) / 1048576.0;
    int64_t pages = 0, total = 0, unused = 0;
    const char *why = ac_linux_number(&pages, f->root, "/proc/vmstat", "pswpout ");
    if (!why && pages < 0) why = "not as expected";
    if (why) {
        in->read[AC_SIG_SWAP_RATE] = ac_sig_none(s, AC_SIG_SWAP_RATE, "pswpout in /proc/vmstat: %s", why);
        in->read[AC_SIG_SWAP_GROWN] = ac_sig_none(s, AC_SIG_SWAP_GROWN, "pswpout in /proc/vmstat: %s", why);
        s->had_swap = false;
        s->swapped.n = 0;
    } else {
        const bool rate = s->had_swap && now > s->last_ms && pages >= s->swap_pages;
        in->read[AC_SIG_SWAP_RATE] = rate ? ac_sig_value((double)(pages - s->swap_pages) * page_mib * 1000.0
                                                         / (double)(now - s->last_ms))
                                          : ac_sig_none(s, AC_SIG_SWAP_RATE, "a rate needs two readings");
        in->read[AC_SIG_SWAP_GROWN] = ac_sig_value(ac_growth_feed(&s->swapped, 10, 60000, now, pages) * page_mib);
        s->swap_pages = pages;
        s->had_swap = true;
    }
    const int64_t memory_bytes = ac_memory_total_under(f->root);
    why = memory_bytes <= 0 ? "MemTotal not as expected" : ac_linux_number(&total, f->root, "/proc/meminfo", "SwapTotal:");
    if (!why) why = ac_linux_number(&unused, f->root, "/proc/meminfo", "SwapFree:");
    if (!why && (unused < 0 || unused > total)) why = "not as expected";
    if (why) {
        in->read[AC_SIG_SWAP_SHARE] = ac_sig_none(s, AC_SIG_SWAP_SHARE, "SwapTotal and SwapFree in /proc/meminfo: %s", why);
        return;
    }
    const int64_t used = (total - unused) * 1024;
    if (!s->had_swap_used) s->swap_used_first = used;
    s->had_swap_used = true;
    const int64_t more = used > s->swap_used_first ? used - s->swap_used_first : 0;
    in->read[AC_SIG_SWAP_SHARE] = ac_sig_value(100.0 * (double)more / (double)memory_bytes);
}

static ac_status heat(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL;
    size_t n;
    double passive = 1e9, hot = 1e9;
    const ac_status st = ac_linux_names(&names, &n, a, f->root, "/sys/class/thermal", err);
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        char path[300], kind[32];
        int64_t temp, trip;
        if (strncmp(names[i], "thermal_zone", 12) != 0 || strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/temp", names[i]);
        if (ac_linux_number(&temp, f->root, path, "") || temp < -60000 || temp > 250000) continue;
        for (int t = 0; t < 16; t++) {
            (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/trip_point_%d_temp", names[i], t);
            if (ac_linux_number(&trip, f->root, path, "") || trip <= 0 || trip > 250000) continue;
            (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/trip_point_%d_type", names[i], t);
            if (ac_linux_line(kind, sizeof kind, f->root, path, "")) continue;
            const double margin = (double)(trip - temp) / 1000.0;
            if (strcmp(kind, "passive") == 0 && margin < passive) passive = margin;
            if ((strcmp(kind, "hot") == 0 || strcmp(kind, "critical") == 0) && margin < hot) hot = margin;
        }
    }
    in->read[AC_SIG_TRIP_MARGIN] = passive < 1e9 ? ac_sig_value(passive)
        : ac_sig_none(s, AC_SIG_TRIP_MARGIN, "no zone of /sys/class/thermal with a passive trip point");
    in->read[AC_SIG_HOT_MARGIN] = hot < 1e9 ? ac_sig_value(hot)
        : ac_sig_none(s, AC_SIG_HOT_MARGIN, "no zone of /sys/class/thermal with a hot or critical trip point");
    return AC_OK;
}

/* slow_ms of the look before: throttling and processors' time are read once a second (Q4). */
static void throttle(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now, int64_t before)
{
    int64_t sum = 0, one;
    size_t found = 0;
    for (int cpu = 0; cpu < 1024; cpu++) {
        char path[128];
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cpu);
        if (ac_linux_number(&one, f->root, path, "") || one < 0) break;
        sum += one;
        found++;
    }
    const bool rate = found && s->had_throttle && now > before && sum >= s->throttles;
    in->read[AC_SIG_THROTTLE] = rate ? ac_sig_value((double)(sum - s->throttles) * 60000.0 / (double)(now - before))
                              : ac_sig_none(s, AC_SIG_THROTTLE, "%s", found ? "a rate needs two readings"
                                            : "no core_throttle_count below /sys/devices/system/cpu");
    s->had_throttle = found != 0;
    s->throttles = sum;
}

typedef struct {
    int mains, discharging;              /* -1: nobody says */
    int64_t charge, batteries;           /* sum of their percents */
} supplies;

static void one_supply(supplies *u, const ac_signals_from *f, const char *name)
{
    char path[300], kind[32], text[32];
    int64_t v;
    (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/type", name);
    if (ac_linux_line(kind, sizeof kind, f->root, path, "")) return;
    (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/scope", name);
    if (!ac_linux_line(text, sizeof text, f->root, path, "") && strcmp(text, "Device") == 0) return;      /* a mouse's */
    if (strcmp(kind, "Battery") != 0) {
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/online", name);
        if (!ac_linux_number(&v, f->root, path, "") && (v == 0 || v == 1) && v > u->mains) u->mains = (int)v;
        return;
    }
    (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/capacity", name);
    if (!ac_linux_number(&v, f->root, path, "") && v >= 0 && v <= 100) {
        u->charge += v;
        u->batteries++;
    }
    (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/status", name);
    if (ac_linux_line(text, sizeof text, f->root, path, "")) return;
    if (strcmp(text, "Discharging") == 0) u->discharging = 1;
    else if (u->discharging < 0 && strcmp(text, "Unknown") != 0) u->discharging = 0;
}

static ac_status power(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL, path[300], lid[64];
    size_t n;
    supplies u = { .mains = -1, .discharging = -1 };
    ac_status st = ac_linux_names(&names, &n, a, f->root, "/sys/class/power_supply", err);
    for (size_t i = 0; !st && i < n; i++)
        if (strlen(names[i]) <= 64) one_supply(&u, f, names[i]);
    if (st) return st;
    in->read[AC_SIG_ON_BATTERY] = u.mains >= 0 ? ac_sig_value(1 - u.mains)
                                : u.discharging >= 0 ? ac_sig_value(u.discharging)
                                : ac_sig_none(s, AC_SIG_ON_BATTERY, "no mains in /sys/class/power_supply");
    in->read[AC_SIG_BATTERY] = u.batteries ? ac_sig_value((double)u.charge / (double)u.batteries)
                                           : ac_sig_none(s, AC_SIG_BATTERY, "no battery in /sys/class/power_supply");
    in->read[AC_SIG_LID] = ac_sig_none(s, AC_SIG_LID, "no lid in /proc/acpi/button/lid");
    st = ac_linux_names(&names, &n, a, f->root, "/proc/acpi/button/lid", err);
    for (size_t i = 0; !st && i < n && strlen(names[i]) <= 64; i++) {
        (void)snprintf(path, sizeof path, "/proc/acpi/button/lid/%s/state", names[i]);
        if (ac_linux_line(lid, sizeof lid, f->root, path, "state:")) continue;
        if (strcmp(lid, "open") == 0 || strcmp(lid, "closed") == 0)
            in->read[AC_SIG_LID] = ac_sig_value(lid[0] == 'c' ? 1 : 0);
    }
    return st;
}

/* Either the firmware's profile or the processors' preference for saving. */
static void low_power(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f)
{
    static const char profile[] = "/sys/firmware/acpi/platform_profile";
    static const char preference[] = "/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference";
    char text[64], epp[64];
    const bool has_profile = !ac_linux_line(text, sizeof text, f->root, profile, "") && text[0];
    const bool has_epp = !ac_linux_line(epp, sizeof epp, f->root, preference, "") && epp[0];
    const bool low = (has_profile && strcmp(text, "low-power") == 0) || (has_epp && strcmp(epp, "power") == 0);
    in->read[AC_SIG_LOW_POWER] = has_profile || has_epp ? ac_sig_value(low)
        : ac_sig_none(s, AC_SIG_LOW_POWER, "no platform_profile and no energy_performance_preference in /sys");
}

/* User and system time of a process. */
static bool own_ticks(int64_t *sum, const ac_signals_from *f, int64_t pid)
{
    char text[512], path[64];
    int64_t user, system;
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)pid);
    if (ac_linux_line(text, sizeof text, f->root, path, "")) return false;
    const char *after = strrchr(text, ')');                /* a program's name may hold blanks and brackets */
    if (!after || after[1] != ' ' || !ac_linux_word(&user, after + 2, 11) || !ac_linux_word(&system, after + 2, 12)) return false;
    *sum += user + system;
    return true;
}

/* Ticks of all processors (user nice system idle iowait irq softirq steal), and of our own processes. */
static bool ticks(int64_t *all, int64_t *busy, int64_t *own, const ac_signals_from *f)
{
    char text[512];
    int64_t v;
    *all = *busy = *own = 0;
    if (ac_linux_line(text, sizeof text, f->root, "/proc/stat", "cpu ")) return false;
    for (int i = 0; i < 8; i++) {
        if (!ac_linux_word(&v, text, i)) return false;
        *all += v;
        if (i != 3 && i != 4) *busy += v;
    }
    if (f->pid <= 0) return true;
    const family us = family_of(f);
    for (size_t i = 0; i < us.n; i++)
        if (!own_ticks(own, f, us.pid[i]) && i == 0) return false;
    return true;
}

static void foreign(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f)
{
    int64_t all, busy, own;
    const bool known = ticks(&all, &busy, &own, f);
    if (!known)
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_none(s, AC_SIG_FOREIGN_CPU, "/proc/stat, or that of the trainer, cannot be read");
    else if (!s->had_cpu || all <= s->cpu_all || busy < s->cpu_busy || own < s->cpu_own)
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_none(s, AC_SIG_FOREIGN_CPU, "a rate needs two readings");
    else {
        const int64_t others = busy - s->cpu_busy - (own - s->cpu_own);      /* below 0 by rounding of ticks */
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_value(others > 0 ? 100.0 * (double)others / (double)(all - s->cpu_all) : 0);
    }
    s->had_cpu = known;
    if (!known) return;
    s->cpu_all = all;
    s->cpu_busy = busy;
    s->cpu_own = own;
}

/* What the trainer had written, and what the whole machine swapped out: both wear the disk. */
static void written(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now)
{
    char path[64];
    int64_t own = 0;
    (void)snprintf(path, sizeof path, "/proc/%lld/io", (long long)f->pid);
    const char *why = f->pid > 0 ? ac_linux_number(&own, f->root, path, "write_bytes:") : "no training process";
    if (!why && own < 0) why = "not as expected";
    const int64_t swapped = s->had_swap ? s->swap_pages * (int64_t)sysconf(_SC_PAGESIZE) : 0;
    ac_sig_written(s, f, in, now, why ? -1 : own + swapped, f->pid > 0 ? "write_bytes of the trainer cannot be read" : why);
}

static ac_status slow(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now, int64_t before, ac_err *err)
{
    ac_arena a = { 0 };
    throttle(s, in, f, now, before);
    foreign(s, in, f);
    low_power(s, in, f);
    written(s, in, f, now);
    ac_sig_disk(s, f, in);
    ac_status st = heat(s, in, f, &a, err);
    if (!st) st = power(s, in, f, &a, err);
    if (!st) st = ac_linux_idle(s, f, in, &a, err);
    if (!st && ac_sig_due(&s->had_scan, &s->scan_ms, AC_SCAN_MS, now)) st = ac_linux_scan(s, f, &a, err);
    ac_arena_release(&a);
    if (st) return st;
    in->read[AC_SIG_BESIDE] = s->beside_count >= 0 ? ac_sig_value(s->beside_count)
                                                   : ac_sig_none(s, AC_SIG_BESIDE, "no process in /proc can be read");
    memcpy(in->beside, s->scanned, sizeof in->beside);
    ac_sig_gpu(s, f, in, now);
    return AC_OK;
}

ac_status ac_signals_read(ac_signals *s, const ac_signals_from *f, int64_t now, ac_guard_sample *in, ac_err *err)
{
    const int64_t before = s->slow_ms;
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_SIG_N_READ; i++) in->read[i] = (ac_reading){ .why = "not read on this system" };
    in->read[AC_SIG_PRESSURE] = in->read[AC_SIG_THERMAL_LEVEL] = (ac_reading){ .why = "not a Mac" };
    in->beside[0] = '\0';
    if (ac_sig_due(&s->had_slow, &s->slow_ms, AC_SLOW_MS, now)) {
        st = slow(s, in, f, now, before, err);
        memcpy(s->kept, in->read, sizeof s->kept);
        memcpy(s->beside, in->beside, sizeof s->beside);
    } else {
        memcpy(in->read, s->kept, sizeof s->kept);
        memcpy(in->beside, s->beside, sizeof in->beside);
    }
    swap(s, in, f, now);
    memory(s, in, f);
    in->read[AC_SIG_PSI_SOME] = pressure(s, AC_SIG_PSI_SOME, f->root, "some ");
    in->read[AC_SIG_PSI_FULL] = pressure(s, AC_SIG_PSI_FULL, f->root, "full ");
    ac_sig_steps(s, f, in);
    in->taken_ms = in->now_ms = s->last_ms = now;
    return st;
}

int ac_signals_wake_open(const char *root, const char **why)
{
    int fd = -1;
    *why = ac_sysfile_arm(&fd, root, "/proc/pressure/memory", "some 150000 2000000");
    return *why ? -1 : fd;
}

void ac_signals_wake_close(int fd)
{
    ac_sysfile_close(fd);
}
