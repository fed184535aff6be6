#include <sys/statvfs.h>
#include <sys/utsname.h>
#include <unistd.h>
#include <string.h>

#include "backend/cuda.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/pool.h"
#include "base/rng.h"
#include "cli/commands.h"
#include "cli/human.h"
#include "formats/json.h"
#include "ledger/ledger.h"

static bool signals;
static const ac_opt options[] = {
    AC_OPT_BOOL(0, "signals", &signals, "what the guard can read here, in place of the rest"),
    AC_OPT_END
};

static const ac_cpu tiers[] = { AC_CPU_REF, AC_CPU_AVX2, AC_CPU_AVX512, AC_CPU_NEON };

typedef struct {
    struct utsname os;
    const char *cpu_model;
    ac_cpu tier;
    uint64_t memory, available, cgroup_limit;    /* bytes; 0: unknown, or no limit */
    size_t threads;
    char *cache;
    bool cache_exists;
    uint64_t cache_free;
    bool same_bits;
    char tiers[64];
    ac_selftest test[AC_COUNTOF(tiers)];
    ac_bf16_route bf16;
    bool has_gpu;
    ac_str gpu;                         /* its name, or why there is none */
} facts;

/* The number in the first line that begins with `key`; 0 when there is none. */
static uint64_t number_in(const char *path, const char *key)
{
    ac_lines *l = NULL;
    ac_view line;
    uint64_t found = 0;
    if (ac_lines_open(&l, path, 4096, NULL)) return 0;
    while (ac_lines_next(l, &line, NULL, NULL) == AC_OK && line.ptr) {
        if (!ac_view_starts(line, ac_view_of(key))) continue;
        ac_view v = ac_view_trim(ac_view_slice(line, strlen(key), line.len));
        size_t n = 0;
        while (n < v.len && v.ptr[n] >= '0' && v.ptr[n] <= '9') n++;
        if (!ac_parse_u64(ac_view_slice(v, 0, n), &found)) found = 0;
        break;
    }
    ac_lines_close(&l);
    return found;
}

static void memory_facts(facts *f)
{
    f->memory = number_in("/proc/meminfo", "MemTotal:") * 1024;
    f->available = number_in("/proc/meminfo", "MemAvailable:") * 1024;
    if (f->memory == 0) {
        const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
        if (pages > 0 && page > 0) f->memory = (uint64_t)pages * (uint64_t)page;
    }
    f->cgroup_limit = number_in("/sys/fs/cgroup/memory.max", "");
    if (f->cgroup_limit == 0)
        f->cgroup_limit = number_in("/sys/fs/cgroup/memory/memory.limit_in_bytes", "");
    if (f->cgroup_limit >= f->memory) f->cgroup_limit = 0;
}

/* Follows the cache's path up to a folder that exists. */
static void cache_facts(facts *f)
{
    if (!f->cache) return;
    f->cache_exists = ac_path_is_dir(f->cache);
    char at[4096];
    const size_t n = strlen(f->cache);
    if (n >= sizeof at) return;
    memcpy(at, f->cache, n + 1);
    struct statvfs v;
    while (statvfs(at, &v) != 0) {
        char *slash = strrchr(at, '/');
        if (!slash || slash == at) return;
        *slash = '\0';
    }
    f->cache_free = (uint64_t)v.f_bavail * (uint64_t)v.f_frsize;
}

/* The promise that everything rests on, tried on each tier that the CPU offers (kernels/selftest.c). */
static ac_status self_tests(facts *f, ac_err *err)
{
    f->same_bits = true;
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) {
        const ac_status st = ac_kernels_selftest(tiers[i], &f->test[i], err);
        if (st) return st;
        if (f->test[i].differs) f->same_bits = false;
    }
    return AC_OK;
}

static void tier_names(facts *f)
{
    ac_str s = { 0 };
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++)
        if (ac_cpu_offers(tiers[i])) ac_str_appendf(&s, "%s%s", i ? " " : "", ac_cpu_name(tiers[i]));
    if (ac_str_ok(&s)) (void)snprintf(f->tiers, sizeof f->tiers, "%s", s.ptr);
    ac_str_release(&s);
}

/* Why a tier is used or is not. */
static void tier_says(ac_str *s, ac_cpu tier, const ac_selftest *test)
{
    const char *lacks = ac_cpu_lacks(tier);
    if (lacks)
        ac_str_appendf(s, "not here: %s", lacks);
    else if (tier == AC_CPU_REF)
        ac_str_append_c(s, "plain C, what the others are compared with");
    else if (!test->differs)
        ac_str_appendf(s, "CPU and system offer it, self-test passed (%zu checks)", ac_selftest_checks());
    else
        ac_str_appendf(s, "NOT USED: CPU and system offer it, but its self-test fails (%s: %s)", test->differs,
                       test->illegal ? "an illegal instruction" : "other bytes than ref's");
}

/* How products of numerics bf16 are computed; the bits are the same either way. */
static void bf16_says(ac_str *s, const ac_bf16_route *r)
{
    if (!r->has) ac_str_append_c(s, "through the fp32 tiles (this CPU or tier has no vdpbf16ps)");
    else if (!r->tested) ac_str_append_c(s, "through the fp32 tiles (vdpbf16ps gives other bits than it should)");
    else ac_str_appendf(s, "%s (vdpbf16ps passed its test, %.2f times as fast)",
                        r->used ? "by vdpbf16ps" : "through the fp32 tiles", r->times_faster);
}

/* Opens the device that --device cuda would open. */
static void gpu_facts(facts *f)
{
    ac_device *d = NULL;
    ac_err why = { 0 };
    f->has_gpu = !ac_device_open_cuda(&d, 0, &why);
    ac_str_append_c(&f->gpu, f->has_gpu ? ac_device_name(d) : why.text);
    ac_device_close(&d);
}

const char *ac_tier_why(const ac_cli *cli)
{
    return cli->cpu == AC_CPU_AUTO ? "the widest that CPU and system offer and that passes its self-test" : "asked for with --cpu";
}

static ac_status gather(facts *f, const ac_cli *cli, ac_arena *arena, ac_err *err)
{
    ac_kernels k;
    if (uname(&f->os) != 0) memset(&f->os, 0, sizeof f->os);
    f->cpu_model = ac_cpu_model();
    tier_names(f);
    f->threads = cli->threads ? (size_t)cli->threads : ac_cpu_count();
    memory_facts(f);
    f->cache = ac_cache_dir(arena);
    cache_facts(f);
    ac_status st = ac_kernels_init(&k, cli->cpu, err);
    if (st) return st;
    f->tier = k.tier;
    f->bf16 = ac_kernels_bf16_route();
    gpu_facts(f);
    return self_tests(f, err);
}

/* env.json as a run that began now would have it, as the last member. */
static ac_status fingerprint(ac_str *s, const facts *f, const ac_cli *cli, ac_err *err)
{
    const ac_env_facts e = { .argc = cli->argc, .argv = cli->argv, .tier = ac_cpu_name(f->tier), .threads = f->threads,
                             .tier_why = ac_tier_why(cli), .numerics = AC_NUMERICS_FP32, .project = "." };
    ac_str_append_c(s, ",\n  \"fingerprint\": ");
    return ac_env_json(s, &e, err);
}

static ac_status as_json(ac_str *s, const facts *f, const ac_cli *cli, ac_err *err)
{
    ac_jw w;
    ac_jw_init(&w, s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "version", ACCORD_VERSION);
    ac_jw_cstr(&w, "numerics", AC_NUMERICS_FP32);
    ac_jw_cstr(&w, "compiler", AC_COMPILER);
    ac_jw_object(&w, "os");
    ac_jw_cstr(&w, "name", f->os.sysname);
    ac_jw_cstr(&w, "release", f->os.release);
    ac_jw_cstr(&w, "machine", f->os.machine);
    ac_jw_end_object(&w);
    ac_jw_object(&w, "cpu");
    ac_jw_cstr(&w, "model", f->cpu_model);
    ac_jw_cstr(&w, "tiers", f->tiers);
    ac_jw_cstr(&w, "used", ac_cpu_name(f->tier));
    ac_jw_bool(&w, "same_bits_as_ref", f->same_bits);
    ac_jw_array(&w, "tier");
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) {
        ac_str why = { 0 };
        tier_says(&why, tiers[i], &f->test[i]);
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "name", ac_cpu_name(tiers[i]));
        ac_jw_bool(&w, "offered", ac_cpu_offers(tiers[i]));
        ac_jw_bool(&w, "usable", ac_cpu_offers(tiers[i]) && !f->test[i].differs);
        ac_jw_cstr(&w, "why", why.ptr);
        ac_jw_end_object(&w);
        ac_str_release(&why);
    }
    ac_jw_end_array(&w);
    ac_str route = { 0 };
    bf16_says(&route, &f->bf16);
    ac_jw_cstr(&w, "bf16_products", route.ptr);
    ac_str_release(&route);
    ac_jw_u64(&w, "threads", f->threads);
    ac_jw_end_object(&w);
    ac_jw_object(&w, "cuda");
    ac_jw_bool(&w, "usable", f->has_gpu);
    ac_jw_cstr(&w, f->has_gpu ? "name" : "why", ac_str_c(&f->gpu));
    ac_jw_end_object(&w);
    ac_jw_object(&w, "memory");
    ac_jw_u64(&w, "total_bytes", f->memory);
    ac_jw_u64(&w, "available_bytes", f->available);
    if (f->cgroup_limit) ac_jw_u64(&w, "limit_bytes", f->cgroup_limit);
    else ac_jw_null(&w, "limit_bytes");
    ac_jw_end_object(&w);
    ac_jw_object(&w, "cache");
    ac_jw_cstr(&w, "path", f->cache);
    ac_jw_bool(&w, "exists", f->cache_exists);
    ac_jw_u64(&w, "free_bytes", f->cache_free);
    ac_jw_end_object(&w);
    const ac_status st = fingerprint(s, f, cli, err);
    ac_jw_end_object(&w);
    return st;
}

static void as_text(ac_str *s, const facts *f)
{
    char total[32], available[32], limit[32], room[32];
    ac_human_bytes(total, f->memory);
    ac_human_bytes(available, f->available);
    ac_human_bytes(limit, f->cgroup_limit);
    ac_human_bytes(room, f->cache_free);
    ac_str_appendf(s, "accord     %s, numerics %s and %s\n", ACCORD_VERSION, AC_NUMERICS_FP32,
                   AC_NUMERICS_BF16);
    ac_str_appendf(s, "compiler   %s\n", AC_COMPILER);
    ac_str_appendf(s, "system     %s %s, %s\n", f->os.sysname, f->os.release, f->os.machine);
    ac_str_appendf(s, "cpu        %s\n", f->cpu_model[0] ? f->cpu_model : "unknown");
    ac_str_appendf(s, "tiers      %s; used: %s\n", f->tiers, ac_cpu_name(f->tier));
    for (size_t i = 0; i < AC_COUNTOF(tiers); i++) {
        ac_str_appendf(s, "  %-8s ", ac_cpu_name(tiers[i]));
        tier_says(s, tiers[i], &f->test[i]);
        ac_str_append_c(s, "\n");
    }
    ac_str_append_c(s, "  bf16     ");
    bf16_says(s, &f->bf16);
    ac_str_append_c(s, "\n");
    ac_str_appendf(s, "bits       %s\n", f->same_bits ? "the same as ref's in every self-test"
                                                       : "DIFFER from ref's in a self-test");
    ac_str_appendf(s, "threads    %zu\n", f->threads);
    ac_str_appendf(s, f->has_gpu ? "gpu        %s, numerics " AC_NUMERICS_CUDA_BF16 "\n" : "gpu        none: %s\n", ac_str_c(&f->gpu));
    ac_str_appendf(s, "memory     %s, %s available", total, f->available ? available : "unknown");
    ac_str_appendf(s, f->cgroup_limit ? ", limited to %s\n" : "\n", limit);
    if (f->cache)
        ac_str_appendf(s, "cache      %s (%s, %s free)\n", f->cache,
                       f->cache_exists ? "exists" : "not made yet", room);
    else
        ac_str_append_c(s, "cache      none: set ACCORD_CACHE or HOME\n");
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str s = { 0 };
    facts f = { .cpu_model = "" };
    if (signals) return ac_doctor_signals(cli, err);
    ac_status st = gather(&f, cli, &arena, err);
    if (!st && cli->json) st = as_json(&s, &f, cli, err);
    if (!st && !cli->json) as_text(&s, &f);
    if (!st) st = ac_cli_result(cli, &s, err);
    if (!st && !f.same_bits)
        st = ac_fail(err, AC_ENO, "this machine offers a tier that fails its self-test (above); %s is used in its"
                     " place. Please report it", ac_cpu_name(f.tier));
    ac_str_release(&f.gpu);
    ac_str_release(&s);
    ac_arena_release(&arena);
    return st;
}

const ac_cmd ac_cmd_doctor = {
    .name = "doctor",
    .group = "Machine",
    .summary = "what this build and this machine are, and whether they keep the bit contract",
    .text = "Prints version, compiler, system, CPU and the instruction sets found, memory and its limit, "
            "threads, the GPU or why none can be used, and where downloads go. Each instruction set that CPU and system offer is run on small "
            "inputs and compared with the reference code, as at every start; one that gives other bytes is not "
            "used, and is exit code 1 here. With --signals: each signal that the guard of a run looks at, its value "
            "now and the level that it would ask for by itself, or why it is not measured; it takes a second, since "
            "rates need two looks.",
    .options = options,
    .run = run,
};
