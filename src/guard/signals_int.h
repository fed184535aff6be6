/* guard/signals_int.h - what the readers of all systems share. */
#ifndef AC_GUARD_SIGNALS_INT_H
#define AC_GUARD_SIGNALS_INT_H

#include "base/str.h"
#include "guard/signals.h"

#define AC_SLOW_MS 1000
#define AC_SCAN_MS 5000
#define AC_DISK_SHARE_A_DAY 0.33     /* of a disk's capacity, written in a day: 0.6 TB a GB over five years */

ac_reading ac_sig_value(double v);
/* Not measured: the reason goes into the reader's own text. */
ac_reading ac_sig_none(ac_signals *s, ac_signal sig, const char *fmt, ...) AC_PRINTF(3, 4);

/* Growth of a counter within `cap` times `every_ms`; a counter that began anew begins anew here. */
double ac_growth_feed(ac_growth *g, size_t cap, int64_t every_ms, int64_t now, int64_t v);

/* Is it time for what is read once in `every_ms`? Sets *last. */
bool ac_sig_due(bool *had, int64_t *last, int64_t every_ms, int64_t now);

/* The signals that are computed alike everywhere. */
void ac_sig_disk(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in);
void ac_sig_written(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, int64_t now, int64_t bytes, const char *why);
void ac_sig_gpu(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in, int64_t now);
void ac_sig_steps(ac_signals *s, const ac_signals_from *f, ac_guard_sample *in);

/* The name of a process, as its system tells it; false: it cannot be seen. */
bool ac_sig_process_name(char out[64], const char *root, int64_t pid);

#endif
