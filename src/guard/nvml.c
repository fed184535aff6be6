#include "guard/nvml.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/mem.h"

#ifndef AC_HAVE_DLOPEN
#define AC_HAVE_DLOPEN 1         /* a static program opens no libraries */
#endif
#if AC_HAVE_DLOPEN
#include <dlfcn.h>
#endif

#define LIBRARY "libnvidia-ml.so.1"
#define PROCESSES_MAX 64
#define NOT_AVAILABLE 0xFFFFFFFFFFFFFFFFull      /* how the library writes "not told" in a count of bytes */

/* The few types and functions that are used, as the library's interface has them. */
typedef struct nvml_device_st *device;
typedef struct nvml_set_st *event_set;
typedef struct { unsigned long long total, free, used; } memory_info;
typedef struct { unsigned pid; unsigned long long used; unsigned gpu_instance, compute_instance; } process_info;
typedef struct { device dev; unsigned long long type, data; unsigned gpu_instance, compute_instance; } event_data;
enum { OK = 0, NOT_SUPPORTED = 3, NO_PERMISSION = 4, TIMEOUT = 10, GPU_IS_LOST = 15 };
enum { UNCORRECTED = 1, VOLATILE_COUNT = 0, SENSOR_GPU = 0, EVENT_XID = 8 };

typedef struct {
    int (*init)(void);
    int (*shutdown)(void);
    const char *(*error_text)(int);
    int (*count)(unsigned *);
    int (*by_index)(unsigned, device *);
    int (*name)(device, char *, unsigned);
    int (*memory)(device, memory_info *);
    int (*reasons)(device, unsigned long long *);
    int (*ecc)(device, int, int, unsigned long long *);
    int (*power)(device, unsigned *);
    int (*energy)(device, unsigned long long *);
    int (*temperature)(device, int, unsigned *);
    int (*processes)(device, unsigned *, process_info *);
    int (*set_create)(event_set *);
    int (*set_free)(event_set);
    int (*watch)(device, unsigned long long, event_set);
    int (*wait)(event_set, event_data *, unsigned);
} functions;

struct ac_nvml {
    void *lib;
    bool begun;
    functions f;
    size_t n;
    device dev[AC_NVML_GPUS_MAX];
    event_set set[AC_NVML_GPUS_MAX];     /* NULL: this GPU tells no Xids */
    int set_status[AC_NVML_GPUS_MAX];
    int64_t xids[AC_NVML_GPUS_MAX], last_xid[AC_NVML_GPUS_MAX];
    char why[200];                       /* "": usable */
};

const char *ac_nvml_why(const ac_nvml *n)
{
    return n->why[0] ? n->why : NULL;
}

size_t ac_nvml_count(const ac_nvml *n)
{
    return n->n;
}

#if AC_HAVE_DLOPEN

/* A newer name first, then the one that older drivers have. The first five are needed for anything at all. */
static const struct {
    size_t at;
    const char *name, *older;
} symbols[] = {
    { offsetof(functions, init), "nvmlInit_v2", "nvmlInit" },
    { offsetof(functions, shutdown), "nvmlShutdown", NULL },
    { offsetof(functions, error_text), "nvmlErrorString", NULL },
    { offsetof(functions, count), "nvmlDeviceGetCount_v2", "nvmlDeviceGetCount" },
    { offsetof(functions, by_index), "nvmlDeviceGetHandleByIndex_v2", "nvmlDeviceGetHandleByIndex" },
    { offsetof(functions, name), "nvmlDeviceGetName", NULL },
    { offsetof(functions, memory), "nvmlDeviceGetMemoryInfo", NULL },
    { offsetof(functions, reasons), "nvmlDeviceGetCurrentClocksEventReasons", "nvmlDeviceGetCurrentClocksThrottleReasons" },
    { offsetof(functions, ecc), "nvmlDeviceGetTotalEccErrors", NULL },
    { offsetof(functions, power), "nvmlDeviceGetPowerUsage", NULL },
    { offsetof(functions, energy), "nvmlDeviceGetTotalEnergyConsumption", NULL },
    { offsetof(functions, temperature), "nvmlDeviceGetTemperature", NULL },
    { offsetof(functions, processes), "nvmlDeviceGetComputeRunningProcesses_v3",
      "nvmlDeviceGetComputeRunningProcesses_v2" },
    { offsetof(functions, set_create), "nvmlEventSetCreate", NULL },
    { offsetof(functions, set_free), "nvmlEventSetFree", NULL },
    { offsetof(functions, watch), "nvmlDeviceRegisterEvents", NULL },
    { offsetof(functions, wait), "nvmlEventSetWait_v2", NULL },
};
#define NEEDED 5

static void load(ac_nvml *n, const char *path)
{
    (void)dlerror();
    n->lib = dlopen(path, RTLD_NOW | RTLD_LOCAL);
    if (!n->lib) {
        const char *why = dlerror();
        (void)snprintf(n->why, sizeof n->why, "no NVIDIA library: %s", why ? why : path);
        return;
    }
    for (size_t i = 0; i < AC_COUNTOF(symbols); i++) {
        void *s = dlsym(n->lib, symbols[i].name);
        if (!s && symbols[i].older) s = dlsym(n->lib, symbols[i].older);
        memcpy((char *)&n->f + symbols[i].at, &s, sizeof s);       /* ISO C has no cast between the two */
        if (!s && i < NEEDED && !n->why[0])
            (void)snprintf(n->why, sizeof n->why, "%s has no %s", path, symbols[i].name);
    }
}

static void unload(ac_nvml *n)
{
    if (n->lib) (void)dlclose(n->lib);
}

#else

static void load(ac_nvml *n, const char *path)
{
    (void)snprintf(n->why, sizeof n->why, "this is a static program, it does not open %s", path);
}

static void unload(ac_nvml *n)
{
    AC_UNUSED(n);
}

#endif

static void failed(ac_nvml *n, const char *call, int status)
{
    const char *text = n->f.error_text(status);
    (void)snprintf(n->why, sizeof n->why, "%s: %s", call, text ? text : "an error without a name");
}

static void begin(ac_nvml *n)
{
    unsigned count = 0;
    int st = n->f.init();
    if (st) {
        failed(n, "nvmlInit", st);
        return;
    }
    n->begun = true;
    st = n->f.count(&count);
    if (st) {
        failed(n, "nvmlDeviceGetCount", st);
        return;
    }
    if (count == 0) (void)snprintf(n->why, sizeof n->why, "the NVIDIA driver sees no GPU");
    n->n = count < AC_NVML_GPUS_MAX ? count : AC_NVML_GPUS_MAX;
    for (size_t i = 0; i < n->n; i++) {
        if (n->f.by_index((unsigned)i, &n->dev[i])) n->dev[i] = NULL;       /* lost before we came */
        if (!n->dev[i] || !n->f.set_create || !n->f.set_free || !n->f.watch || !n->f.wait) continue;
        n->set_status[i] = n->f.set_create(&n->set[i]);
        if (n->set_status[i]) {
            n->set[i] = NULL;
        } else if ((n->set_status[i] = n->f.watch(n->dev[i], EVENT_XID, n->set[i])) != OK) {
            (void)n->f.set_free(n->set[i]);
            n->set[i] = NULL;
        }
    }
}

ac_status ac_nvml_open(ac_nvml **out, const char *path, ac_err *err)
{
    ac_nvml *n = ac_calloc(1, sizeof *n);
    if (!n) return ac_fail_nomem(err, sizeof *n);
    const char *named = path ? path : getenv("ACCORD_NVML_LIB");
    load(n, named && named[0] ? named : LIBRARY);
    if (!n->why[0]) begin(n);
    *out = n;
    return AC_OK;
}

void ac_nvml_close(ac_nvml **np)
{
    ac_nvml *n = *np;
    if (!n) return;
    for (size_t i = 0; i < n->n; i++)
        if (n->set[i]) (void)n->f.set_free(n->set[i]);
    if (n->begun) (void)n->f.shutdown();
    unload(n);
    ac_free(n);
    *np = NULL;
}

/* ---- reading ---- */

static ac_reading no(const char *why)
{
    return (ac_reading){ .why = why };
}

/* A value, where the call was there and went well. */
static ac_reading told(ac_nvml *n, ac_nvml_gpu *g, bool has, int status, double v)
{
    if (!has) return no("this NVIDIA driver has no such function");
    if (status == OK) return (ac_reading){ .measured = true, .value = v };
    if (status == GPU_IS_LOST) g->lost = true;
    if (status == NOT_SUPPORTED) return no("this GPU does not tell it");
    const char *text = n->f.error_text(status);
    return no(text ? text : "an error without a name");
}

static void memory(ac_nvml *n, device d, ac_nvml_gpu *g)
{
    memory_info m = { 0 };
    const int st = n->f.memory ? n->f.memory(d, &m) : OK;
    g->memory_used = told(n, g, n->f.memory != NULL, st, (double)m.used);
    g->memory_total = told(n, g, n->f.memory != NULL, st, (double)m.total);
    if (st || !n->f.memory || (m.total > 0 && m.total < (1ull << 50) && m.used <= m.total)) return;
    g->memory_used = g->memory_total = no("the driver's figures of the GPU's memory make no sense");
}

static bool among(const int64_t *list, size_t n, int64_t pid)
{
    for (size_t i = 0; i < n; i++)
        if (list[i] == pid) return true;
    return false;
}

static void processes(ac_nvml *n, device d, const int64_t *ours, size_t n_ours, ac_nvml_gpu *g)
{
    process_info p[PROCESSES_MAX] = { { 0 } };
    unsigned count = PROCESSES_MAX;
    const int st = n->f.processes ? n->f.processes(d, &count, p) : OK;
    double own = 0, foreign = 0, most = -1;
    bool untold = false;
    for (size_t i = 0; n->f.processes && !st && i < count && i < PROCESSES_MAX; i++) {
        const double used = p[i].used == NOT_AVAILABLE ? 0 : (double)p[i].used;
        if (p[i].used == NOT_AVAILABLE) untold = true;
        if (among(ours, n_ours, p[i].pid)) {
            own += used;
            continue;
        }
        foreign += used;
        g->n_foreign++;
        if (used > most) g->foreign_pid = p[i].pid;
        if (used > most) most = used;
    }
    g->own_bytes = told(n, g, n->f.processes != NULL, st, own);
    g->foreign_bytes = told(n, g, n->f.processes != NULL, st, foreign);
    if (untold && g->own_bytes.measured) g->own_bytes = g->foreign_bytes = no("the driver does not tell how much each process holds");
}

/* Xids that a program brings about itself (a bad kernel, an end in the middle), and those that only inform. */
static bool sick(unsigned long long xid)
{
    static const unsigned harmless[] = { 13, 31, 32, 43, 45, 63, 68, 69, 92, 94 };
    for (size_t i = 0; i < AC_COUNTOF(harmless); i++)
        if (harmless[i] == xid) return false;
    return true;
}

static void xids(ac_nvml *n, size_t i, ac_nvml_gpu *g)
{
    int st = OK;
    for (int k = 0; n->set[i] && k < 64; k++) {
        event_data e = { 0 };
        st = n->f.wait(n->set[i], &e, 0);
        if (st) break;
        if (!(e.type & EVENT_XID) || !sick(e.data)) continue;
        n->xids[i]++;
        n->last_xid[i] = (int64_t)(e.data < 100000 ? e.data : 99999);
    }
    if (st == TIMEOUT) st = OK;                    /* nothing more to tell */
    const bool has = n->set[i] || n->set_status[i];
    g->xids = told(n, g, has, n->set[i] ? st : n->set_status[i], (double)n->xids[i]);
    g->last_xid = n->last_xid[i];
}

/* What a GPU that is gone would still say is not to be believed. */
static void all_lost(ac_nvml_gpu *g)
{
    ac_reading *const all[] = { &g->memory_used, &g->memory_total, &g->reasons, &g->uncorrected, &g->xids, &g->watts,
                                &g->energy_mj, &g->celsius, &g->own_bytes, &g->foreign_bytes };
    for (size_t i = 0; i < AC_COUNTOF(all); i++) *all[i] = no("the GPU is lost");
    g->n_foreign = 0;
    g->foreign_pid = 0;
}

void ac_nvml_read(ac_nvml *n, size_t i, const int64_t *ours, size_t n_ours, ac_nvml_gpu *g)
{
    const functions *f = &n->f;
    unsigned long long bits = 0, errors = 0, mj = 0;
    unsigned mw = 0, degrees = 0;
    *g = (ac_nvml_gpu){ 0 };
    device d = i < n->n ? n->dev[i] : NULL;
    if (!d) {
        g->lost = i < n->n;
        all_lost(g);
        return;
    }
    if (!f->name || f->name(d, g->name, (unsigned)sizeof g->name)) g->name[0] = '\0';
    g->name[sizeof g->name - 1] = '\0';
    memory(n, d, g);
    int st = f->reasons ? f->reasons(d, &bits) : OK;
    g->reasons = told(n, g, f->reasons != NULL, st, (double)(bits & 0xffffffffu));
    st = f->ecc ? f->ecc(d, UNCORRECTED, VOLATILE_COUNT, &errors) : OK;
    g->uncorrected = told(n, g, f->ecc != NULL, st, (double)errors);
    st = f->power ? f->power(d, &mw) : OK;
    g->watts = told(n, g, f->power != NULL, st, (double)mw / 1000.0);
    st = f->energy ? f->energy(d, &mj) : OK;
    g->energy_mj = told(n, g, f->energy != NULL, st, (double)mj);
    st = f->temperature ? f->temperature(d, SENSOR_GPU, &degrees) : OK;
    g->celsius = told(n, g, f->temperature != NULL, st, (double)degrees);
    processes(n, d, ours, n_ours, g);
    xids(n, i, g);
    if (g->lost) all_lost(g);
}
