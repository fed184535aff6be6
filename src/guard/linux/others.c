/* Other programs and people: which processes compete, and how long nobody has touched the machine. */
#include "guard/linux/linux_int.h"

#include <stdio.h>
#include <string.h>
#include <unistd.h>

#include "base/mem.h"
#include "base/sysfile.h"
#include "base/time.h"

#define ARGS_BYTES 4096
#define AHEAD_NS ((int64_t)60 * 1000000000)      /* a console read later than now: the clock was set back */

bool ac_sig_process_name(char out[64], const char *root, int64_t pid)
{
    char path[64];
    (void)snprintf(path, sizeof path, "/proc/%lld/comm", (long long)pid);
    return !ac_linux_line(out, 64, root, path, "") && out[0];
}

/* A kernel thread has an empty command line: its name need not be asked for. */
static const char *competes(const char *root, int64_t pid, size_t *seen)
{
    char path[64], args[ARGS_BYTES], name[64] = "";
    size_t len = 0;
    (void)snprintf(path, sizeof path, "/proc/%lld/cmdline", (long long)pid);
    const bool has_args = !ac_sysfile_read(args, sizeof args, &len, root, path);
    if (has_args && len == 0) {
        ++*seen;
        return NULL;
    }
    const bool has_name = ac_sig_process_name(name, root, pid);
    if (!has_args && !has_name) return NULL;
    ++*seen;
    return ac_guard_competitor(ac_view_of(name), (ac_view){ args, has_args ? len : 0 });
}

ac_status ac_linux_scan(ac_signals *s, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL;
    size_t n, seen = 0, count = 0;
    const ac_status st = ac_linux_names(&names, &n, a, f->root, "/proc", err);
    if (st) return st;
    s->scanned[0] = '\0';
    for (size_t i = 0; i < n; i++) {
        uint64_t pid;
        if (!ac_parse_u64(ac_view_of(names[i]), &pid) || pid > INT32_MAX || (int64_t)pid == f->pid) continue;
        const char *says = competes(f->root, (int64_t)pid, &seen);
        if (says && count++ == 0) (void)snprintf(s->scanned, sizeof s->scanned, "%s", says);
    }
    s->beside_count = seen ? (double)count : -1;
    return AC_OK;
}

/* A desktop session in the foreground, logged in by a person. */
static ac_status desktop(bool *found, const ac_signals_from *f, ac_arena *a, ac_err *err)
{
    char **names = NULL, path[300], kind[32], active[8], class[32];
    size_t n;
    *found = false;
    const ac_status st = ac_linux_names(&names, &n, a, f->root, "/run/systemd/sessions", err);
    for (size_t i = 0; !st && i < n && !*found; i++) {
        if (strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/run/systemd/sessions/%s", names[i]);
        if (ac_linux_line(kind, sizeof kind, f->root, path, "TYPE=") || ac_linux_line(active, sizeof active, f->root, path, "ACTIVE=")
            || ac_linux_line(class, sizeof class, f->root, path, "CLASS="))
            continue;
        const bool drawn = strcmp(kind, "x11") == 0 || strcmp(kind, "wayland") == 0 || strcmp(kind, "mir") == 0;
        *found = drawn && strcmp(active, "1") == 0 && strncmp(class, "user", 4) == 0;
    }
    return st;
}

/* How long nobody has touched the machine itself. A desktop's keys and pointer can be seen by root only: one that is in the
 * foreground counts as somebody there. A console's time of access is that of the last input that a program read from it, as `w`
 * has it. Terminals over the network (/dev/pts) are left out: on a server the system shares the processors. */
ac_status ac_linux_idle(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, ac_arena *a, ac_err *err)
{
    int64_t latest = INT64_MIN;
    bool drawn;
    const ac_status st = desktop(&drawn, f, a, err);
    if (st) return st;
    for (int i = 1; i <= 12; i++) {
        char path[32];
        int64_t at;
        (void)snprintf(path, sizeof path, "/dev/tty%d", i);
        if (!ac_sysfile_atime_ns(&at, f->root, path) && at > latest) latest = at;
    }
    const int64_t now = f->utc_ns ? f->utc_ns : ac_utc_ns();
    in->read[AC_SIG_USER_IDLE] =
        drawn ? ac_sig_value(0)
        : latest == INT64_MIN ? ac_sig_none(s, AC_SIG_USER_IDLE, "no desktop session, and no console /dev/tty1 to 12")
        : latest > now + AHEAD_NS ? ac_sig_none(s, AC_SIG_USER_IDLE, "a console was used later than now: the clock was set back")
        : ac_sig_value(latest < now ? (double)(now - latest) / 1e9 : 0);
    return AC_OK;
}
