/* base/file.h - all file access: whole reads, lines, maps, atomic writes.
 *
 * F1  Inputs are regular files: FIFOs, devices and folders are refused by name. Symlinks are followed
 *     for paths that a person wrote.
 * F2  A file written here is complete or absent: temporary name in the same folder, fsync, rename,
 *     fsync of the folder. A failed fsync is never retried on the same descriptor.
 * F3  Every call goes through the fault hooks of base/fault.h, so that the n-th can be failed.
 * F5  A sealed input (an age file, by its first bytes) is opened in memory by what cli registered, wherever these calls
 *     read or hash a file: callers see its plain bytes, and nothing plain is written. The memory that holds them is
 *     locked (best effort) and wiped; so is an arena that such bytes were read into.
 * F4  Missing input is AC_ENOENT, an unreadable one AC_EIO, an uncreatable output AC_ECREATE. */
#ifndef AC_BASE_FILE_H
#define AC_BASE_FILE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/secret.h"
#include "base/str.h"

/* Reads a whole file of at most max_bytes into *out (emptied first; NUL-terminated). */
ac_status ac_file_read(ac_str *out, const char *path, size_t max_bytes, ac_err *err);
/* The same into an arena. */
ac_status ac_file_read_arena(ac_view *out, ac_arena *a, const char *path, size_t max_bytes,
                             ac_err *err);

/* Line reader: LF or CRLF; a last line without one counts. Views last until the next call.
 * A line longer than max_line_bytes is AC_EFORMAT and names path and line. */
typedef struct ac_lines ac_lines;
ac_status ac_lines_open(ac_lines **out, const char *path, size_t max_line_bytes, ac_err *err);
/* Sets *line; line->ptr is NULL at the end of the file. *number counts from 1. */
ac_status ac_lines_next(ac_lines *l, ac_view *line, size_t *number, ac_err *err);
void      ac_lines_close(ac_lines **l);

/* A big file read in pieces, at any place, from any thread. Its size is that at opening; when it turns out shorter,
 * reading is AC_EIO. */
typedef struct ac_reader ac_reader;
ac_status ac_reader_open(ac_reader **out, const char *path, ac_err *err);
uint64_t  ac_reader_size(const ac_reader *r);
bool      ac_reader_sealed(const ac_reader *r);     /* its bytes came out of a sealed file: wipe what holds them */
ac_status ac_reader_at(const ac_reader *r, uint64_t offset, void *buf, size_t len, ac_err *err);
void      ac_reader_close(ac_reader **r);

/* Read-only map of a whole regular file; empty files give {NULL, 0}. */
typedef struct {
    const uint8_t *ptr;
    size_t len;
    char *plain;            /* of a sealed file: what ptr points to */
} ac_map;
ac_status ac_map_open(ac_map *out, const char *path, ac_err *err);
ac_status ac_map_open_raw(ac_map *out, const char *path, ac_err *err);    /* a sealed file as it lies there */
void      ac_map_close(ac_map *m);

/* F5: `is` looks at a file's first bytes; `open` gives its plain bytes. Both NULL: sealed files are read as they lie. Set
 * once, before anything is read. */
typedef struct {
    bool (*is)(const void *data, size_t len);
    ac_status (*open)(ac_secret *plain, const void *data, size_t len, const char *path, ac_err *err);
} ac_unsealer;
void     ac_file_set_unsealer(const ac_unsealer *u);
bool     ac_file_is_sealed(const char *path);   /* by its first bytes; false where it cannot be read, too */
uint64_t ac_file_unsealed(void);      /* how many sealed files were opened so far: was one among what I just read? */

/* Replaces path atomically (F2). */
ac_status ac_file_write_atomic(const char *path, const void *data, size_t len, ac_err *err);

/* Streaming writer with the same promise: nothing is seen under path before commit. */
typedef struct ac_writer ac_writer;
ac_status ac_writer_open(ac_writer **out, const char *path, ac_err *err);
ac_status ac_writer_write(ac_writer *w, const void *data, size_t len, ac_err *err);
ac_status ac_writer_commit(ac_writer **w, ac_err *err);   /* closes and clears *w in any case */
void      ac_writer_abort(ac_writer **w);                 /* removes the temporary; accepts NULL */

/* Append handle for JSONL logs: one write() a line; sync on request. Creates the file. */
typedef struct ac_appender ac_appender;
ac_status ac_appender_open(ac_appender **out, const char *path, ac_err *err);
ac_status ac_appender_line(ac_appender *a, ac_view line, ac_err *err);  /* adds the LF */
ac_status ac_appender_sync(ac_appender *a, ac_err *err);
void      ac_appender_close(ac_appender **a);

ac_status ac_mkdir_p(const char *path, ac_err *err);
/* A new folder of our own below TMPDIR (else /tmp), "accord-<what>-XXXXXX"; its path in the arena. */
ac_status ac_temp_dir(char **out, ac_arena *a, const char *what, ac_err *err);
ac_status ac_dir_sync(const char *path, ac_err *err);
ac_status ac_rename(const char *from, const char *to, ac_err *err);
/* Makes path a symbolic link to target, replacing a link that is there (never a file or folder: AC_ECREATE). */
ac_status ac_symlink_replace(const char *target, const char *path, ac_err *err);
ac_status ac_remove_tree(const char *path, ac_err *err);   /* never follows symlinks; absent is fine */
ac_status ac_truncate(const char *path, uint64_t len, ac_err *err);
/* Time of the last change of a file's content, since 1970. */
ac_status ac_file_mtime_ns(const char *path, int64_t *out, ac_err *err);
bool      ac_path_exists(const char *path);
bool      ac_path_is_dir(const char *path);
/* The absolute path without links; false when it is not there or does not fit. */
bool      ac_path_real(char *out, size_t size, const char *path);
/* Can every user of the machine read the file: its own bits, and the way to it? path as ac_path_real gives it. */
bool      ac_path_open_to_all(const char *path, unsigned *mode);
ac_status ac_file_size(const char *path, uint64_t *out, ac_err *err);
/* Names in a folder, sorted bytewise, without "." and ".."; strings live in the arena. */
ac_status ac_dir_list(const char *path, ac_arena *a, char ***names, size_t *n, ac_err *err);
/* Regular files anywhere below a folder as "a/b/c" relative to it, sorted bytewise; symbolic links and what lies
 * behind them are left out. */
ac_status ac_dir_files(const char *path, ac_arena *a, char ***names, size_t *n, ac_err *err);
/* "dir/name", in the arena; name alone when dir is "" or "." or name is absolute. */
char     *ac_path_join(ac_arena *a, const char *dir, const char *name);
/* A name that came out of a file: one component of [A-Za-z0-9._-], not "." or "..". */
bool      ac_path_component_ok(ac_view name);
/* Where downloads and derived files go: ACCORD_CACHE, else XDG_CACHE_HOME/accord, else ~/.cache/accord. In
 * the arena; NULL when none of the three is set (or out of memory). Nothing is created. */
char     *ac_cache_dir(ac_arena *a);
/* The model that a person named: a path that exists, or a name that `accord model pull` brought, which lies at
 * <cache>/models/<name>/model.gguf. AC_ENOENT says how to get it. */
ac_status ac_model_locate(char **out, ac_arena *a, const char *name, ac_err *err);
/* Where a pulled model lies or will lie; NULL when there is no cache folder or the name is no plain one. */
char     *ac_cache_model_path(ac_arena *a, const char *name);
/* An exclusive lock file, held until close; AC_ESTATE and the holder's pid when it is taken. */
typedef struct ac_lockfile ac_lockfile;
ac_status ac_lockfile_take(ac_lockfile **out, const char *path, ac_err *err);
void      ac_lockfile_drop(ac_lockfile **l);

#endif
