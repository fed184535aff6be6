#include "guard/darwin/darwin_int.h"

#include <libproc.h>
#include <mach/mach.h>
#include <mach/mach_time.h>
#include <string.h>
#include <sys/resource.h>
#include <sys/sysctl.h>

#define TICK_NS 10000000ll           /* of the processors' counters */
#define THERMAL "com.apple.system.thermalpressurelevel"

/* Of libSystem, which has them; Apple's notify.h is not among the headers that can be had. */
extern uint32_t notify_register_check(const char *name, int *token);
extern uint32_t notify_get_state(int token, uint64_t *state);
extern uint32_t notify_cancel(int token);

static bool number_of(const char *name, int64_t *out)
{
    union { int32_t small; int64_t large; } v = { .large = 0 };
    size_t size = sizeof v;
    if (sysctlbyname(name, &v, &size, NULL, 0) != 0) return false;
    *out = size == sizeof v.small ? v.small : v.large;
    return size == sizeof v.small || size == sizeof v.large;
}

static bool usage_of(int64_t pid, struct rusage_info_v4 *u)
{
    return pid > 0 && proc_pid_rusage((int)pid, RUSAGE_INFO_V4, (rusage_info_t *)(void *)u) == 0;
}

static void memory(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, const vm_statistics64_data_t *vm, int64_t page)
{
    int64_t total, level;
    const bool has_total = number_of("hw.memsize", &total) && total > 0;
    s->total_bytes = has_total ? total : -1;
    /* Pages of files are active or inactive too: counting the inactive ones besides would count them twice. */
    s->available_bytes = vm ? ((int64_t)vm->free_count + vm->purgeable_count + vm->external_page_count) * page : -1;
    in->read[AC_SIG_AVAILABLE] = has_total && vm
        ? ac_sig_value(100.0 * (double)s->available_bytes / (double)total)
        : ac_sig_none(s, AC_SIG_AVAILABLE, "%s cannot be read", vm ? "hw.memsize" : "host_statistics64");
    struct rusage_info_v4 u;
    const bool has_own = usage_of(f->pid, &u);
    s->footprint_bytes = has_own ? (int64_t)u.ri_phys_footprint : -1;
    in->read[AC_SIG_FOOTPRINT] = f->pid <= 0 ? ac_sig_none(s, AC_SIG_FOOTPRINT, "no training process")
        : f->budget_bytes <= 0 ? ac_sig_none(s, AC_SIG_FOOTPRINT, "no memory budget")
        : !has_own ? ac_sig_none(s, AC_SIG_FOOTPRINT, "proc_pid_rusage cannot be asked about the trainer")
        : ac_sig_value(100.0 * (double)s->footprint_bytes / (double)f->budget_bytes);
    in->read[AC_SIG_PRESSURE] = number_of("kern.memorystatus_vm_pressure_level", &level) && level >= 1 && level <= 4
        ? ac_sig_value((double)level)
        : ac_sig_none(s, AC_SIG_PRESSURE, "kern.memorystatus_vm_pressure_level cannot be read");
}

static void swap(ac_signals *s, ac_guard_sample *in, int64_t now, const vm_statistics64_data_t *vm, int64_t page)
{
    const double page_mib = (double)page / 1048576.0;
    if (!vm) {
        in->read[AC_SIG_SWAP_RATE] = ac_sig_none(s, AC_SIG_SWAP_RATE, "host_statistics64 cannot be read");
        in->read[AC_SIG_SWAP_GROWN] = ac_sig_none(s, AC_SIG_SWAP_GROWN, "host_statistics64 cannot be read");
        s->had_swap = false;
        s->swapped.n = 0;
    } else {
        const int64_t pages = (int64_t)vm->swapouts;
        in->read[AC_SIG_SWAP_RATE] = s->had_swap && now > s->last_ms && pages >= s->swap_pages
            ? ac_sig_value((double)(pages - s->swap_pages) * page_mib * 1000.0 / (double)(now - s->last_ms))
            : ac_sig_none(s, AC_SIG_SWAP_RATE, "a rate needs two readings");
        in->read[AC_SIG_SWAP_GROWN] = ac_sig_value(ac_growth_feed(&s->swapped, 10, 60000, now, pages) * page_mib);
        s->swap_pages = pages;
        s->had_swap = true;
    }
    struct xsw_usage x;
    size_t size = sizeof x;
    if (s->total_bytes <= 0 || sysctlbyname("vm.swapusage", &x, &size, NULL, 0) != 0 || size != sizeof x) {
        in->read[AC_SIG_SWAP_SHARE] = ac_sig_none(s, AC_SIG_SWAP_SHARE, "vm.swapusage cannot be read");
        return;
    }
    const int64_t used = (int64_t)x.xsu_used;
    if (!s->had_swap_used) s->swap_used_first = used;
    s->had_swap_used = true;
    const int64_t more = used > s->swap_used_first ? used - s->swap_used_first : 0;
    in->read[AC_SIG_SWAP_SHARE] = ac_sig_value(100.0 * (double)more / (double)s->total_bytes);
}

/* A private name, but one that many programs read, and without root. */
static void heat(ac_signals *s, ac_guard_sample *in)
{
    int token = 0;
    uint64_t level = 0;
    const bool registered = notify_register_check(THERMAL, &token) == 0;
    const bool told = registered && notify_get_state(token, &level) == 0 && level <= 4;
    if (registered) (void)notify_cancel(token);
    in->read[AC_SIG_THERMAL_LEVEL] = told ? ac_sig_value((double)level)
                                          : ac_sig_none(s, AC_SIG_THERMAL_LEVEL, "notify tells no " THERMAL);
}

static bool ticks(int64_t *all, int64_t *busy, int64_t *own, const ac_signals_from *f, mach_port_t host)
{
    host_cpu_load_info_data_t cpu = { { 0 } };
    mach_msg_type_number_t count = HOST_CPU_LOAD_INFO_COUNT;
    struct rusage_info_v4 u;
    mach_timebase_info_data_t base;
    if (host_statistics(host, HOST_CPU_LOAD_INFO, (host_info_t)&cpu, &count) != KERN_SUCCESS) return false;
    *all = *busy = *own = 0;
    for (int i = 0; i < CPU_STATE_MAX; i++) {
        *all += cpu.cpu_ticks[i];
        if (i != CPU_STATE_IDLE) *busy += cpu.cpu_ticks[i];
    }
    if (f->pid <= 0) return true;
    if (!usage_of(f->pid, &u) || mach_timebase_info(&base) != KERN_SUCCESS || base.denom == 0) return false;
    const double ns = (double)(u.ri_user_time + u.ri_system_time) * (double)base.numer / (double)base.denom;
    *own = (int64_t)(ns / (double)TICK_NS);
    return true;
}

/* The counters have 32 bits each: when one begins anew, the reading after it counts again. */
static void foreign(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, mach_port_t host)
{
    int64_t all, busy, own;
    const bool known = ticks(&all, &busy, &own, f, host);
    if (!known)
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_none(s, AC_SIG_FOREIGN_CPU, "host_statistics, or the trainer's usage, cannot be read");
    else if (!s->had_cpu || all <= s->cpu_all || busy < s->cpu_busy || own < s->cpu_own)
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_none(s, AC_SIG_FOREIGN_CPU, "a rate needs two readings");
    else {
        const int64_t others = busy - s->cpu_busy - (own - s->cpu_own);
        in->read[AC_SIG_FOREIGN_CPU] = ac_sig_value(others > 0 ? 100.0 * (double)others / (double)(all - s->cpu_all) : 0);
    }
    s->had_cpu = known;
    if (!known) return;
    s->cpu_all = all;
    s->cpu_busy = busy;
    s->cpu_own = own;
}

static void written(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now, int64_t page)
{
    struct rusage_info_v4 u;
    const bool has = usage_of(f->pid, &u);
    const int64_t bytes = has ? (int64_t)u.ri_diskio_byteswritten + (s->had_swap ? s->swap_pages * page : 0) : -1;
    ac_sig_written(s, f, in, now, bytes, f->pid > 0 ? "proc_pid_rusage cannot be asked about the trainer" : "no training process");
}

static ac_status slow(ac_signals *s, ac_guard_sample *in, const ac_signals_from *f, int64_t now, mach_port_t host, int64_t page,
                      ac_err *err)
{
    heat(s, in);
    foreign(s, in, f, host);
    written(s, in, f, now, page);
    ac_sig_disk(s, f, in);
    ac_darwin_iokit(s, in);
    ac_status st = AC_OK;
    if (ac_sig_due(&s->had_scan, &s->scan_ms, AC_SCAN_MS, now)) st = ac_darwin_scan(s, f, err);
    if (st) return st;
    in->read[AC_SIG_BESIDE] = s->beside_count >= 0 ? ac_sig_value(s->beside_count)
                                                   : ac_sig_none(s, AC_SIG_BESIDE, "the table of processes cannot be read");
    memcpy(in->beside, s->scanned, sizeof in->beside);
    ac_sig_gpu(s, f, in, now);
    return AC_OK;
}

ac_status ac_signals_read(ac_signals *s, const ac_signals_from *f, int64_t now, ac_guard_sample *in, ac_err *err)
{
    const mach_port_t host = mach_host_self();
    vm_statistics64_data_t vm = { 0 };
    mach_msg_type_number_t count = HOST_VM_INFO64_COUNT;
    vm_size_t page = 0;
    ac_status st = AC_OK;
    const bool has_vm = host_page_size(host, &page) == KERN_SUCCESS
                        && host_statistics64(host, HOST_VM_INFO64, (host_info64_t)&vm, &count) == KERN_SUCCESS;
    for (size_t i = 0; i < AC_SIG_N_READ; i++) in->read[i] = (ac_reading){ .why = "not read on this system" };
    in->beside[0] = '\0';
    if (ac_sig_due(&s->had_slow, &s->slow_ms, AC_SLOW_MS, now)) {
        st = slow(s, in, f, now, host, (int64_t)page, err);
        memcpy(s->kept, in->read, sizeof s->kept);
        memcpy(s->beside, in->beside, sizeof s->beside);
    } else {
        memcpy(in->read, s->kept, sizeof s->kept);
        memcpy(in->beside, s->beside, sizeof in->beside);
    }
    memory(s, in, f, has_vm ? &vm : NULL, (int64_t)page);
    swap(s, in, now, has_vm ? &vm : NULL, (int64_t)page);
    ac_sig_steps(s, f, in);
    (void)mach_port_deallocate(mach_task_self(), host);
    in->taken_ms = in->now_ms = s->last_ms = now;
    return st;
}

int ac_signals_wake_open(const char *root, const char **why)
{
    AC_UNUSED(root);
    *why = "macOS has no such descriptor: the level of pressure is read at each look";
    return -1;
}

void ac_signals_wake_close(int fd)
{
    AC_UNUSED(fd);
}
