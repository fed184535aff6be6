#include "cli/cost_clock.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/utsname.h>

#include "base/file.h"
#include "base/pool.h"
#include "base/proc.h"
#include "base/time.h"

#define TEXT_MAX 200

/* ---- who and where ---- */

static ac_status git_config(ac_str *out, const char *key, ac_err *err)
{
    const char *argv[] = { "git", "config", "--get", key, NULL };
    const ac_proc_limits limits = { .max_bytes = 4096, .timeout_ms = 5000 };
    ac_str s = { 0 };
    int code = -1;
    const ac_status st = ac_proc_run(argv, &limits, &s, &code, NULL);
    const ac_view v = ac_view_trim(ac_str_view(&s));
    if (!st && code == 0) ac_str_append(out, ac_view_slice(v, 0, TEXT_MAX));
    ac_str_release(&s);
    return st == AC_ENOMEM || !ac_str_ok(out) ? ac_fail_nomem(err, 4096) : AC_OK;
}

ac_status ac_cost_person(const char **out, ac_arena *a, ac_err *err)
{
    ac_str name = { 0 }, mail = { 0 };
    ac_status st = git_config(&name, "user.name", err);
    if (!st) st = git_config(&mail, "user.email", err);
    *out = NULL;
    if (!st && (name.len || mail.len)) {
        *out = ac_arena_printf(a, name.len && mail.len ? "%s <%s>" : "%s%s", ac_str_c(&name), ac_str_c(&mail));
        if (!*out) st = ac_fail_nomem(err, name.len + mail.len);
    }
    ac_str_release(&name);
    ac_str_release(&mail);
    return st;
}

const char *ac_cost_project(ac_arena *a, const ac_contract_values *v)
{
    char here[4096];
    if (v && v->cost_project) return ac_arena_strndup(a, v->cost_project, strlen(v->cost_project));
    const char *slash = ac_path_real(here, sizeof here, ".") ? strrchr(here, '/') : NULL;
    return slash && slash[1] ? ac_arena_strndup(a, slash + 1, strlen(slash + 1)) : ac_arena_strndup(a, "unknown", 7);
}

static void rates_of(ac_cost_rates *out, const ac_contract_values *v)
{
    *out = (ac_cost_rates){ .currency = v->cost_currency, .machine_hour = v->cost_machine_hour, .machine_price = v->cost_machine_price,
                            .machine_years = v->cost_machine_years, .machine_hours_a_year = v->cost_machine_hours_a_year,
                            .kwh = v->cost_kwh, .watts = v->cost_watts, .node_hour = v->cost_node_hour,
                            .node_speed = v->cost_node_speed };
}

/* ---- the meter ---- */

static bool gpu_energy(void *ctx, int64_t *mj, char why[AC_ENERGY_TEXT])
{
    ac_nvml *n = ctx;
    double sum = 0;
    if (ac_nvml_why(n) || !ac_nvml_count(n)) {
        (void)snprintf(why, AC_ENERGY_TEXT, "%.180s", ac_nvml_why(n) ? ac_nvml_why(n) : "it knows no GPU");
        return false;
    }
    for (size_t i = 0; i < ac_nvml_count(n); i++) {
        ac_nvml_gpu g;
        ac_nvml_read(n, i, NULL, 0, &g);
        if (!g.energy_mj.measured) {
            (void)snprintf(why, AC_ENERGY_TEXT, "GPU %zu: %.150s", i, g.energy_mj.why ? g.energy_mj.why : "not measured");
            return false;
        }
        sum += g.energy_mj.value;
    }
    *mj = llround(sum);
    return true;
}

static void look_now(ac_cost_clock *c, bool asked)
{
    const int64_t now = ac_mono_ns();
    const double wall = (double)(now - c->start_ns) / 1e9;
    const double cpu = (c->team ? ac_team_cpu_seconds(c->team) : 0) + (ac_cpu_seconds() - c->start_cpu) + (c->children ? ac_cpu_seconds_children() - c->start_cpu_children : 0);
    ac_energy e;
    ac_cost_part *p = &c->part;
    int64_t peak = ac_peak_rss_bytes();
    if (c->children && ac_peak_rss_children() > peak) peak = ac_peak_rss_children();
    ac_energy_read(&c->meter, &e, cpu, wall, now, asked);
    p->wall_ms = llround(wall * 1e3);
    p->cpu_ms = llround((cpu > 0 ? cpu : 0) * 1e3);
    p->gpu_ms = c->meter.gpu_computes ? p->wall_ms * (int64_t)(c->workers ? c->workers : 1) : 0;      /* held, whether it computes at this moment or not */
    p->peak_bytes = peak;
    p->tokens = strcmp(p->what, "train") == 0 ? c->tokens : AC_COST_UNKNOWN;
    p->mwh = e.kind == AC_ENERGY_NONE ? AC_COST_UNKNOWN : llround(e.joules / 3.6);
    p->method = e.method;
    p->covers = e.covers[0] ? ac_arena_strndup(&c->arena, e.covers, strlen(e.covers)) : NULL;
    p->why = e.why[0] ? ac_arena_strndup(&c->arena, e.why, strlen(e.why)) : NULL;
    p->energy_at_least = e.at_least;
    p->estimated = e.estimated;
    ac_cost_money_of(&p->money, p);
}

void ac_cost_clock_start(ac_cost_clock *c, const char *what)
{
    const char *job = getenv("SLURM_JOB_ID"), *root = getenv("ACCORD_GUARD_ROOT");
    *c = (ac_cost_clock){ .start_ns = ac_mono_ns(), .start_cpu = ac_cpu_seconds(), .start_cpu_children = ac_cpu_seconds_children() };
    c->part = (ac_cost_part){ .what = what, .gain = NAN, .slurm_job = job && job[0] ? job : NULL };
    ac_utc_iso(c->began, ac_utc_ns());
    c->part.began = c->began;
    (void)ac_cost_date_parse(&c->part.began_s, ac_view_of(c->began));
    const ac_energy_from from = { .root = root ? root : "", .cpus = ac_cpu_count(), .slurm_job = c->part.slurm_job };
    ac_energy_begin(&c->meter, &from, c->start_ns);
}

void ac_cost_clock_team(ac_cost_clock *c, const ac_team *team, size_t workers)
{
    c->team = team;
    c->workers = workers;
    c->children = workers > 1;
}

ac_status ac_cost_clock_terms(ac_cost_clock *c, const ac_contract_values *v, const char *device, ac_err *err)
{
    struct utsname u;
    ac_cost_part *p = &c->part;
    ac_user_name(c->user);
    p->user = c->user;
    p->device = device;
    if (uname(&u) == 0) p->host = ac_arena_strndup(&c->arena, u.nodename, strlen(u.nodename));
    if (v) rates_of(&p->rates, v);
    p->tags = v ? v->cost_tags : NULL;
    p->project = ac_cost_project(&c->arena, v);
    ac_status st = p->project ? ac_cost_person(&p->person, &c->arena, err) : ac_fail_nomem(err, 64);
    ac_energy_with_watts(&c->meter, p->rates.watts);
    if (st || !device || strncmp(device, "cuda", 4) != 0) return st;
    st = ac_nvml_open(&c->nvml, NULL, err);
    if (!st) ac_energy_with_gpu(&c->meter, gpu_energy, c->nvml);
    return st;
}

/* ---- the book ---- */

/* The run's parts and ours behind them, or in the place of ours when it is open there already. */
static ac_status write_part(ac_cost_clock *c, const char *dir, bool again, ac_err *err)
{
    ac_arena a = { 0 };
    ac_cost_run r = { .n_parts = 0 };
    ac_status st = ac_cost_run_raw(&r, &a, dir, err);
    const bool train = strcmp(c->part.what, "train") == 0;
    const char *book = st ? NULL : ac_path_join(&a, dir, "cost.json");
    if (!st && !book) st = ac_fail_nomem(err, strlen(dir));
    if (!st && train && c->part.from_step == 0 && !ac_path_exists(book)) r.n_parts = 0;      /* its run.json is our own */
    ac_cost_part *parts = st ? NULL : ac_arena_alloc_array(&a, r.n_parts + 1, sizeof *parts);
    if (!st && !parts) st = ac_fail_nomem(err, (r.n_parts + 1) * sizeof *parts);
    if (!st && r.n_parts) memcpy(parts, r.part, r.n_parts * sizeof *parts);
    for (size_t i = 0; !st && !again && train && i < r.n_parts; i++) {
        st = ac_cost_complete(&parts[i], dir, &a, err);      /* before the metrics behind its last checkpoint are cut off */
        if (!parts[i].outcome) parts[i].outcome = "killed";
    }
    if (!st) {
        const bool replace = again && r.n_parts && !parts[r.n_parts - 1].outcome;
        parts[replace ? r.n_parts - 1 : r.n_parts] = c->part;
        r.part = parts;
        r.n_parts += replace ? 0 : 1;
        if (!r.project) r.project = c->part.project;
        if (!r.tags) r.tags = c->part.tags;
        for (size_t i = 0; i < r.n_parts; i++) {
            parts[i].rates = r.rates.currency ? r.rates : c->part.rates;
            ac_cost_money_of(&parts[i].money, &parts[i]);
        }
        r.rates = parts[0].rates;
        st = ac_cost_run_write(&r, err);
    }
    ac_arena_release(&a);
    return st;
}

ac_status ac_cost_clock_open(ac_cost_clock *c, const char *dir, uint64_t from_step, ac_err *err)
{
    c->part.from_step = from_step;
    look_now(c, false);
    c->part.opened_ms = c->part.wall_ms;
    c->part.wall_from = "counted up to the last checkpoint";
    const ac_status st = write_part(c, dir, false, err);
    if (!st) c->dir = dir;
    return st;
}

void ac_cost_clock_look(ac_cost_clock *c)
{
    if (c->start_ns) ac_energy_look(&c->meter, ac_mono_ns());
}

static ac_status emit(void *ctx, const ac_event *e, ac_err *err)
{
    ac_cost_clock *c = ctx;
    ac_cost_clock_look(c);
    if (e->kind == AC_EV_STEP) c->tokens += (int64_t)e->tokens;
    const ac_status st = ac_emit(&c->next, e, err);
    if (!st && c->dir && e->kind == AC_EV_CHECKPOINT) {          /* B2 */
        look_now(c, false);
        (void)write_part(c, c->dir, true, NULL);
    }
    return st;
}

ac_sink ac_cost_clock_sink(ac_cost_clock *c, ac_sink next)
{
    c->next = next;
    return (ac_sink){ emit, c };
}

static ac_status finish(ac_cost_clock *c, const char *outcome, ac_err *err)
{
    char now[32];
    look_now(c, true);
    ac_utc_iso(now, ac_utc_ns());
    c->part.wall_from = "measured";
    c->part.outcome = outcome;
    c->part.ended = ac_arena_strndup(&c->arena, now, strlen(now));
    ac_cost_money_of(&c->part.money, &c->part);              /* measured to the end now */
    return c->part.ended ? AC_OK : ac_fail_nomem(err, 32);
}

ac_status ac_cost_clock_end(ac_cost_clock *c, const char *outcome, const char *dir, ac_err *err)
{
    if (!c->start_ns || (!dir && !c->dir)) return AC_OK;
    const ac_status st = finish(c, outcome, err);
    return st ? st : write_part(c, dir ? dir : c->dir, dir == NULL, err);
}

ac_status ac_cost_clock_end_line(ac_cost_clock *c, const char *outcome, const char *run, const char *lock, ac_err *err)
{
    if (!c->start_ns) return AC_OK;
    const ac_status st = finish(c, outcome, err);
    c->part.run = run;
    c->part.lock = lock;
    return st ? st : ac_cost_append(".", &c->part, err);
}

void ac_cost_clock_release(ac_cost_clock *c)
{
    ac_nvml_close(&c->nvml);
    ac_arena_release(&c->arena);
    *c = (ac_cost_clock){ .start_ns = 0 };
}
