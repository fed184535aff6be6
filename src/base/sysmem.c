#include "base/sysmem.h"

#include <stdio.h>
#include <string.h>

#include "base/str.h"
#include "base/sysfile.h"

#define TEXT_MAX 16384
#define PATH_MAX_BYTES 4096
#define NO_LIMIT ((int64_t)1 << 60)      /* v1 writes "no limit" as a number close to 2^63 */

static bool read_under(char text[TEXT_MAX], const char *root, const char *path)
{
    return !ac_sysfile_read(text, TEXT_MAX, NULL, root, path);
}

/* The number behind a line's first word, -1 when there is no such line. */
static int64_t field(const char *text, const char *key)
{
    const size_t len = strlen(key);
    for (const char *at = text; at; at = strchr(at, '\n')) {
        if (*at == '\n') at++;
        if (strncmp(at, key, len) != 0) continue;
        const char *p = at + len;
        while (*p == ' ' || *p == '\t') p++;
        size_t digits = strspn(p, "0123456789");
        int64_t v;
        return ac_parse_i64((ac_view){ p, digits }, &v) ? v : -1;
    }
    return -1;
}

/* The first number of a file; -1: none, as in "max". */
static int64_t number_of(const char *root, const char *group, const char *name)
{
    char text[TEXT_MAX], path[PATH_MAX_BYTES];
    const int n = snprintf(path, sizeof path, "%s/%s", group, name);
    if (n < 0 || (size_t)n >= sizeof path || !read_under(text, root, path)) return -1;
    return field(text, "");
}

typedef struct {
    const char *mount, *limit, *brake, *used, *droppable[2];
} group_kind;

/* Over memory.high a group is slowed to a crawl, so that it counts as a limit too. */
static const group_kind v2 = { "/sys/fs/cgroup", "memory.max", "memory.high", "memory.current",
                               { "inactive_file", "active_file" } };
static const group_kind v1 = { "/sys/fs/cgroup/memory", "memory.limit_in_bytes", NULL, "memory.usage_in_bytes",
                               { "total_inactive_file", "total_active_file" } };

typedef struct {
    int64_t limit, left;                 /* the least so far; NO_LIMIT: none */
} group_room;

static int64_t limit_of(const char *root, const group_kind *k, const char *group)
{
    const int64_t limit = number_of(root, group, k->limit), brake = k->brake ? number_of(root, group, k->brake) : -1;
    const int64_t least = limit < 0 || (brake >= 0 && brake < limit) ? brake : limit;
    return least < 0 || least > NO_LIMIT ? NO_LIMIT : least;
}

/* What one group leaves of its limit. */
static int64_t left_in(const char *root, const group_kind *k, const char *group, int64_t limit)
{
    char text[TEXT_MAX], path[PATH_MAX_BYTES];
    int64_t used = number_of(root, group, k->used), droppable = 0;
    const int n = snprintf(path, sizeof path, "%s/memory.stat", group);
    if (n > 0 && (size_t)n < sizeof path && read_under(text, root, path))
        for (size_t i = 0; i < AC_COUNTOF(k->droppable); i++) {
            const int64_t pages = field(text, k->droppable[i]);
            if (pages > 0 && pages < NO_LIMIT) droppable += pages;
        }
    if (used < 0) used = 0;
    if (droppable > 0) used -= droppable < used ? droppable : used;
    return limit > used ? limit - used : 0;
}

/* The group at `path` and those above it. */
static void look_above(group_room *r, const char *root, const group_kind *k, ac_view path)
{
    for (;;) {
        char group[PATH_MAX_BYTES];
        const int n = snprintf(group, sizeof group, "%s" AC_VIEW_FMT, k->mount, AC_VIEW_ARG(path));
        const int64_t limit = n > 0 && (size_t)n < sizeof group ? limit_of(root, k, group) : NO_LIMIT;
        if (limit < r->limit) r->limit = limit;
        if (limit < NO_LIMIT) {
            const int64_t left = left_in(root, k, group, limit);
            if (left < r->left) r->left = left;
        }
        if (path.len == 0) return;
        do path.len--;                                     /* one level up: "/a/b" to "/a" to "" */
        while (path.len && path.ptr[path.len] != '/');
    }
}

/* Lines "7:memory:/a/b" (v1) and "0::/a/b" (v2). */
static group_room look_at_groups(const char *root)
{
    char text[TEXT_MAX];
    group_room r = { NO_LIMIT, NO_LIMIT };
    if (!read_under(text, root, "/proc/self/cgroup")) return r;
    ac_view rest = ac_view_of(text);
    while (rest.len) {
        const size_t end = ac_view_find(rest, AC_VIEW("\n"), 0);
        const ac_view line = ac_view_slice(rest, 0, end);
        rest = end == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, end + 1, rest.len);
        const size_t one = ac_view_find(line, AC_VIEW(":"), 0);
        const size_t two = one == SIZE_MAX ? one : ac_view_find(line, AC_VIEW(":"), one + 1);
        if (two == SIZE_MAX) continue;
        const ac_view kinds = ac_view_slice(line, one + 1, two);
        const bool is_v1 = ac_view_find(kinds, AC_VIEW("memory"), 0) != SIZE_MAX;
        if (!is_v1 && kinds.len) continue;
        ac_view path = ac_view_slice(line, two + 1, line.len);
        if (path.len == 1) path.len = 0;                   /* the root, "/" */
        look_above(&r, root, is_v1 ? &v1 : &v2, path);
    }
    return r;
}

int64_t ac_memory_available_under(const char *root)
{
    char text[TEXT_MAX];
    int64_t system = -1;
    if (read_under(text, root, "/proc/meminfo")) {
        const int64_t kib = field(text, "MemAvailable:");
        if (kib >= 0 && kib < NO_LIMIT / 1024) system = kib * 1024;
    }
    const int64_t group = look_at_groups(root).left;
    if (group < NO_LIMIT && (system < 0 || group < system)) return group;
    return system;
}

int64_t ac_memory_available(void)
{
    return ac_memory_available_under("");
}

static int64_t status_field(const char *key)
{
    char text[TEXT_MAX];
    if (!read_under(text, "", "/proc/self/status")) return 0;
    const int64_t kib = field(text, key);
    return kib > 0 && kib < NO_LIMIT / 1024 ? kib * 1024 : 0;
}

int64_t ac_rss_own_bytes(void)
{
    return status_field("RssAnon:");
}

int64_t ac_rss_mapped_bytes(void)
{
    return status_field("RssFile:");
}

int64_t ac_memory_total_under(const char *root)
{
    char text[TEXT_MAX];
    const int64_t kib = read_under(text, root, "/proc/meminfo") ? field(text, "MemTotal:") : -1;
    return kib >= 0 && kib < NO_LIMIT / 1024 ? kib * 1024 : -1;
}

int64_t ac_memory_total(void)
{
    return ac_memory_total_under("");
}

int64_t ac_memory_machine_under(const char *root)
{
    const int64_t total = ac_memory_total_under(root), group = look_at_groups(root).limit;
    return group < NO_LIMIT && (total < 0 || group < total) ? group : total;
}

int64_t ac_memory_machine(void)
{
    return ac_memory_machine_under("");
}
