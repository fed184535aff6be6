/* guard/linux/linux_int.h - reading the kernel's text files: each call gives NULL, or why there is no value. */
#ifndef AC_GUARD_LINUX_INT_H
#define AC_GUARD_LINUX_INT_H

#include "base/mem.h"
#include "guard/signals_int.h"

#define AC_LINUX_HUGE ((int64_t)1 << 50)     /* no count or KiB of a real machine is larger */

/* What stands behind `key` at the beginning of a line (the first such line), trimmed and cut to fit. */
const char *ac_linux_line(char *out, size_t size, const char *root, const char *path, const char *key);
/* The whole number that it begins with. */
const char *ac_linux_number(int64_t *out, const char *root, const char *path, const char *key);
/* Word `nth` of a text (from 0) as a whole number. */
bool ac_linux_word(int64_t *out, const char *text, int nth);
/* The names in a folder; none where it is not there. AC_ENOMEM only. */
ac_status ac_linux_names(char ***names, size_t *n, ac_arena *a, const char *root, const char *dir, ac_err *err);

/* Programs and people: the table of processes, and how long nobody has touched the machine. */
ac_status ac_linux_scan(ac_signals *s, const ac_signals_from *f, ac_arena *a, ac_err *err);
ac_status ac_linux_idle(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, ac_arena *a, ac_err *err);

#endif
