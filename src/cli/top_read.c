/* What a run's files say, read on from where the last look stopped. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/project.h"
#include "cli/top.h"

#define RUN_JSON_MAX ((size_t)16 << 20)
#define LINE_MAX_BYTES ((size_t)64 << 10)

void ac_top_open(ac_top *t, char *dir)
{
    *t = (ac_top){ .dir = dir, .id = ac_run_id(dir), .stride = 1, .age_seconds = (double)NAN };
}

void ac_top_close(ac_top *t)
{
    ac_tel_release(&t->tel);
}

/* ---- run.json ---- */

static uint64_t count(const ac_json *o, const char *key)
{
    int64_t n = 0;
    const ac_json *v = ac_json_get(o, key);
    return v && ac_json_as_i64(v, &n) && n > 0 ? (uint64_t)n : 0;
}

static ac_status read_state(ac_top *t, const char *path, ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = RUN_JSON_MAX };
    ac_arena a = { 0 };
    const ac_json *o = NULL;
    const ac_status st = ac_json_parse_file(&o, path, &a, &limits, err);
    const ac_json *state = st ? NULL : ac_json_get(o, "state");
    if (state && state->type == AC_JSON_STRING)
        (void)snprintf(t->state, sizeof t->state, AC_VIEW_FMT, AC_VIEW_ARG(state->text));
    if (!st && count(o, "total_steps")) t->total_steps = count(o, "total_steps");
    ac_arena_release(&a);
    return st;
}

/* ---- metrics.jsonl ---- */

/* The curve holds the whole run in few points: when they are full, two become one. */
static void add_point(ac_top *t, double loss)
{
    t->sum += loss;
    if (++t->n_sum < t->stride) return;
    if (t->n_points == AC_TOP_POINTS) {
        for (size_t i = 0; i < AC_TOP_POINTS / 2; i++) t->point[i] = (t->point[2 * i] + t->point[2 * i + 1]) / 2;
        t->n_points /= 2;
        t->stride *= 2;
        return;                                      /* what was summed up so far is half of the next point */
    }
    t->point[t->n_points++] = t->sum / (double)t->n_sum;
    t->sum = 0;
    t->n_sum = 0;
}

static double number(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER ? v->number : (double)NAN;
}

static void take(ac_top *t, const ac_json *o)
{
    const ac_json *event = ac_json_get(o, "event");
    const double loss = number(o, "loss"), seconds = number(o, "seconds");
    if (!event || event->type != AC_JSON_STRING) return;
    if (ac_view_eq_str(event->text, "eval") && !isnan(loss)) {
        if (!t->any_valid || loss < t->best) t->best = loss;
        t->valid = loss;
        t->any_valid = true;
    } else if (ac_view_eq_str(event->text, "step")) {
        t->step = count(o, "step");
        if (seconds >= 0) {
            t->recent[t->n_recent++ % AC_TOP_RECENT] = seconds;
            t->trained_seconds += seconds;
        }
        if (isnan(loss)) return;
        t->loss = loss;
        t->any_loss = true;
        add_point(t, loss);
    }
}

typedef struct {
    ac_top *t;
    const char *path;
} reading;

static ac_status metrics_line(void *ctx, ac_view line, size_t n, ac_err *err)
{
    const reading *r = ctx;
    ac_arena a = { 0 };
    const ac_json *o = NULL;
    const ac_status st = ac_json_parse(&o, line, &a, r->path, n, NULL, err);
    if (!st) take(r->t, o);
    ac_arena_release(&a);
    return st;
}

/* A resume drops the steps behind its checkpoint: then all of it is read anew. */
static ac_status read_metrics(ac_top *t, const char *path, ac_err *err)
{
    reading r = { t, path };
    ac_status st = ac_tail_read(&t->metrics, path, LINE_MAX_BYTES, metrics_line, &r, err);
    if (st || !t->metrics.shrank) return st;
    t->any_loss = t->any_valid = false;
    t->step = 0;
    t->n_points = t->n_sum = t->n_recent = 0;
    t->stride = 1;
    t->sum = t->trained_seconds = 0;
    return ac_tail_read(&t->metrics, path, LINE_MAX_BYTES, metrics_line, &r, err);
}

/* The guard's record is only appended to: a shorter one is another one. */
static ac_status read_telemetry(ac_top *t, const char *path, ac_err *err)
{
    const ac_status st = ac_tel_read(&t->tel, path, err);
    if (st || !t->tel.tail.shrank) return st;
    ac_tel_release(&t->tel);
    return ac_tel_read(&t->tel, path, err);
}

/* ---- all of them ---- */

static void newest(const char *path, int64_t *ns)
{
    int64_t at;
    if (!ac_file_mtime_ns(path, &at, NULL) && at > *ns) *ns = at;
}

ac_status ac_top_read(ac_top *t, ac_err *err)
{
    static const struct {
        const char *name;
        ac_status (*read)(ac_top *, const char *, ac_err *);
    } files[] = { { "run.json", read_state }, { "metrics.jsonl", read_metrics }, { AC_TELEMETRY_FILE, read_telemetry } };
    ac_arena a = { 0 };
    ac_status st = AC_OK;
    int64_t ns = 0;
    for (size_t i = 0; i < AC_COUNTOF(files) && !st; i++) {
        char *path = NULL;
        st = ac_run_path(&path, &a, t->dir, files[i].name, err);
        if (st || !ac_path_exists(path)) continue;
        newest(path, &ns);
        st = files[i].read(t, path, err);
    }
    ac_arena_release(&a);
    /* Before its first line of metrics, and where they are lost, the guard's record tells the steps. */
    if (t->tel.n_sessions && !t->total_steps) t->total_steps = t->tel.session[t->tel.n_sessions - 1].total_steps;
    if (t->tel.now.any && !t->any_loss) t->step = t->tel.now.step;
    if (ns) t->age_seconds = fmax(0, (double)(ac_utc_ns() - ns) * 1e-9);
    return st;
}

bool ac_top_ended(const ac_top *t)
{
    if (t->tel.n_sessions) return t->tel.session[t->tel.n_sessions - 1].ended;
    return t->state[0] && strcmp(t->state, "training") != 0;
}

double ac_top_step_seconds(const ac_top *t)
{
    const size_t n = t->n_recent < AC_TOP_RECENT ? t->n_recent : AC_TOP_RECENT;
    double sum = 0;
    for (size_t i = 0; i < n; i++) sum += t->recent[i];
    return n ? sum / (double)n : (double)NAN;
}

double ac_top_seconds_left(const ac_top *t)
{
    const double each = ac_top_step_seconds(t);
    if (ac_top_ended(t) || t->step > t->total_steps) return (double)NAN;
    return each * (double)(t->total_steps - t->step);
}
