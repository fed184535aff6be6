/* guard/darwin/darwin_int.h - the parts of the macOS reader.
 *
 * D1  libSystem alone is linked. IOKit and CoreFoundation are opened at run time, and what they lack is "not measured".
 * D2  The root folder of ac_signals_from is not used: there are no files to fake.
 * This has been compiled and linked against Apple's interface (tools/check_darwin.sh), and never run. */
#ifndef AC_GUARD_DARWIN_INT_H
#define AC_GUARD_DARWIN_INT_H

#include "base/mem.h"
#include "guard/signals_int.h"

/* Mains, battery, lid, low power mode, time since the last key or pointer event. */
void ac_darwin_iokit(ac_signals *s, ac_guard_sample *in);

/* The table of processes (Q4). */
ac_status ac_darwin_scan(ac_signals *s, const ac_signals_from *f, ac_err *err);

#endif
