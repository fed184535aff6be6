#include "guard/energy.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/proc.h"

#define SECOND_NS ((int64_t)1000000000)
#define HUGE_COUNT ((int64_t)1 << 60)
/* No package and no memory draws more: a gap in which it could have drawn a whole range hides a turn-over. */
#define MOST_WATTS 1000.0
/* Below this the gauge's own steps are too coarse; then the power is summed up. */
#define GAUGE_LEAST_UWH 500000.0
#define SACCT_MS 10000

static void no(ac_energy_can *c, const char *fmt, ...) AC_PRINTF(2, 3);
static void no(ac_energy_can *c, const char *fmt, ...)
{
    va_list ap;
    c->ok = false;
    va_start(ap, fmt);
    (void)vsnprintf(c->why, sizeof c->why, fmt, ap);
    va_end(ap);
}

/* The first line of <root><path>, trimmed; else why not. */
static bool text_at(char *out, size_t size, const char *root, const char *path, char why[AC_ENERGY_TEXT])
{
    char full[512];
    ac_lines *l = NULL;
    ac_view line = { NULL, 0 };
    ac_err err = { "" };
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    ac_status st = ac_lines_open(&l, full, 4096, &err);
    if (!st) st = ac_lines_next(l, &line, NULL, &err);
    const ac_view v = ac_view_trim(line);
    const bool found = !st && v.ptr && v.len && v.len < size;
    if (found) (void)snprintf(out, size, AC_VIEW_FMT, AC_VIEW_ARG(v));
    else if (why) (void)snprintf(why, AC_ENERGY_TEXT, "%.190s", st ? err.text : "empty or too long");
    ac_lines_close(&l);
    return found;
}

static bool count_at(int64_t *out, const char *root, const char *path, char why[AC_ENERGY_TEXT])
{
    char text[64];
    int64_t v;
    if (!text_at(text, sizeof text, root, path, why)) return false;
    if (!ac_parse_i64(ac_view_of(text), &v) || v < 0 || v > HUGE_COUNT) {
        if (why) (void)snprintf(why, AC_ENERGY_TEXT, "%.80s: no count", path);
        return false;
    }
    *out = v;
    return true;
}

/* Names in <root><dir>; the arena is the caller's. n = 0 where there is none. */
static char **names_in(ac_arena *a, const char *root, const char *dir, size_t *n)
{
    char full[512], **names = NULL;
    (void)snprintf(full, sizeof full, "%s%s", root, dir);
    *n = 0;
    if (ac_dir_list(full, a, &names, n, NULL)) *n = 0;
    return names;
}

/* ---- RAPL: /sys/class/powercap/intel-rapl:N is a package (core and uncore below it are part of it), and a zone "dram"
 * below it is memory, which is not. "psys" would count packages twice; AMD's driver has the same names. ---- */

bool ac_energy_counter_delta(int64_t *out, int64_t before, int64_t now, int64_t range)
{
    if (before < 0 || now < 0) return false;
    if (now < before && (range <= 0 || before > range || now > range)) return false;
    *out = now >= before ? now - before : range - before + now;
    return true;
}

static bool is_zone(const char *name, const char *label)
{
    const char *first = strncmp(name, "intel-rapl:", 11) == 0 ? name + 11 : NULL;
    if (!first) return false;
    return strchr(first, ':') ? strcmp(label, "dram") == 0 : strncmp(label, "package", 7) == 0;
}

static void rapl_begin(ac_energy_meter *m)
{
    ac_arena a = { 0 };
    size_t n = 0;
    char **names = names_in(&a, m->from.root, "/sys/class/powercap", &n), path[256], why[AC_ENERGY_TEXT];
    m->rapl.ok = true;
    for (size_t i = 0; i < n && m->rapl.ok && m->n_zones < AC_ENERGY_ZONES; i++) {
        ac_energy_zone z = { .last = 0 };
        if (strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/sys/class/powercap/%s/name", names[i]);
        if (!text_at(z.name, sizeof z.name, m->from.root, path, NULL) || !is_zone(names[i], z.name)) continue;
        (void)snprintf(path, sizeof path, "/sys/class/powercap/%s/max_energy_range_uj", names[i]);
        if (!count_at(&z.range, m->from.root, path, NULL)) z.range = 0;
        (void)snprintf(z.path, sizeof z.path, "/sys/class/powercap/%s/energy_uj", names[i]);
        if (!count_at(&z.last, m->from.root, z.path, why))
            no(&m->rapl, strstr(why, "ermission denied") ? "%.120s (only root may read it since Linux 5.10)" : "%.180s", why);
        else m->zone[m->n_zones++] = z;
    }
    if (m->rapl.ok && !m->n_zones) no(&m->rapl, "no package in /sys/class/powercap");
    ac_arena_release(&a);
}

static void rapl_look(ac_energy_meter *m, double seconds)
{
    for (size_t i = 0; i < m->n_zones && m->rapl.ok; i++) {
        ac_energy_zone *z = &m->zone[i];
        char why[AC_ENERGY_TEXT];
        int64_t now, delta;
        if (!count_at(&now, m->from.root, z->path, why)) no(&m->rapl, "%.180s", why);
        else if (!ac_energy_counter_delta(&delta, z->last, now, z->range))
            no(&m->rapl, "%s went backwards, and where it turns over is not known", z->name);
        else {
            if (z->range > 0 && seconds * MOST_WATTS * 1e6 > (double)z->range) m->rapl_missed = true;
            m->rapl_uj += (double)delta;
            z->last = now;
        }
    }
}

/* ---- the battery ---- */

/* Sums over batteries: what the gauges show, and what they give at this moment. false: not all discharge, or unreadable. */
static bool battery_now(ac_energy_meter *m, double *uwh, double *uw, bool *has_power)
{
    char path[300], text[32];
    int64_t v, charge, volts;
    *uwh = *uw = 0;
    *has_power = true;
    for (size_t i = 0; i < m->n_batteries; i++) {
        const char *root = m->from.root, *dir = m->battery_path[i];
        (void)snprintf(path, sizeof path, "%s/status", dir);
        if (!text_at(text, sizeof text, root, path, NULL) || strcmp(text, "Discharging") != 0) {
            no(&m->battery, "it was not discharging all the time");
            return false;
        }
        (void)snprintf(path, sizeof path, "%s/energy_now", dir);
        bool known = count_at(&v, root, path, NULL);
        if (known) *uwh += (double)v;
        (void)snprintf(path, sizeof path, "%s/voltage_now", dir);
        const bool has_volts = count_at(&volts, root, path, NULL);
        (void)snprintf(path, sizeof path, "%s/charge_now", dir);
        if (!known && has_volts && count_at(&charge, root, path, NULL)) {
            *uwh += (double)charge * (double)volts / 1e6;
            known = true;
        }
        (void)snprintf(path, sizeof path, "%s/power_now", dir);
        if (count_at(&v, root, path, NULL)) *uw += (double)v;
        else *has_power = false;
        if (!known) {
            no(&m->battery, "neither energy_now nor charge_now can be read");
            return false;
        }
    }
    return true;
}

static void battery_begin(ac_energy_meter *m)
{
    ac_arena a = { 0 };
    size_t n = 0;
    char **names = names_in(&a, m->from.root, "/sys/class/power_supply", &n), path[256], text[32];
    for (size_t i = 0; i < n && m->n_batteries < AC_COUNTOF(m->battery_path); i++) {
        if (strlen(names[i]) > 64) continue;
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/type", names[i]);
        if (!text_at(text, sizeof text, m->from.root, path, NULL) || strcmp(text, "Battery") != 0) continue;
        (void)snprintf(path, sizeof path, "/sys/class/power_supply/%s/scope", names[i]);
        if (text_at(text, sizeof text, m->from.root, path, NULL) && strcmp(text, "Device") == 0) continue;   /* a mouse's */
        (void)snprintf(m->battery_path[m->n_batteries++], sizeof m->battery_path[0], "/sys/class/power_supply/%s", names[i]);
    }
    ac_arena_release(&a);
    m->battery.ok = true;
    if (!m->n_batteries) no(&m->battery, "there is none");
    else if (battery_now(m, &m->gauge_uwh, &m->power_uw, &m->has_power)) return;
    m->battery.ok = false;
}

static void battery_look(ac_energy_meter *m, double seconds)
{
    double uwh, uw;
    bool has_power;
    if (!m->battery.ok || !battery_now(m, &uwh, &uw, &has_power)) return;
    m->drawn_uws += seconds * (m->power_uw + uw) / 2;
    m->power_uw = uw;
    m->has_power &= has_power;
}

/* Joules; the gauge where it moved enough, else the power that it showed. */
static bool battery_drawn(ac_energy_meter *m, double *joules, char covers[AC_ENERGY_TEXT])
{
    double uwh, uw;
    bool has_power;
    if (m->battery.ok) m->battery.why[0] = '\0';
    if (!m->battery.ok || !battery_now(m, &uwh, &uw, &has_power)) return false;
    const double gone = m->gauge_uwh - uwh;
    if (gone >= GAUGE_LEAST_UWH) *joules = gone * 3600 / 1e6;
    else if (m->has_power && m->drawn_uws > 0) *joules = m->drawn_uws / 1e6;
    else {
        no(&m->battery, "its gauge moved by less than it can tell, and it shows no power");
        m->battery.ok = true;                              /* it may later */
        return false;
    }
    (void)snprintf(covers, AC_ENERGY_TEXT, "the whole machine, by %s", gone >= GAUGE_LEAST_UWH ? "energy_now" : "power_now");
    return true;
}

/* ---- Slurm ---- */

static bool slurm_joules(ac_energy_meter *m, int64_t *out)
{
    const char *job = m->from.slurm_job;
    const char *argv[] = { m->from.sacct ? m->from.sacct : "sacct", "-j", job, "-X", "--noheader", "--parsable2",
                           "--format=ConsumedEnergyRaw", NULL };
    const ac_proc_limits limits = { .max_bytes = 65536, .timeout_ms = SACCT_MS };
    ac_str s = { 0 };
    ac_err err = { "" };
    int code = 0;
    const ac_status st = ac_proc_run(argv, &limits, &s, &code, &err);
    const ac_view line = ac_view_trim(ac_view_slice(ac_str_view(&s), 0, ac_view_find(ac_str_view(&s), AC_VIEW("\n"), 0)));
    int64_t v = 0;
    const bool ok = !st && code == 0 && ac_parse_i64(line, &v) && v >= 0 && v < HUGE_COUNT;
    if (st) no(&m->slurm, "%.180s", err.text);
    else if (code) no(&m->slurm, "sacct ended with exit code %d", code);
    else if (!ok) no(&m->slurm, "sacct knows no energy of job %.32s", job);
    else *out = v;
    ac_str_release(&s);
    return ok;
}

static void slurm_begin(ac_energy_meter *m)
{
    if (!m->from.slurm_job) no(&m->slurm, "not in a job of it");
    else m->slurm.ok = slurm_joules(m, &m->slurm_joules);
}

static bool slurm_drawn(ac_energy_meter *m, double *joules, char covers[AC_ENERGY_TEXT])
{
    int64_t now = 0;
    if (!m->slurm.ok || !slurm_joules(m, &now)) return false;
    if (now <= m->slurm_joules) {
        no(&m->slurm, "sacct's figure of job %.32s has not grown; it may come when the job ends", m->from.slurm_job);
        m->slurm.ok = true;
        return false;
    }
    *joules = (double)(now - m->slurm_joules);
    (void)snprintf(covers, AC_ENERGY_TEXT, "the nodes of job %.32s", m->from.slurm_job);
    return true;
}

/* ---- GPU ---- */

static bool gpu_mj(ac_energy_meter *m, int64_t *mj)
{
    char why[AC_ENERGY_TEXT] = "";
    if (!m->gpu) no(&m->nvml, "nothing here reads a GPU's energy");
    else if (!m->gpu(m->gpu_ctx, mj, why)) no(&m->nvml, "%.180s", why);
    else return true;
    return false;
}

static bool nvml_drawn(ac_energy_meter *m, double *joules)
{
    int64_t now;
    if (!m->gpu_computes || !m->nvml.ok || !gpu_mj(m, &now)) return false;
    if (now < m->nvml_mj) {
        no(&m->nvml, "its counter began anew");
        return false;
    }
    *joules = (double)(now - m->nvml_mj) / 1e3;
    return true;
}

/* ---- the meter ---- */

void ac_energy_begin(ac_energy_meter *m, const ac_energy_from *from, int64_t now_ns)
{
    *m = (ac_energy_meter){ .from = *from, .looked_ns = now_ns };
    slurm_begin(m);
    battery_begin(m);
    rapl_begin(m);
}

void ac_energy_with_gpu(ac_energy_meter *m, ac_energy_gpu *gpu, void *ctx)
{
    m->gpu_computes = true;
    m->gpu = gpu;
    m->gpu_ctx = ctx;
    m->nvml.ok = gpu_mj(m, &m->nvml_mj);
}

void ac_energy_with_watts(ac_energy_meter *m, double watts)
{
    m->from.watts = watts;
}

void ac_energy_look(ac_energy_meter *m, int64_t now_ns)
{
    if (now_ns - m->looked_ns < SECOND_NS) return;
    const double seconds = (double)(now_ns - m->looked_ns) / 1e9;
    rapl_look(m, seconds);
    battery_look(m, seconds);
    m->looked_ns = now_ns;
}

/* The zones' names with commas; "package-0, package-1, dram, dram". */
static void zones_text(const ac_energy_meter *m, char out[AC_ENERGY_TEXT])
{
    size_t at = 0;
    for (size_t i = 0; i < m->n_zones && at < AC_ENERGY_TEXT - 40; i++) {
        const int n = snprintf(out + at, AC_ENERGY_TEXT - at, "%s%s", i ? ", " : "", m->zone[i].name);
        if (n > 0) at += (size_t)n;
    }
}

static bool counters_drawn(ac_energy_meter *m, ac_energy *out)
{
    double gpu = 0;
    const bool nvml = nvml_drawn(m, &gpu), rapl = m->rapl.ok;
    if (!nvml && !rapl) return false;
    out->kind = AC_ENERGY_COUNTERS;
    out->method = nvml && rapl ? "RAPL + NVML" : nvml ? "NVML" : "RAPL";
    out->joules = gpu + (rapl ? m->rapl_uj / 1e6 : 0);
    out->at_least = !rapl || (m->gpu_computes && !nvml) || m->rapl_missed;
    if (rapl) zones_text(m, out->covers);
    if (nvml) {
        const size_t at = strlen(out->covers);
        (void)snprintf(out->covers + at, sizeof out->covers - at, "%sGPU", at ? ", " : "");
    }
    return true;
}

static bool watts_drawn(const ac_energy_meter *m, ac_energy *out, double cpu_seconds, double wall_seconds)
{
    double load = wall_seconds > 0 && m->from.cpus ? cpu_seconds / ((double)m->from.cpus * wall_seconds) : 0;
    if (!(m->from.watts > 0) || !(wall_seconds > 0) || !(cpu_seconds >= 0)) return false;
    if (m->gpu_computes || load > 1) load = 1;
    out->kind = AC_ENERGY_WATTS;
    out->method = "watts x load";
    out->joules = m->from.watts * load * wall_seconds;
    out->estimated = true;
    (void)snprintf(out->covers, sizeof out->covers, "estimated: %g W at full load, %.1f %% of it", m->from.watts, 100 * load);
    return true;
}

static void reasons(const ac_energy_meter *m, ac_energy *out)
{
    const struct {
        const char *name;
        const ac_energy_can *can;
        bool told;
    } all[] = { { "Slurm", &m->slurm, true }, { "battery", &m->battery, true }, { "RAPL", &m->rapl, true },
                { "NVML", &m->nvml, m->gpu_computes } };
    const size_t before = out->kind == AC_ENERGY_SLURM ? 0 : out->kind == AC_ENERGY_BATTERY ? 1 : AC_COUNTOF(all);
    size_t at = 0;
    for (size_t i = 0; i < before; i++) {
        if (!all[i].told || !all[i].can->why[0]) continue;
        const int n = snprintf(out->why + at, sizeof out->why - at, "%s%s: %s", at ? "; " : "", all[i].name, all[i].can->why);
        if (n > 0) at += (size_t)n < sizeof out->why - at ? (size_t)n : sizeof out->why - at - 1;
    }
}

void ac_energy_read(ac_energy_meter *m, ac_energy *out, double cpu_seconds, double wall_seconds, int64_t now_ns, bool asked)
{
    const double seconds = now_ns > m->looked_ns ? (double)(now_ns - m->looked_ns) / 1e9 : 0;
    *out = (ac_energy){ .kind = AC_ENERGY_NONE, .method = "not measured" };
    rapl_look(m, seconds);
    battery_look(m, seconds);
    m->looked_ns = now_ns;
    if (asked && slurm_drawn(m, &out->joules, out->covers)) {
        out->kind = AC_ENERGY_SLURM;
        out->method = "sacct";
    } else if (battery_drawn(m, &out->joules, out->covers)) {
        out->kind = AC_ENERGY_BATTERY;
        out->method = "battery";
    } else if (!counters_drawn(m, out)) {
        (void)watts_drawn(m, out, cpu_seconds, wall_seconds);
    }
    reasons(m, out);
}
