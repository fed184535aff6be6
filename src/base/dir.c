/* Folders and paths. */
#include "base/file.h"

#include <dirent.h>
#include <errno.h>
#include <fcntl.h>
#include <limits.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file_int.h"

#define DIR_NAMES_MAX ((size_t)1 << 20)
#define TREE_DEPTH_MAX 64

bool ac_path_exists(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0;
}

bool ac_path_is_dir(const char *path)
{
    struct stat st;
    return stat(path, &st) == 0 && S_ISDIR(st.st_mode);
}

bool ac_path_real(char *out, size_t size, const char *path)
{
    char full[PATH_MAX];
    const size_t n = realpath(path, full) ? strlen(full) : 0;
    if (n == 0 || n >= size) return false;
    memcpy(out, full, n + 1);
    return true;
}

ac_status ac_temp_dir(char **out, ac_arena *a, const char *what, ac_err *err)
{
    const char *where = getenv("TMPDIR");
    char *path = ac_arena_printf(a, "%s/accord-%s-XXXXXX", where && where[0] ? where : "/tmp", what);
    if (!path) return ac_fail_nomem(err, 64);
    const bool failing = ac_fault_hit(AC_FAULT_IO);
    if (failing) errno = ENOSPC;
    if (failing || !mkdtemp(path)) return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create a folder", path);
    *out = path;
    return AC_OK;
}

bool ac_path_open_to_all(const char *path, unsigned *mode)
{
    char part[PATH_MAX];
    struct stat st;
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part || stat(path, &st) != 0 || !(st.st_mode & S_IROTH)) return false;
    *mode = (unsigned)(st.st_mode & 07777);
    for (size_t i = 0; i < n; i++) {
        if (path[i] != '/') continue;
        memcpy(part, path, i + 1);
        part[i + 1] = '\0';
        if (stat(part, &st) != 0 || !(st.st_mode & S_IXOTH)) return false;
    }
    return true;
}

ac_status ac_file_size(const char *path, uint64_t *out, ac_err *err)
{
    int fd;
    const ac_status st = ac_io_open_input(&fd, out, path, err);
    if (!st) ac_io_close(fd);
    return st;
}

ac_status ac_file_mtime_ns(const char *path, int64_t *out, ac_err *err)
{
    struct stat st;
    if (stat(path, &st) != 0) return ac_fail_errno(err, errno == ENOENT ? AC_ENOENT : AC_EIO, errno, "%s", path);
#if defined(__APPLE__)
    *out = (int64_t)st.st_mtimespec.tv_sec * 1000000000 + st.st_mtimespec.tv_nsec;
#else
    *out = (int64_t)st.st_mtim.tv_sec * 1000000000 + st.st_mtim.tv_nsec;
#endif
    return AC_OK;
}

ac_status ac_mkdir_p(const char *path, ac_err *err)
{
    char part[PATH_MAX];
    const size_t n = strlen(path);
    if (n == 0 || n >= sizeof part)
        return ac_fail(err, AC_EARG, "%.80s: path is %s", path, n ? "too long" : "empty");
    memcpy(part, path, n + 1);
    for (size_t i = 1; i <= n; i++) {
        if (part[i] != '/' && part[i] != '\0') continue;
        const char kept = part[i];
        part[i] = '\0';
        if (ac_io_mkdir(part, 0777) != 0) {
            const int e = errno;
            if (e != EEXIST && !(e != ENOSPC && ac_path_is_dir(part)))
                return ac_fail_errno(err, AC_ECREATE, e, "%s: cannot create the folder", part);
            if (!ac_path_is_dir(part))
                return ac_fail(err, AC_ECREATE, "%s: is in the way; expected a folder", part);
        }
        part[i] = kept;
    }
    return AC_OK;
}

ac_status ac_dir_sync(const char *path, ac_err *err)
{
    const int fd = ac_io_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot open the folder", path);
    ac_status st = AC_OK;
    /* Some file systems have nothing to sync about a folder and say EINVAL. */
    if (ac_io_fsync(fd) != 0 && errno != EINVAL)
        st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot sync the folder", path);
    ac_io_close(fd);
    return st;
}

ac_status ac_rename(const char *from, const char *to, ac_err *err)
{
    if (ac_io_rename(from, to) == 0) return AC_OK;
    return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot rename to %s", from, to);
}

ac_status ac_symlink_replace(const char *target, const char *path, ac_err *err)
{
    char tmp[PATH_MAX];
    struct stat there;
    if (lstat(path, &there) == 0 && !S_ISLNK(there.st_mode))
        return ac_fail(err, AC_ECREATE, "%s: is in the way; expected a symbolic link or nothing", path);
    const int n = snprintf(tmp, sizeof tmp, "%s.%ld.tmp", path, (long)getpid());
    if (n < 0 || (size_t)n >= sizeof tmp) return ac_fail(err, AC_EARG, "%.80s: path is too long", path);
    (void)unlink(tmp);
    if (ac_io_symlink(target, tmp) != 0)
        return ac_fail_errno(err, AC_ECREATE, errno, "%s: cannot create the symbolic link", path);
    if (ac_io_rename(tmp, path) == 0) return AC_OK;
    const int e = errno;
    (void)unlink(tmp);
    return ac_fail_errno(err, AC_ECREATE, e, "%s: cannot replace the symbolic link", path);
}

/* ---- removing ---- */

static ac_status remove_at(int dir_fd, const char *name, const char *path, int depth, ac_err *err);

static ac_status remove_inside(int fd, const char *path, int depth, ac_err *err)
{
    DIR *d = fdopendir(fd);
    if (!d) {
        const int e = errno;
        ac_io_close(fd);
        return ac_fail_errno(err, AC_EIO, e, "%s: cannot read the folder", path);
    }
    ac_status st = AC_OK;
    while (!st) {
        errno = 0;
        const struct dirent *e = readdir(d);
        if (!e) {
            if (errno) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot read the folder", path);
            break;
        }
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        st = remove_at(dirfd(d), e->d_name, path, depth + 1, err);
    }
    (void)closedir(d);
    return st;
}

/* `path` only names the tree in messages; symlinks are removed, never entered. */
static ac_status remove_at(int dir_fd, const char *name, const char *path, int depth, ac_err *err)
{
    if (depth > TREE_DEPTH_MAX)
        return ac_fail(err, AC_EIO, "%s: nested deeper than %d folders; not removed", path,
                       TREE_DEPTH_MAX);
    if (ac_io_unlinkat(dir_fd, name, 0) == 0 || errno == ENOENT) return AC_OK;
    if (errno != EISDIR && errno != EPERM)
        return ac_fail_errno(err, AC_EIO, errno, "%s: cannot remove %s", path, name);
    const int fd = openat(dir_fd, name, O_RDONLY | O_DIRECTORY | O_NOFOLLOW | O_CLOEXEC);
    if (fd < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot open %s", path, name);
    const ac_status st = remove_inside(fd, path, depth, err);
    if (st) return st;
    if (ac_io_unlinkat(dir_fd, name, AT_REMOVEDIR) == 0) return AC_OK;
    return ac_fail_errno(err, AC_EIO, errno, "%s: cannot remove %s", path, name);
}

ac_status ac_remove_tree(const char *path, ac_err *err)
{
    return remove_at(AT_FDCWD, path, path, 0, err);
}

/* ---- listing ---- */

static int by_bytes(const void *a, const void *b)
{
    return strcmp(*(char *const *)a, *(char *const *)b);
}

static ac_status list_names(DIR *d, const char *path, ac_arena *a, char ***out, size_t *n_out,
                            ac_err *err)
{
    char **names = NULL;
    size_t n = 0, cap = 0;
    for (;;) {
        errno = 0;
        const struct dirent *e = ac_fault_hit(AC_FAULT_IO) ? (errno = ENOSPC, NULL) : readdir(d);
        if (!e) break;
        if (strcmp(e->d_name, ".") == 0 || strcmp(e->d_name, "..") == 0) continue;
        if (n == DIR_NAMES_MAX)
            return ac_fail(err, AC_EFORMAT, "%s: holds more than %zu names", path, DIR_NAMES_MAX);
        if (n == cap) {
            const size_t more = cap ? cap * 2 : 32;
            char **p = ac_arena_alloc_array(a, more, sizeof *p);
            if (!p) return ac_fail_nomem(err, more * sizeof *p);
            if (n) memcpy(p, names, n * sizeof *p);
            names = p;
            cap = more;
        }
        if (!(names[n] = ac_arena_strndup(a, e->d_name, strlen(e->d_name))))
            return ac_fail_nomem(err, strlen(e->d_name) + 1);
        n++;
    }
    if (errno) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot read the folder", path);
    if (n) qsort(names, n, sizeof *names, by_bytes);
    *out = names;
    *n_out = n;
    return AC_OK;
}

ac_status ac_dir_list(const char *path, ac_arena *a, char ***names, size_t *n, ac_err *err)
{
    const int fd = ac_io_open(path, O_RDONLY | O_DIRECTORY, 0);
    if (fd < 0) {
        const int e = errno;
        if (e == ENOENT) return ac_fail(err, AC_ENOENT, "%s: no such folder; check the path", path);
        if (e == ENOTDIR) return ac_fail(err, AC_ENOENT, "%s: is not a folder", path);
        return ac_fail_errno(err, AC_EIO, e, "%s: cannot open the folder", path);
    }
    DIR *d = fdopendir(fd);
    if (!d) {
        const int e = errno;
        ac_io_close(fd);
        return ac_fail_errno(err, AC_EIO, e, "%s: cannot read the folder", path);
    }
    const ac_status st = list_names(d, path, a, names, n, err);
    (void)closedir(d);
    return st;
}

typedef struct {
    ac_arena *a;
    char **name;
    size_t n, cap;
} file_list;

static ac_status add_file(file_list *l, const char *name, ac_err *err)
{
    if (l->n == DIR_NAMES_MAX) return ac_fail(err, AC_EFORMAT, "%s: more than %zu files", name, DIR_NAMES_MAX);
    if (l->n == l->cap) {
        const size_t more = l->cap ? l->cap * 2 : 64;
        char **p = ac_arena_alloc_array(l->a, more, sizeof *p);
        if (!p) return ac_fail_nomem(err, more * sizeof *p);
        if (l->n) memcpy(p, l->name, l->n * sizeof *p);
        l->name = p;
        l->cap = more;
    }
    if (!(l->name[l->n] = ac_arena_strndup(l->a, name, strlen(name)))) return ac_fail_nomem(err, strlen(name));
    l->n++;
    return AC_OK;
}

/* below: "" or "a/b/". */
static ac_status list_below(file_list *l, const char *dir, const char *below, int depth, ac_err *err)
{
    char **names;
    size_t n;
    if (depth > TREE_DEPTH_MAX) return ac_fail(err, AC_EFORMAT, "%s: nested deeper than %d folders", dir, TREE_DEPTH_MAX);
    ac_status st = ac_dir_list(dir, l->a, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        struct stat s;
        char *path = ac_arena_printf(l->a, "%s/%s", dir, names[i]), *name = ac_arena_printf(l->a, "%s%s", below, names[i]);
        char *inside = ac_arena_printf(l->a, "%s%s/", below, names[i]);
        if (!path || !name || !inside) st = ac_fail_nomem(err, strlen(dir) + strlen(below));
        else if (lstat(path, &s) != 0) st = ac_fail_errno(err, AC_EIO, errno, "%s: cannot stat", path);
        else if (S_ISDIR(s.st_mode)) st = list_below(l, path, inside, depth + 1, err);
        else if (S_ISREG(s.st_mode)) st = add_file(l, name, err);
    }
    return st;
}

ac_status ac_dir_files(const char *path, ac_arena *a, char ***names, size_t *n, ac_err *err)
{
    file_list l = { .a = a };
    const ac_status st = list_below(&l, path, "", 0, err);
    if (st) return st;
    if (l.n) qsort(l.name, l.n, sizeof *l.name, by_bytes);
    *names = l.name;
    *n = l.n;
    return AC_OK;
}

/* ---- names ---- */

char *ac_path_join(ac_arena *a, const char *dir, const char *name)
{
    const size_t n = strlen(dir);
    if (n == 0 || strcmp(dir, ".") == 0 || name[0] == '/')
        return ac_arena_strndup(a, name, strlen(name));
    return ac_arena_printf(a, "%s%s%s", dir, dir[n - 1] == '/' ? "" : "/", name);
}

char *ac_cache_dir(ac_arena *a)
{
    const char *own = getenv("ACCORD_CACHE"), *xdg = getenv("XDG_CACHE_HOME"), *home = getenv("HOME");
    if (own && own[0]) return ac_arena_strndup(a, own, strlen(own));
    if (xdg && xdg[0] == '/') return ac_path_join(a, xdg, "accord");
    if (home && home[0]) return ac_path_join(a, home, ".cache/accord");
    return NULL;
}

char *ac_cache_model_path(ac_arena *a, const char *name)
{
    const char *dir = ac_path_component_ok(ac_view_of(name)) ? ac_cache_dir(a) : NULL;
    return dir ? ac_arena_printf(a, "%s/models/%s/model.gguf", dir, name) : NULL;
}

ac_status ac_model_locate(char **out, ac_arena *a, const char *name, ac_err *err)
{
    char *path = ac_path_exists(name) ? ac_arena_strndup(a, name, strlen(name)) : NULL;
    if (!path && ac_path_exists(name)) return ac_fail_nomem(err, strlen(name));
    if (!path) {
        path = ac_cache_model_path(a, name);
        if (path && !ac_path_exists(path)) path = NULL;
    }
    if (!path)
        return ac_fail(err, AC_ENOENT, "%s: neither a file or folder nor a model that was pulled; see "
                       "accord model pull --list", name);
    *out = path;
    return AC_OK;
}

bool ac_path_component_ok(ac_view name)
{
    if (name.len == 0 || name.len > 255) return false;
    if (ac_view_eq_str(name, ".") || ac_view_eq_str(name, "..")) return false;
    for (size_t i = 0; i < name.len; i++) {
        const char c = name.ptr[i];
        const bool ok = (c >= 'A' && c <= 'Z') || (c >= 'a' && c <= 'z') || (c >= '0' && c <= '9')
                        || c == '.' || c == '_' || c == '-';
        if (!ok) return false;
    }
    return true;
}
