/* tests/cudasim/simulated.h - whether a test's GPU is the simulated one (docs/cuda.md), which computes thousands of times as
 * slowly: smaller shapes then, but for ACCORD_SIM_FULL. */
#ifndef CUDASIM_SIMULATED_H
#define CUDASIM_SIMULATED_H

#include <stdlib.h>
#include <string.h>

#include "backend/backend.h"

static inline bool simulated(const ac_device *d)
{
    return strstr(ac_device_name(d), "simulated GPU") != NULL && !getenv("ACCORD_SIM_FULL");
}

#endif
