#include "stub/nvml_stub.h"

#include <string.h>

typedef struct { int index; } dev;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_info;
typedef struct { dev *d; unsigned long long type, data; unsigned gpu_instance, compute_instance; } event_data;

extern nvml_stub_state nvml_stub;
nvml_stub_state nvml_stub = {
    .count = 1,
    .gpu[0] = { .total = 80ull << 30, .used = 1ull << 30, .mw = 70500, .energy_mj = 123456789, .celsius = 41 },
};
static dev devs[2] = { { 0 }, { 1 } };

#define GPU(d) (&nvml_stub.gpu[(d)->index])
#define SAY(name, ...) int name(__VA_ARGS__); int name(__VA_ARGS__)

#ifdef STUB_OLD
#define NAMED(current, older) older
#else
#define NAMED(current, older) current
#endif

#ifndef STUB_BARE
SAY(NAMED(nvmlInit_v2, nvmlInit), void) { nvml_stub.inits++; return nvml_stub.init_status; }
#endif
SAY(nvmlShutdown, void) { nvml_stub.shutdowns++; return 0; }
const char *nvmlErrorString(int status);
const char *nvmlErrorString(int status)
{
    return status == 15 ? "GPU is lost" : status == 9 ? "Driver Not Loaded" : status == 4 ? "Insufficient Permissions" : "Unknown Error";
}
SAY(NAMED(nvmlDeviceGetCount_v2, nvmlDeviceGetCount), unsigned *n) { *n = nvml_stub.count; return nvml_stub.count_status; }
SAY(NAMED(nvmlDeviceGetHandleByIndex_v2, nvmlDeviceGetHandleByIndex), unsigned i, dev **d)
{
    *d = &devs[i < 2 ? i : 0];
    return i < nvml_stub.count ? 0 : 2;
}
SAY(nvmlDeviceGetMemoryInfo, dev *d, memory_info *m)
{
    *m = (memory_info){ GPU(d)->total, GPU(d)->total - GPU(d)->used, GPU(d)->used };
    return GPU(d)->status;
}
SAY(NAMED(nvmlDeviceGetCurrentClocksEventReasons, nvmlDeviceGetCurrentClocksThrottleReasons), dev *d, unsigned long long *bits)
{
    *bits = GPU(d)->reasons;
    return GPU(d)->status;
}
#ifndef STUB_OLD
SAY(nvmlDeviceGetName, dev *d, char *out, unsigned size)
{
    const char name[] = "Stub GPU";
    if (size < sizeof name) return 7;
    memcpy(out, name, sizeof name);
    return GPU(d)->status;
}
SAY(nvmlDeviceGetTotalEccErrors, dev *d, int type, int counter, unsigned long long *n)
{
    *n = type == 1 && counter == 0 ? GPU(d)->uncorrected : 999;
    return GPU(d)->status ? GPU(d)->status : GPU(d)->ecc_status;
}
SAY(nvmlDeviceGetPowerUsage, dev *d, unsigned *mw) { *mw = GPU(d)->mw; return GPU(d)->status; }
SAY(nvmlDeviceGetTotalEnergyConsumption, dev *d, unsigned long long *mj)
{
    *mj = GPU(d)->energy_mj;
    return GPU(d)->status ? GPU(d)->status : GPU(d)->energy_status;
}
SAY(nvmlDeviceGetTemperature, dev *d, int sensor, unsigned *c) { *c = sensor ? 0 : GPU(d)->celsius; return GPU(d)->status; }
SAY(nvmlDeviceGetComputeRunningProcesses_v3, dev *d, unsigned *n, process_info *out)
{
    if (*n < GPU(d)->n_processes) return 7;
    *n = GPU(d)->n_processes;
    for (unsigned i = 0; i < *n; i++) out[i] = (process_info){ GPU(d)->process[i].pid, GPU(d)->process[i].used, 0, 0 };
    return GPU(d)->status;
}
SAY(nvmlEventSetCreate, dev **set) { *set = &devs[nvml_stub.sets++ % 2]; return 0; }
SAY(nvmlEventSetFree, dev *set) { (void)set; nvml_stub.sets--; return 0; }
SAY(nvmlDeviceRegisterEvents, dev *d, unsigned long long types, dev *set)
{
    (void)set;
    return types == 8 ? GPU(d)->watch_status : 2;
}
SAY(nvmlEventSetWait_v2, dev *set, event_data *e, unsigned ms)
{
    (void)ms;
    if (GPU(set)->status) return GPU(set)->status;
    if (GPU(set)->n_xids == 0) return 10;
    *e = (event_data){ .d = set, .type = 8, .data = GPU(set)->xid[--GPU(set)->n_xids] };
    return 0;
}
#endif
