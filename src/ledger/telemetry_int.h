/* ledger/telemetry_int.h - what a sample leaves behind in the curves (telemetry_curves.c). */
#ifndef AC_LEDGER_TELEMETRY_INT_H
#define AC_LEDGER_TELEMETRY_INT_H

#include "ledger/telemetry.h"

/* Takes t->now, the newest sample, into the curves. False: out of memory. */
bool ac_tel_curves_add(ac_tel *t);

#endif
