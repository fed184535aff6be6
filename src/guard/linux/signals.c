#include "guard/signals.h"

#include <stdio.h>
#include <string.h>
#include <sys/statvfs.h>
#include <unistd.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sysmem.h"

#define PATH_BYTES 1024
#define LINE_MAX_BYTES 65536
#define HUGE_VALUE ((int64_t)1 << 50)        /* no count or KiB of a real machine is larger */

static ac_reading value(double v)
{
    return (ac_reading){ .measured = true, .value = v };
}

static ac_reading no(const char *why)
{
    return (ac_reading){ .why = why };
}

/* The first line that begins with `key`, without it, trimmed and cut to fit. false: none. */
static bool line_of(char *out, size_t size, const char *root, const char *path, const char *key)
{
    char full[PATH_BYTES];
    ac_lines *l = NULL;
    ac_view line;
    bool found = false;
    const int n = snprintf(full, sizeof full, "%s%s", root, path);
    if (n < 0 || (size_t)n >= sizeof full || ac_lines_open(&l, full, LINE_MAX_BYTES, NULL)) return false;
    while (!found && ac_lines_next(l, &line, NULL, NULL) == AC_OK && line.ptr) {
        if (!ac_view_starts(line, ac_view_of(key))) continue;
        const ac_view rest = ac_view_trim(ac_view_slice(line, strlen(key), line.len));
        (void)snprintf(out, size, AC_VIEW_FMT, AC_VIEW_ARG(rest));
        found = true;
    }
    ac_lines_close(&l);
    return found;
}

/* The whole number that such a line begins with; false: none, or beyond what a machine can have. */
static bool number_of(int64_t *out, const char *root, const char *path, const char *key)
{
    char text[64];
    int64_t v;
    if (!line_of(text, sizeof text, root, path, key)) return false;
    const size_t sign = text[0] == '-', digits = sign + strspn(text + sign, "0123456789");
    if (text[digits] && text[digits] != ' ') return false;
    if (!ac_parse_i64((ac_view){ text, digits }, &v) || v > HUGE_VALUE || v < -HUGE_VALUE) return false;
    *out = v;
    return true;
}

static void memory(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f)
{
    char path[64];
    int64_t kib, total, left;
    const bool has_total = number_of(&total, f->root, "/proc/meminfo", "MemTotal:") && total > 0;
    const bool has_left = number_of(&left, f->root, "/proc/meminfo", "MemAvailable:") && left >= 0;
    left = has_left ? ac_memory_available_under(f->root) : -1;          /* the groups' limits count in */
    in->read[AC_SIG_AVAILABLE] = !has_total ? no("no MemTotal in /proc/meminfo")
                               : left < 0 ? no("no MemAvailable in /proc/meminfo")
                               : value(100.0 * (double)left / (1024.0 * (double)total));
    s->total_bytes = has_total ? 1024 * total : -1;
    s->available_bytes = left;
    (void)snprintf(path, sizeof path, "/proc/%lld/smaps_rollup", (long long)f->pid);
    const bool has_pss = f->pid > 0 && number_of(&kib, f->root, path, "Pss:") && kib >= 0;
    s->footprint_bytes = has_pss ? 1024 * kib : -1;
    in->read[AC_SIG_FOOTPRINT] = f->pid <= 0 ? no("no training process")
                               : f->budget_bytes <= 0 ? no("no memory budget")
                               : !has_pss ? no("no Pss in the process's smaps_rollup")
                               : value(100.0 * (double)s->footprint_bytes / (double)f->budget_bytes);
}

static ac_reading pressure(const char *root, const char *kind)
{
    char text[128];
    double v;
    if (!line_of(text, sizeof text, root, "/proc/pressure/memory", kind))
        return no("no such line in /proc/pressure/memory (a kernel without PSI)");
    if (strncmp(text, "avg10=", 6) != 0 || !ac_parse_f64((ac_view){ text + 6, strcspn(text + 6, " ") }, &v) || v < 0
        || v > 100)
        return no("/proc/pressure/memory: no avg10 between 0 and 100");
    return value(v);
}

/* Pages written in the last ten minutes: a reading a minute is kept. */
static double grown_pages(ac_signals *s, int64_t pages, int64_t now)
{
    const size_t last = AC_SIGNALS_SWAP_MINUTES - 1;
    if (s->n_minutes == 0 || now - s->minute_at[s->n_minutes - 1] >= 60000) {
        if (s->n_minutes == AC_SIGNALS_SWAP_MINUTES) {
            memmove(s->minute_at, s->minute_at + 1, last * sizeof *s->minute_at);
            memmove(s->minute_pages, s->minute_pages + 1, last * sizeof *s->minute_pages);
            s->n_minutes = last;
        }
        s->minute_at[s->n_minutes] = now;
        s->minute_pages[s->n_minutes++] = pages;
    }
    for (size_t i = 0; i < s->n_minutes; i++)
        if (now - s->minute_at[i] <= 600000) return (double)(pages - s->minute_pages[i]);
    return 0;
}

static void swap(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now)
{
    const double page_mib = (double)sysconf(_SC_PAGESIZE) / 1048576.0;
    int64_t pages, total, unused;
    if (!number_of(&pages, f->root, "/proc/vmstat", "pswpout ") || pages < 0) {
        in->read[AC_SIG_SWAP_RATE] = in->read[AC_SIG_SWAP_GROWN] = no("no pswpout in /proc/vmstat");
        s->had_swap = false;
        s->n_minutes = 0;
    } else {
        const bool rate = s->had_swap && now > s->last_ms && pages >= s->swap_pages;
        if (s->had_swap && pages < s->swap_pages) s->n_minutes = 0;        /* the counter began anew */
        in->read[AC_SIG_SWAP_RATE] = rate ? value((double)(pages - s->swap_pages) * page_mib * 1000.0
                                                  / (double)(now - s->last_ms))
                                          : no("a rate needs two readings");
        in->read[AC_SIG_SWAP_GROWN] = value(grown_pages(s, pages, now) * page_mib);
        s->swap_pages = pages;
        s->had_swap = true;
    }
    const int64_t memory_bytes = ac_memory_total_under(f->root);
    if (memory_bytes <= 0 || !number_of(&total, f->root, "/proc/meminfo", "SwapTotal:")
        || !number_of(&unused, f->root, "/proc/meminfo", "SwapFree:") || unused < 0 || unused > total) {
        in->read[AC_SIG_SWAP_SHARE] = no("no SwapTotal and SwapFree in /proc/meminfo");
        return;
    }
    const int64_t used = (total - unused) * 1024;
    if (!s->had_swap_used) s->swap_used_first = used;
    s->had_swap_used = true;
    const int64_t more = used > s->swap_used_first ? used - s->swap_used_first : 0;
    in->read[AC_SIG_SWAP_SHARE] = value(100.0 * (double)more / (double)memory_bytes);
}

static ac_status list(char ***names, size_t *n, ac_arena *a, const char *root, const char *dir, ac_err *err)
{
    char full[PATH_BYTES];
    *n = 0;
    (void)snprintf(full, sizeof full, "%s%s", root, dir);
    const ac_status st = ac_dir_list(full, a, names, n, NULL);
    if (st == AC_ENOMEM) return ac_fail(err, st, "out of memory listing %s", full);
    if (st) *n = 0;                                    /* not there: no signal, and the reader says so */
    return AC_OK;
}

static ac_status heat(ac_guard_sample *in, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL;
    size_t n;
    double passive = 1e9, hot = 1e9;
    const ac_status st = list(&names, &n, a, f->root, "/sys/class/thermal", err);
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        char path[300], kind[32];
        int64_t temp, trip;
        if (strncmp(names[i], "thermal_zone", 12) != 0 || strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/temp", names[i]);
        if (!number_of(&temp, f->root, path, "") || temp < -60000 || temp > 250000) continue;
        for (int t = 0; t < 16; t++) {
            (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/trip_point_%d_temp", names[i], t);
            if (!number_of(&trip, f->root, path, "") || trip <= 0 || trip > 250000) continue;
            (void)snprintf(path, sizeof path, "/sys/class/thermal/%s/trip_point_%d_type", names[i], t);
            if (!line_of(kind, sizeof kind, f->root, path, "")) continue;
            const double margin = (double)(trip - temp) / 1000.0;
            if (strcmp(kind, "passive") == 0 && margin < passive) passive = margin;
            if ((strcmp(kind, "hot") == 0 || strcmp(kind, "critical") == 0) && margin < hot) hot = margin;
        }
    }
    in->read[AC_SIG_TRIP_MARGIN] = passive < 1e9 ? value(passive) : no("no zone of /sys/class/thermal with a passive trip point");
    in->read[AC_SIG_HOT_MARGIN] = hot < 1e9 ? value(hot) : no("no zone of /sys/class/thermal with a hot or critical trip point");
    return AC_OK;
}

static void throttle(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now)
{
    int64_t sum = 0, one;
    size_t found = 0;
    for (int cpu = 0; cpu < 1024; cpu++) {
        char path[128];
        (void)snprintf(path, sizeof path, "/sys/devices/system/cpu/cpu%d/thermal_throttle/core_throttle_count", cpu);
        if (!number_of(&one, f->root, path, "") || one < 0) break;
        sum += one;
        found++;
    }
    const bool rate = found && s->had_throttle && now > s->last_ms && sum >= s->throttles;
    in->read[AC_SIG_THROTTLE] = rate ? value((double)(sum - s->throttles) * 60000.0 / (double)(now - s->last_ms))
                              : no(found ? "a rate needs two readings" : "no core_throttle_count below /sys/devices/system/cpu");
    s->had_throttle = found != 0;
    s->throttles = sum;
}

static ac_status power(ac_guard_sample *in, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL, path[300], kind[32], lid[64];
    size_t n;
    int mains = -1;
    int64_t charge = -1, v;
    ac_status st = list(&names, &n, a, f->root, "/sys/class/power_supply", err);
    for (size_t i = 0; !st && i < n; i++) {
        if (strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/type", names[i]);
        if (!line_of(kind, sizeof kind, f->root, path, "")) continue;
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/online", names[i]);
        if (strcmp(kind, "Battery") != 0 && number_of(&v, f->root, path, "") && (v == 0 || v == 1) && v > mains)
            mains = (int)v;
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/capacity", names[i]);
        if (strcmp(kind, "Battery") == 0 && number_of(&v, f->root, path, "") && v >= 0 && v <= 100) charge = v;
    }
    if (st) return st;
    in->read[AC_SIG_ON_BATTERY] = mains >= 0 ? value(1 - mains) : no("no mains in /sys/class/power_supply");
    in->read[AC_SIG_BATTERY] = charge >= 0 ? value((double)charge) : no("no battery in /sys/class/power_supply");
    in->read[AC_SIG_LID] = no("no lid in /proc/acpi/button/lid");
    st = list(&names, &n, a, f->root, "/proc/acpi/button/lid", err);
    for (size_t i = 0; !st && i < n && strlen(names[i]) <= 64; i++) {
        (void)snprintf(path, sizeof path, "/proc/acpi/button/lid/%s/state", names[i]);
        if (!line_of(lid, sizeof lid, f->root, path, "state:")) continue;
        if (strcmp(lid, "open") == 0 || strcmp(lid, "closed") == 0)
            in->read[AC_SIG_LID] = value(lid[0] == 'c' ? 1 : 0);
    }
    return st;
}

/* Word `nth` of a text (from 0) as a whole number. */
static bool word_of(int64_t *out, const char *text, int nth)
{
    for (; nth > 0; nth--) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return ac_parse_i64((ac_view){ text, strcspn(text, " ") }, out) && *out >= 0 && *out <= HUGE_VALUE;
}

/* Ticks of all processors (user nice system idle iowait irq softirq steal), and of our own process. */
static bool ticks(int64_t *all, int64_t *busy, int64_t *own, const ac_signals_from *f)
{
    char text[512], path[64];
    int64_t v, user, system;
    *all = *busy = *own = 0;
    if (!line_of(text, sizeof text, f->root, "/proc/stat", "cpu ")) return false;
    for (int i = 0; i < 8; i++) {
        if (!word_of(&v, text, i)) return false;
        *all += v;
        if (i != 3 && i != 4) *busy += v;
    }
    if (f->pid <= 0) return true;
    (void)snprintf(path, sizeof path, "/proc/%lld/stat", (long long)f->pid);
    if (!line_of(text, sizeof text, f->root, path, "")) return false;
    const char *after = strrchr(text, ')');                /* a program's name may hold blanks and brackets */
    if (!after || after[1] != ' ' || !word_of(&user, after + 2, 11) || !word_of(&system, after + 2, 12)) return false;
    *own = user + system;
    return true;
}

static void foreign(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f)
{
    int64_t all, busy, own;
    const bool known = ticks(&all, &busy, &own, f);
    if (!known)
        in->read[AC_SIG_FOREIGN_CPU] = no("/proc/stat, or that of the training process, cannot be read");
    else if (!s->had_cpu || all <= s->cpu_all || busy < s->cpu_busy || own < s->cpu_own)
        in->read[AC_SIG_FOREIGN_CPU] = no("a rate needs two readings");
    else {
        const int64_t others = busy - s->cpu_busy - (own - s->cpu_own);      /* below 0 by rounding of ticks */
        in->read[AC_SIG_FOREIGN_CPU] = value(others > 0 ? 100.0 * (double)others / (double)(all - s->cpu_all) : 0);
    }
    s->had_cpu = known;
    if (!known) return;
    s->cpu_all = all;
    s->cpu_busy = busy;
    s->cpu_own = own;
}

/* Comm is cut at 15 bytes by the kernel, so that names are compared up to there. */
bool ac_guard_competes(ac_view name)
{
    static const char *const names[] = {
        "llama-server", "llama-cli", "ollama", "ollama_llama_server", "mlx_lm.server", "vllm", "sglang", "koboldcpp",
        "text-generation-launcher", "LM Studio", "ffmpeg", "HandBrakeCLI", "ghb", "kdenlive", "kdenlive_render", "melt",
        "blender", "resolve", "obs",
    };
    for (size_t i = 0; i < AC_COUNTOF(names); i++) {
        const size_t len = strlen(names[i]), cut = len > 15 ? 15 : len;
        if ((name.len == len || name.len == cut) && memcmp(names[i], name.ptr, name.len) == 0) return true;
    }
    return false;
}

static ac_status beside(ac_guard_sample *in, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL, path[64], comm[64];
    size_t n, seen = 0, count = 0;
    const ac_status st = list(&names, &n, a, f->root, "/proc", err);
    if (st) return st;
    in->beside[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        uint64_t pid;
        if (!ac_parse_u64(ac_view_of(names[i]), &pid) || pid == (uint64_t)f->pid) continue;
        (void)snprintf(path, sizeof path, "/proc/%llu/comm", (unsigned long long)pid);
        if (!line_of(comm, sizeof comm, f->root, path, "")) continue;
        seen++;
        if (!ac_guard_competes(ac_view_of(comm))) continue;
        if (count++ == 0) memcpy(in->beside, comm, sizeof comm);
    }
    in->read[AC_SIG_BESIDE] = seen ? value((double)count) : no("no process in /proc can be read");
    return AC_OK;
}

static ac_reading disk(const ac_signals_from *f)
{
    struct statvfs v;
    if (!f->checkpoint_dir || f->checkpoint_bytes <= 0) return no("size or folder of a checkpoint unknown");
    if (statvfs(f->checkpoint_dir, &v) != 0) return no("the checkpoints' folder cannot be asked for its room");
    return value((double)v.f_bavail * (double)v.f_frsize / (double)f->checkpoint_bytes);
}

ac_status ac_signals_read(ac_signals *s, const ac_signals_from *f, int64_t now, ac_guard_sample *in, ac_err *err)
{
    ac_arena a = { 0 };
    for (size_t i = 0; i < AC_SIG_N_READ; i++) in->read[i] = no("not read on this system");
    memory(s, in, f);
    in->read[AC_SIG_PSI_SOME] = pressure(f->root, "some ");
    in->read[AC_SIG_PSI_FULL] = pressure(f->root, "full ");
    swap(s, in, f, now);
    throttle(s, in, f, now);
    foreign(s, in, f);
    ac_status st = heat(in, f, &a, err);
    if (!st) st = power(in, f, &a, err);
    if (!st) st = beside(in, f, &a, err);
    in->read[AC_SIG_DISK] = disk(f);
    in->read[AC_SIG_STEP_TIME] = f->step_ratio > 0 ? value(f->step_ratio) : no("no steps measured yet");
    in->taken_ms = in->now_ms = s->last_ms = now;
    ac_arena_release(&a);
    return st;
}
