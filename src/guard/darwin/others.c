/* Which processes compete, by name and, where they are this user's, by their arguments. */
#include "guard/darwin/darwin_int.h"

#include <libproc.h>
#include <stdio.h>
#include <string.h>
#include <sys/sysctl.h>

#define PIDS_MAX 8192

bool ac_sig_process_name(char out[64], const char *root, int64_t pid)
{
    AC_UNUSED(root);
    out[0] = '\0';
    return proc_name((int)pid, out, 64) > 0 && out[0];
}

static int args_max(void)
{
    int name[] = { CTL_KERN, KERN_ARGMAX }, most = 0;
    size_t size = sizeof most;
    return sysctl(name, 2, &most, &size, NULL, 0) == 0 && most > 0 && most <= (16 << 20) ? most : 0;
}

/* The kernel gives a count, the program's path, NULs, and then the arguments. Empty: another user's, or malformed. */
static ac_view args_of(int pid, char *buf, size_t room)
{
    int name[] = { CTL_KERN, KERN_PROCARGS2, pid }, count;
    size_t size = room;
    const ac_view none = { NULL, 0 };
    if (sysctl(name, 3, buf, &size, NULL, 0) != 0 || size <= sizeof count || size > room) return none;
    memcpy(&count, buf, sizeof count);
    size_t at = sizeof count;
    while (at < size && buf[at]) at++;
    while (at < size && !buf[at]) at++;
    const size_t from = at;
    for (int i = 0; i < count && at < size; i++) {
        const char *end = memchr(buf + at, '\0', size - at);
        at = end ? (size_t)(end - buf) + 1 : size;
    }
    return (ac_view){ buf + from, at - from };
}

ac_status ac_darwin_scan(ac_signals *s, const ac_signals_from *f, ac_err *err)
{
    ac_arena a = { 0 };
    int *pids = ac_arena_alloc_array(&a, PIDS_MAX, sizeof *pids);
    const size_t room = (size_t)args_max();
    char *buf = room ? ac_arena_alloc(&a, room) : NULL;
    if (!pids || (room && !buf)) {
        ac_arena_release(&a);
        return ac_fail_nomem(err, room + PIDS_MAX * sizeof *pids);
    }
    const int n = proc_listallpids(pids, (int)(PIDS_MAX * sizeof *pids));
    size_t seen = 0, count = 0;
    s->scanned[0] = '\0';
    for (int i = 0; i < n && i < PIDS_MAX; i++) {
        char name[64];
        if (pids[i] <= 0 || pids[i] == f->pid || !ac_sig_process_name(name, "", pids[i])) continue;
        seen++;
        const ac_view args = room ? args_of(pids[i], buf, room) : (ac_view){ NULL, 0 };
        const char *says = ac_guard_competitor(ac_view_of(name), args);
        if (says && count++ == 0) (void)snprintf(s->scanned, sizeof s->scanned, "%s", says);
    }
    s->beside_count = seen ? (double)count : -1;
    ac_arena_release(&a);
    return AC_OK;
}
