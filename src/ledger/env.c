/* env.json: what ran, on what, from which sources. A fact that cannot be had is null, never a guess. */
#include <stdio.h>
#include <string.h>
#include <stdlib.h>
#include <sys/utsname.h>
#include <time.h>
#include <unistd.h>

#if defined(__GLIBC__)
#include <gnu/libc-version.h>
#endif

#define PCRE2_CODE_UNIT_WIDTH 8
#include <pcre2.h>
#include <sodium.h>
#include <utf8proc.h>
#include <zlib.h>

#include "base/file.h"
#include "base/pool.h"
#include "base/proc.h"
#include "base/time.h"
#include "formats/yaml.h"
#include "ledger/ledger.h"
#include "store/store.h"

/* /proc files have size 0, so base's readers, which believe sizes, do not serve; a line reader does. */
static ac_status proc_line(const char *path, const char *key, ac_str *out, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    size_t number;
    ac_status st = ac_lines_open(&l, path, 65536, NULL);
    while (!st && !(st = ac_lines_next(l, &line, &number, NULL)) && line.ptr) {
        if (!ac_view_starts(line, ac_view_of(key))) continue;
        const size_t colon = ac_view_find(line, AC_VIEW(":"), 0);
        if (colon == SIZE_MAX) continue;
        ac_str_append(out, ac_view_trim(ac_view_slice(line, colon + 1, line.len)));
        break;
    }
    ac_lines_close(&l);
    return st == AC_ENOMEM || !ac_str_ok(out) ? ac_fail_nomem(err, 65536) : AC_OK;
}

static void put_text(ac_jw *w, const char *key, const ac_str *s)
{
    if (s->len) ac_jw_str(w, key, ac_str_view(s));
    else ac_jw_null(w, key);
}

/* No GPU is computed with; one that is there is noted by its driver, and how we looked in any case. */
static void put_gpu(ac_jw *w)
{
    static const char *const places[] = { "/proc/driver/nvidia/version", "/dev/nvidia0", "/dev/kfd" };
    const char *found = NULL;
    for (size_t i = 0; i < AC_COUNTOF(places) && !found; i++)
        if (ac_path_exists(places[i])) found = places[i];
    ac_jw_object(w, "gpu");
    ac_jw_cstr(w, "found", found ? found : "none");
    ac_jw_cstr(w, "method", "looked for /proc/driver/nvidia/version, /dev/nvidia0, /dev/kfd");
    ac_jw_bool(w, "used", false);
    ac_jw_end_object(w);
}

static ac_status put_machine(ac_jw *w, const ac_env_facts *f, ac_err *err)
{
    struct utsname u;
    ac_str cpu = { 0 };
    ac_status st = proc_line("/proc/cpuinfo", "model name", &cpu, err);
    if (!st && !cpu.len) st = proc_line("/proc/cpuinfo", "Model", &cpu, err);     /* ARM boards */
    ac_jw_object(w, "machine");
    if (uname(&u) == 0) {
        ac_jw_cstr(w, "system", u.sysname);
        ac_jw_cstr(w, "release", u.release);
        ac_jw_cstr(w, "architecture", u.machine);
        ac_jw_cstr(w, "host", u.nodename);
    }
    put_text(w, "cpu", &cpu);
    ac_jw_u64(w, "cpus", ac_cpu_count());
    const long pages = sysconf(_SC_PHYS_PAGES), page = sysconf(_SC_PAGESIZE);
    if (pages > 0 && page > 0) ac_jw_u64(w, "memory_bytes", (uint64_t)pages * (uint64_t)page);
    else ac_jw_null(w, "memory_bytes");
    ac_jw_cstr(w, "tier", f->tier);
    ac_jw_cstr(w, "tier_why", f->tier_why);
    ac_jw_u64(w, "threads", f->threads);
    put_gpu(w);
    ac_jw_end_object(w);
    ac_str_release(&cpu);
    return st;
}

static const char *libc_version(void)
{
#if defined(__GLIBC__)
    return gnu_get_libc_version();
#else
    return NULL;
#endif
}

/* The running program; null where the system does not show it. */
static ac_status put_program(ac_jw *w, ac_err *err)
{
    ac_sha256 h;
    char hex[AC_SHA256_HEX];
    ac_err own = { "" };
    const ac_status st = ac_sha256_file(&h, "/proc/self/exe", &own);
    if (st == AC_ENOMEM) return ac_fail(err, st, "%s", own.text);
    if (!st) ac_sha256_hex(hex, &h);
    ac_jw_cstr(w, "program_sha256", st ? NULL : hex);
    return AC_OK;
}

static ac_status put_build(ac_jw *w, ac_err *err)
{
    char pcre[64] = "";
    if (pcre2_config(PCRE2_CONFIG_VERSION, NULL) <= (int)sizeof pcre) (void)pcre2_config(PCRE2_CONFIG_VERSION, pcre);
    ac_jw_object(w, "build");
    ac_jw_cstr(w, "accord", ACCORD_VERSION);
    const ac_status st = put_program(w, err);
    ac_jw_cstr(w, "compiler", AC_COMPILER);
    ac_jw_cstr(w, "flags", ACCORD_FLAGS);
    ac_jw_object(w, "libraries");
    ac_jw_cstr(w, "libc", libc_version());
    ac_jw_cstr(w, "libyaml", ac_yaml_library());
    ac_jw_cstr(w, "sqlite", ac_store_version());
    ac_jw_cstr(w, "libsodium", sodium_version_string());
    ac_jw_cstr(w, "pcre2", pcre);
    ac_jw_cstr(w, "utf8proc", utf8proc_version());
    ac_jw_cstr(w, "zlib", zlibVersion());
    ac_jw_end_object(w);
    ac_jw_end_object(w);
    return st;
}

/* What the surroundings could have changed; nothing computed here looks at locale or timezone. */
static void put_surroundings(ac_jw *w)
{
    static const char *const names[] = { "ACCORD_CACHE", "ACCORD_FAULT", "ACCORD_KEY", "ACCORD_IDENTITY", "ACCORD_PASSPHRASE_FILE",
                                         "ACCORD_PASSPHRASE_FD" };
    const char *locale = getenv("LC_ALL");
    char zone[64] = "";
    const time_t now = time(NULL);
    struct tm local;
    if (!locale || !locale[0]) locale = getenv("LC_CTYPE");
    if (!locale || !locale[0]) locale = getenv("LANG");
    if (localtime_r(&now, &local) && !strftime(zone, sizeof zone, "%Z %z", &local)) zone[0] = '\0';
    ac_jw_cstr(w, "locale", locale && locale[0] ? locale : "C");
    ac_jw_cstr(w, "timezone", zone[0] ? zone : NULL);
    ac_jw_object(w, "accord_environment");
    for (size_t i = 0; i < AC_COUNTOF(names); i++)
        if (getenv(names[i])) ac_jw_cstr(w, names[i], getenv(names[i]));
    ac_jw_end_object(w);
}

/* stdout of a git command in the project; *ok false when git is missing or says no. */
static ac_status git(ac_str *out, bool *ok, const char *project, const char *const *args, ac_err *err)
{
    const char *argv[12] = { "git", "-C", project };
    const ac_proc_limits lim = { .timeout_ms = 20000 };
    size_t n = 3;
    int code = -1;
    while (*args && n < AC_COUNTOF(argv) - 1) argv[n++] = *args++;
    ac_str_reset(out);
    const ac_status st = ac_proc_run(argv, &lim, out, &code, NULL);
    *ok = !st && code == 0;
    return st == AC_ENOMEM ? ac_fail_nomem(err, out->len) : AC_OK;
}

static ac_status put_git(ac_jw *w, const char *project, ac_str *kept, ac_err *err)
{
    static const char *const head[] = { "rev-parse", "HEAD", NULL };
    static const char *const diff[] = { "diff", "HEAD", "--no-ext-diff", "--no-textconv", "--binary", NULL };
    ac_str out = { 0 };
    bool ok = false;
    ac_status st = git(&out, &ok, project[0] ? project : ".", head, err);
    if (st || !ok) {
        ac_jw_null(w, "git");
        ac_str_release(&out);
        return st;
    }
    ac_jw_object(w, "git");
    ac_jw_str(w, "commit", ac_view_trim(ac_str_view(&out)));
    st = git(&out, &ok, project[0] ? project : ".", diff, err);
    if (!st && ok) {
        char hex[AC_SHA256_HEX];
        const ac_sha256 h = ac_sha256_of(ac_str_c(&out), out.len);
        ac_sha256_hex(hex, &h);
        ac_jw_bool(w, "dirty", out.len > 0);
        ac_jw_cstr(w, "diff_sha256", out.len ? hex : NULL);
        ac_jw_u64(w, "diff_bytes", out.len);
        if (kept) ac_str_append(kept, ac_view_slice(ac_str_view(&out), 0, AC_ENV_DIFF_MAX));
        if (kept && !ac_str_ok(kept)) st = ac_fail_nomem(err, out.len);
    } else {
        ac_jw_null(w, "dirty");
    }
    ac_jw_end_object(w);
    ac_str_release(&out);
    return st;
}

ac_status ac_env_json(ac_str *out, const ac_env_facts *f, ac_err *err)
{
    ac_str text = { 0 };
    char utc[32];
    ac_jw w;
    ac_utc_iso(utc, ac_utc_ns());
    ac_jw_init(&w, &text, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "utc", utc);
    ac_jw_array(&w, "argv");
    for (int i = 0; i < f->argc; i++) ac_jw_cstr(&w, NULL, f->argv[i]);
    ac_jw_end_array(&w);
    ac_jw_cstr(&w, "numerics", f->numerics);
    ac_jw_cstr(&w, "lock", f->lock);
    ac_status st = put_build(&w, err);
    if (!st) st = put_machine(&w, f, err);
    put_surroundings(&w);
    if (!st) st = put_git(&w, f->project, f->diff, err);
    ac_jw_end_object(&w);
    ac_str_append_char(&text, '\n');
    if (!st && !ac_str_ok(&text)) st = ac_fail_nomem(err, text.len);
    if (!st) {
        ac_str_append(out, ac_str_view(&text));
        if (!ac_str_ok(out)) st = ac_fail_nomem(err, text.len);
    }
    ac_str_release(&text);
    return st;
}
