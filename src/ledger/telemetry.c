/* Lines of telemetry.jsonl, checked one by one (T2), into sessions, acts, levels and settings. */
#include "ledger/telemetry.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "ledger/telemetry_int.h"

#define LINE_MAX_BYTES ((size_t)256 << 10)
#define SESSIONS_MAX ((size_t)1024)
#define ACTS_MAX ((size_t)16384)
#define SPANS_MAX ((size_t)65536)
#define PAIRS_MAX ((size_t)64)
#define NAME_MAX_BYTES ((size_t)120)
#define TEXT_MAX_BYTES ((size_t)2000)
#define T_MAX 1e9

static const char *const level_names[AC_TEL_LEVELS] = { "green", "yellow", "red", "emergency" };

const char *ac_tel_level_name(ac_tel_level l)
{
    return level_names[l];
}

void ac_tel_release(ac_tel *t)
{
    ac_arena_release(&t->arena);
    *t = (ac_tel){ 0 };
}

/* ---- members, by type ------------------------------------------------------------------------------------------- */

/* The line at hand. Getters do nothing once st is set, so that a line's members are read in a row. */
typedef struct {
    ac_tel *t;
    const ac_json *o;
    const char *name;                /* the file's */
    size_t number;
    ac_status st;
    ac_err *err;
} in;

static void wrong(in *l, const char *key, const char *want, const ac_json *v)
{
    if (v) l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"%s\" must be %s, found %s", l->name, l->number, key, want,
                           ac_json_type_name(v->type));
    else l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"%s\" is missing; it must be %s", l->name, l->number, key, want);
}

/* The member; NULL when it is absent or null and that is allowed, or when the line has failed. */
static const ac_json *member(in *l, const ac_json *o, const char *key, ac_json_type type, bool must)
{
    if (l->st) return NULL;
    const ac_json *v = ac_json_get(o, key);
    if (!must && (!v || v->type == AC_JSON_NULL)) return NULL;
    if (v && v->type == type) return v;
    wrong(l, key, ac_json_type_name(type), v);
    return NULL;
}

static double number(in *l, const ac_json *o, const char *key)
{
    const ac_json *v = member(l, o, key, AC_JSON_NUMBER, false);
    return v ? v->number : (double)NAN;
}

static int64_t whole(in *l, const ac_json *o, const char *key, int64_t fallback, bool must)
{
    int64_t n = fallback;
    const ac_json *v = member(l, o, key, AC_JSON_NUMBER, must);
    if (v && !ac_json_as_i64(v, &n))
        l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"%s\" must be a whole number, found " AC_VIEW_FMT, l->name, l->number, key,
                        AC_VIEW_ARG(ac_view_slice(v->text, 0, 40)));
    return n;
}

/* A count: steps, rows, ids. */
static uint64_t count(in *l, const ac_json *o, const char *key, bool must)
{
    const int64_t n = whole(l, o, key, 0, must);
    if (!l->st && (n < 0 || n > INT64_C(1) << 53))
        l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"%s\" must be 0 or more and at most 2^53, found %lld", l->name, l->number,
                        key, (long long)n);
    return l->st ? 0 : (uint64_t)n;
}

static bool flag(in *l, const ac_json *o, const char *key)
{
    const ac_json *v = member(l, o, key, AC_JSON_BOOL, false);
    return v && v->boolean;
}

static const char *kept(in *l, ac_view v, size_t max)
{
    const char *s = l->st ? NULL : ac_arena_strndup(&l->t->arena, v.ptr, v.len < max ? v.len : max);
    if (!s && !l->st) l->st = ac_fail_nomem(l->err, v.len);
    return s;
}

static const char *text(in *l, const ac_json *o, const char *key, size_t max, bool must)
{
    const ac_json *v = member(l, o, key, AC_JSON_STRING, must);
    return v ? kept(l, v->text, max) : NULL;
}

static ac_tel_level level(in *l, const ac_json *o, const char *key)
{
    const ac_json *v = member(l, o, key, AC_JSON_STRING, true);
    if (!v) return AC_TEL_GREEN;
    for (size_t i = 0; i < AC_TEL_LEVELS; i++)
        if (ac_view_eq_str(v->text, level_names[i])) return (ac_tel_level)i;
    l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"%s\" must be green, yellow, red or emergency, found \"" AC_VIEW_FMT "\"",
                    l->name, l->number, key, AC_VIEW_ARG(ac_view_slice(v->text, 0, 40)));
    return AC_TEL_GREEN;
}

/* ---- growing lists ---------------------------------------------------------------------------------------------- */

/* Room for one more; false at the maximum, which is counted, and when memory is out, which is told. */
static bool room(in *l, void **list, size_t n, size_t *cap, size_t max, size_t size)
{
    if (l->st) return false;
    if (n == max) {
        l->t->left_out++;
        return false;
    }
    if (n < *cap) return true;
    const size_t more = *cap ? *cap * 2 : 16;
    void *p = ac_arena_alloc_array(&l->t->arena, more, size);
    if (!p) {
        l->st = ac_fail_nomem(l->err, more * size);
        return false;
    }
    if (n) memcpy(p, *list, n * size);
    *list = p;
    *cap = more;
    return true;
}

#define ROOM(l, list, n, cap, max) room(l, (void **)&(list), n, &(cap), max, sizeof *(list))

static void level_is(in *l, ac_tel_level now, double at)
{
    ac_tel *t = l->t;
    if (t->n_levels && t->level[t->n_levels - 1].level == now) return;
    if (ROOM(l, t->level, t->n_levels, t->cap_levels, SPANS_MAX))
        t->level[t->n_levels++] = (ac_tel_level_at){ at, now };
}

static bool same_setting(ac_tel_setting a, ac_tel_setting b)
{
    return a.micro == b.micro && a.duty == b.duty && a.recompute == b.recompute && a.paused == b.paused;
}

static void setting_is(in *l, ac_tel_setting now, double at)
{
    ac_tel *t = l->t;
    if (t->n_settings && same_setting(t->setting[t->n_settings - 1].s, now)) return;
    if (ROOM(l, t->setting, t->n_settings, t->cap_settings, SPANS_MAX))
        t->setting[t->n_settings++] = (ac_tel_setting_at){ at, now };
}

/* ---- time ------------------------------------------------------------------------------------------------------- */

/* T3. What went by since the line before counts for the level and the setting that held then. */
static double clock_to(in *l)
{
    ac_tel *t = l->t;
    ac_tel_session *s = &t->session[t->n_sessions - 1];
    const ac_json *v = member(l, l->o, "t", AC_JSON_NUMBER, true);
    if (!v) return t->until;
    if (!(v->number >= 0 && v->number <= T_MAX)) {
        l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: \"t\" must be seconds from 0 to 1e9, found " AC_VIEW_FMT, l->name, l->number,
                        AC_VIEW_ARG(ac_view_slice(v->text, 0, 40)));
        return t->until;
    }
    const double now = fmax(s->from + v->number, t->until), went = now - t->until;
    if (!s->ended) {
        s->seconds[t->n_levels ? t->level[t->n_levels - 1].level : AC_TEL_GREEN] += went;
        if (t->last.sample && t->now.s.paused) s->paused += went;
    }
    t->until = s->until = now;
    return now;
}

/* ---- begin and end ---------------------------------------------------------------------------------------------- */

static void unknown_signals(in *l, ac_tel_session *s)
{
    const ac_json *o = member(l, l->o, "unknown", AC_JSON_OBJECT, false);
    if (!o) return;
    const size_t n = o->n < PAIRS_MAX ? o->n : PAIRS_MAX;
    s->unknown = ac_arena_alloc_array(&l->t->arena, n + 1, sizeof *s->unknown);
    if (!s->unknown) {
        l->st = ac_fail_nomem(l->err, n * sizeof *s->unknown);
        return;
    }
    for (const ac_json *v = o->child; v && s->n_unknown < n && !l->st; v = v->next) {
        if (v->type == AC_JSON_NULL) continue;
        if (v->type != AC_JSON_STRING) {
            wrong(l, "unknown", "names with texts", v);
            return;
        }
        s->unknown[s->n_unknown++] = (ac_tel_pair){ kept(l, v->key, NAME_MAX_BYTES), kept(l, v->text, TEXT_MAX_BYTES) };
    }
}

static void begin(in *l)
{
    ac_tel *t = l->t;
    ac_tel_session s = { .from = t->until, .until = t->until, .guard_cpu_seconds = (double)NAN, .guard_peak_bytes = (double)NAN };
    const int64_t format = whole(l, l->o, "format", 0, true);
    if (!l->st && format != 1)
        l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: format %lld; this program reads format 1", l->name, l->number,
                        (long long)format);
    s.utc = text(l, l->o, "utc", NAME_MAX_BYTES, true);
    s.run = text(l, l->o, "run", NAME_MAX_BYTES, true);
    s.guard_pid = whole(l, l->o, "guard_pid", 0, false);
    s.pid = whole(l, l->o, "pid", 0, false);
    s.resumed_at = count(l, l->o, "resumed_at_step", false);
    s.total_steps = count(l, l->o, "total_steps", false);
    s.micro_start = count(l, l->o, "micro_start", false);
    s.recompute = flag(l, l->o, "recompute");
    s.budget_bytes = number(l, l->o, "budget_bytes");
    s.planned_bytes = number(l, l->o, "planned_peak_bytes");
    s.step = s.durable = s.resumed_at;
    const ac_json *terms = member(l, l->o, "terms", AC_JSON_OBJECT, false);
    if (terms) {
        s.terms.window = text(l, terms, "window", NAME_MAX_BYTES, false);
        s.terms.battery = flag(l, terms, "battery");
        s.terms.lid = flag(l, terms, "lid");
        s.terms.polite = flag(l, terms, "polite");
        s.terms.beside = flag(l, terms, "beside");
    }
    unknown_signals(l, &s);
    if (!l->st && t->n_sessions == SESSIONS_MAX)
        l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: more than %zu begins", l->name, l->number, SESSIONS_MAX);
    if (!ROOM(l, t->session, t->n_sessions, t->cap_sessions, SESSIONS_MAX)) return;
    t->session[t->n_sessions++] = s;
    memset(&t->last, 0, sizeof t->last);
    t->last.micro = (int64_t)s.micro_start;
    t->last.duty = 100;
    t->last.recompute = s.recompute;
    level_is(l, AC_TEL_GREEN, s.from);
}

static void reasons(in *l, ac_tel_session *s)
{
    const ac_json *list = member(l, l->o, "void", AC_JSON_ARRAY, true);
    if (!list) return;
    const size_t n = list->n < PAIRS_MAX ? list->n : PAIRS_MAX;
    s->why_void = ac_arena_alloc_array(&l->t->arena, n + 1, sizeof *s->why_void);
    if (!s->why_void) {
        l->st = ac_fail_nomem(l->err, n * sizeof *s->why_void);
        return;
    }
    for (const ac_json *v = list->child; v && s->n_void < n && !l->st; v = v->next) {
        if (v->type != AC_JSON_STRING) wrong(l, "void", "an array of texts", v);
        else s->why_void[s->n_void++] = kept(l, v->text, TEXT_MAX_BYTES);
    }
}

static void end(in *l)
{
    ac_tel_session *s = &l->t->session[l->t->n_sessions - 1];
    (void)clock_to(l);
    s->end_utc = text(l, l->o, "utc", NAME_MAX_BYTES, false);
    s->exit = whole(l, l->o, "exit", -1, false);
    s->signal = whole(l, l->o, "signal", 0, false);
    const ac_json *o = member(l, l->o, "seconds", AC_JSON_OBJECT, false);
    for (size_t i = 0; i < AC_TEL_LEVELS && o; i++) {
        const double v = number(l, o, level_names[i]);
        if (v >= 0) s->seconds[i] = v;
    }
    if (o) {
        const double paused = number(l, o, "paused"), slept = number(l, o, "slept");
        if (paused >= 0) s->paused = paused;
        if (slept >= 0) s->slept = slept;
    }
    const ac_json *guard = member(l, l->o, "guard", AC_JSON_OBJECT, false);
    if (guard) {
        s->guard_cpu_seconds = number(l, guard, "cpu_seconds");
        s->guard_peak_bytes = number(l, guard, "peak_rss_bytes");
    }
    if (member(l, l->o, "step", AC_JSON_NUMBER, false)) s->step = count(l, l->o, "step", true);
    if (member(l, l->o, "durable", AC_JSON_NUMBER, false)) s->durable = count(l, l->o, "durable", true);
    s->n_void = 0;
    reasons(l, s);
    s->ended = !l->st;
}

/* ---- acts and acks ---------------------------------------------------------------------------------------------- */

/* What stood before a command that sets something. */
static double before(ac_tel *t, const ac_tel_act *a)
{
    int64_t *v = strcmp(a->act, "micro-batch") == 0 ? &t->last.micro
                 : strcmp(a->act, "duty") == 0 ? &t->last.duty
                 : strcmp(a->act, "recompute") == 0 ? &t->last.recompute : NULL;
    if (!v) return (double)NAN;
    const double was = (double)*v;
    if (a->arg >= 0 && a->arg < 1e9) *v = (int64_t)a->arg;
    return was;
}

static void act(in *l)
{
    ac_tel *t = l->t;
    ac_tel_act a = { .session = t->n_sessions - 1, .line = l->number, .ack_ms = (double)NAN };
    a.t = clock_to(l);
    a.utc = text(l, l->o, "utc", NAME_MAX_BYTES, false);
    a.act = text(l, l->o, "act", NAME_MAX_BYTES, true);
    a.cause = text(l, l->o, "cause", NAME_MAX_BYTES, false);
    a.signal = text(l, l->o, "signal", NAME_MAX_BYTES, false);
    a.text = text(l, l->o, "text", TEXT_MAX_BYTES, false);
    a.arg = number(l, l->o, "arg");
    a.value = number(l, l->o, "value");
    a.limit = number(l, l->o, "limit");
    a.id = count(l, l->o, "id", false);
    a.rule = whole(l, l->o, "rule", -1, false);
    a.level = level(l, l->o, "level");
    a.step = t->session[a.session].step;
    if (l->st) return;
    a.is_level = strcmp(a.act, "level") == 0;
    if (a.is_level) {
        a.from = level(l, l->o, "from");
        a.to = level(l, l->o, "to");
        if (!l->st) level_is(l, a.to, a.t);
    }
    a.before = before(t, &a);
    if (ROOM(l, t->act, t->n_acts, t->cap_acts, ACTS_MAX)) t->act[t->n_acts++] = a;
}

/* Belongs to the newest act of this process with its id; TERM and KILL carry an id that they do not answer for. */
static ac_tel_act *commanded(ac_tel *t, uint64_t id)
{
    for (size_t i = t->n_acts; i > 0 && t->act[i - 1].session == t->n_sessions - 1; i--) {
        ac_tel_act *a = &t->act[i - 1];
        if (a->id == id && strcmp(a->act, "term") != 0 && strcmp(a->act, "kill") != 0) return a;
    }
    return NULL;
}

static void ack(in *l)
{
    ac_tel *t = l->t;
    ac_tel_session *s = &t->session[t->n_sessions - 1];
    (void)clock_to(l);
    const uint64_t id = count(l, l->o, "id", true), step = count(l, l->o, "step", false);
    const uint64_t durable = count(l, l->o, "durable", false);
    const double ms = number(l, l->o, "ms");
    const ac_json *ok = member(l, l->o, "ok", AC_JSON_BOOL, true);
    const char *why = text(l, l->o, "text", TEXT_MAX_BYTES, false);
    ac_tel_act *a = l->st || !id ? NULL : commanded(t, id);
    if (!l->st && step > s->step) s->step = step;
    if (!l->st && durable > s->durable) s->durable = durable;
    if (!a || a->acked) return;
    a->acked = true;
    a->ok = ok->boolean;
    a->ack_ms = ms;
    a->ack_step = step;
    a->ack_durable = durable;
    a->ack_text = why;
}

/* ---- samples ---------------------------------------------------------------------------------------------------- */

static void spend(ac_tel *t, ac_tel_setting s, double seconds, uint64_t steps)
{
    const ac_tel_session *begun = &t->session[t->n_sessions - 1];
    const bool full = !s.paused && s.duty == 100 && s.recompute == begun->recompute && s.micro == (int64_t)begun->micro_start;
    size_t i = 0;
    if (s.paused) s = (ac_tel_setting){ .paused = true };    /* whatever else was set, nothing was computed */
    while (i < t->n_spent && (t->spent[i].full != full || !same_setting(t->spent[i].s, s))) i++;
    if (i == AC_COUNTOF(t->spent)) {
        t->left_out++;
        return;
    }
    if (i == t->n_spent) t->spent[t->n_spent++] = (ac_tel_spent){ .s = s, .full = full };
    t->spent[i].seconds += seconds;
    t->spent[i].steps += steps;
}

static void signals(in *l, ac_tel_now *n)
{
    const ac_json *o = member(l, l->o, "signals", AC_JSON_OBJECT, false);
    for (const ac_json *v = o ? o->child : NULL; v && !l->st; v = v->next)
        if (v->type != AC_JSON_NUMBER) wrong(l, "signals", "names with numbers", v);
    n->footprint_share = number(l, o, "footprint");
    n->available_share = number(l, o, "available");
    n->hot_margin = number(l, o, "hot-margin");
    n->battery = number(l, o, "battery");
    n->disk = number(l, o, "disk");
    n->user_idle = number(l, o, "user-idle");
    n->c[AC_TEL_OTHERS] = number(l, o, "foreign-cpu");
    const double trip = number(l, o, "trip-margin");
    n->c[AC_TEL_MARGIN] = isnan(trip) ? n->hot_margin : trip;
}

/* Processors that the trainer kept busy since the sample before. */
static double cores(const ac_tel *t, double at, double cpu_seconds)
{
    const double went = at - t->last.t, used = cpu_seconds - t->last.cpu_seconds;
    return t->last.sample && went > 0 && used >= 0 ? used / went : (double)NAN;
}

static void sample(in *l)
{
    ac_tel *t = l->t;
    ac_tel_session *s = &t->session[t->n_sessions - 1];
    ac_tel_now n = { .any = true };
    n.t = clock_to(l);
    n.level = level(l, l->o, "level");
    n.step = count(l, l->o, "step", true);
    n.durable = count(l, l->o, "durable", false);
    n.s.micro = (int64_t)count(l, l->o, "micro", false);
    n.s.duty = (int64_t)count(l, l->o, "duty", false);
    n.s.recompute = flag(l, l->o, "recompute");
    n.s.paused = flag(l, l->o, "paused");
    n.c[AC_TEL_FOOTPRINT] = number(l, l->o, "footprint_bytes");
    n.c[AC_TEL_AVAILABLE] = number(l, l->o, "available_bytes");
    n.c[AC_TEL_WATTS] = number(l, l->o, "watts");
    const double cpu = number(l, l->o, "cpu_seconds");
    n.c[AC_TEL_CORES] = l->st ? (double)NAN : cores(t, n.t, cpu);
    signals(l, &n);
    const ac_json *valid = member(l, l->o, "valid", AC_JSON_BOOL, false), *beside = member(l, l->o, "beside", AC_JSON_STRING, false);
    (void)member(l, l->o, "unknown", AC_JSON_OBJECT, false);
    (void)member(l, l->o, "utc", AC_JSON_STRING, false);
    if (l->st) return;
    n.valid = !valid || valid->boolean;
    if (beside) (void)snprintf(n.beside, sizeof n.beside, AC_VIEW_FMT, AC_VIEW_ARG(beside->text));
    if (t->last.sample)
        spend(t, t->now.s, n.t - t->last.t, n.step > t->last.step ? n.step - t->last.step : 0);
    t->now = n;
    t->n_samples++;
    t->n_invalid += !n.valid;
    t->last.sample = true;
    t->last.t = n.t;
    t->last.step = n.step;
    if (!isnan(cpu)) t->last.cpu_seconds = cpu;
    s->step = n.step;
    s->durable = n.durable;
    level_is(l, n.level, n.t);
    setting_is(l, n.s, n.t);
    if (!l->st && !ac_tel_curves_add(t)) l->st = ac_fail_nomem(l->err, AC_TEL_BUCKETS * sizeof(ac_tel_bucket));
}

/* ---- lines ------------------------------------------------------------------------------------------------------ */

static void one(in *l)
{
    static const struct {
        const char *kind;
        void (*read)(in *);
    } kinds[] = { { "begin", begin }, { "sample", sample }, { "act", act }, { "ack", ack }, { "end", end } };
    const ac_json *k = l->o->type == AC_JSON_OBJECT ? member(l, l->o, "k", AC_JSON_STRING, true) : NULL;
    if (!k) {
        if (!l->st) l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: must be an object, found %s", l->name, l->number,
                                    ac_json_type_name(l->o->type));
        return;
    }
    for (size_t i = 0; i < AC_COUNTOF(kinds); i++) {
        if (!ac_view_eq_str(k->text, kinds[i].kind)) continue;
        if (i > 0 && !l->t->n_sessions)
            l->st = ac_fail(l->err, AC_EFORMAT, "%s:%zu: %s before the first begin; the file's start is missing", l->name,
                            l->number, kinds[i].kind);
        else kinds[i].read(l);
        return;
    }
}

ac_status ac_tel_line(ac_tel *t, ac_view line, const char *name, size_t n, ac_err *err)
{
    ac_arena scratch = { 0 };
    in l = { .t = t, .name = name, .number = n, .err = err };
    l.st = ac_json_parse(&l.o, line, &scratch, name, n, NULL, err);
    if (!l.st) one(&l);
    ac_arena_release(&scratch);
    return l.st;
}

typedef struct {
    ac_tel *t;
    const char *path;
} reading;

static ac_status each(void *ctx, ac_view line, size_t n, ac_err *err)
{
    reading *r = ctx;
    return ac_tel_line(r->t, line, r->path, n, err);
}

ac_status ac_tel_read(ac_tel *t, const char *path, ac_err *err)
{
    reading r = { t, path };
    return ac_tail_read(&t->tail, path, LINE_MAX_BYTES, each, &r, err);
}

/* ---- VOID (T4) -------------------------------------------------------------------------------------------------- */

/* Only begins and ends matter here; the rest, nearly all of the file, is not parsed. */
static ac_status ends_only(void *ctx, ac_view line, size_t n, ac_err *err)
{
    reading *r = ctx;
    if (ac_view_find(line, AC_VIEW("\"begin\""), 0) == SIZE_MAX && ac_view_find(line, AC_VIEW("\"end\""), 0) == SIZE_MAX)
        return AC_OK;
    return ac_tel_line(r->t, line, r->path, n, err);
}

static bool reason(ac_run_void *v, ac_arena *a, const char *why)
{
    for (size_t i = 0; i < v->n; i++)
        if (strcmp(v->why[i], why) == 0) return true;
    if (v->n % 16 == 0) {
        const char **more = ac_arena_alloc_array(a, v->n + 16, sizeof *more);
        if (!more) return false;
        if (v->n) memcpy(more, v->why, v->n * sizeof *more);
        v->why = more;
    }
    v->why[v->n] = ac_arena_strndup(a, why, strlen(why));
    return v->why[v->n++] != NULL;
}

static bool all_reasons(ac_run_void *v, ac_arena *a, const ac_tel *t)
{
    bool ok = true;
    if (!t->n_sessions) return reason(v, a, AC_TELEMETRY_FILE " is empty");
    for (size_t i = 0; i < t->n_sessions && ok; i++) {
        const ac_tel_session *s = &t->session[i];
        if (!s->ended)
            ok = reason(v, a, i + 1 < t->n_sessions ? "the guard's record breaks off before a resume"
                                                    : "the guard's record has no end: it goes on, or was cut off");
        for (size_t k = 0; k < s->n_void && ok; k++) ok = reason(v, a, s->why_void[k]);
    }
    return ok;
}

ac_status ac_run_void_read(ac_run_void *out, ac_arena *a, const char *run_dir, ac_err *err)
{
    ac_tel t = { 0 };
    ac_run_void v = { 0 };
    ac_err own = { 0 };
    ac_tail tail = { 0 };
    const char *path = ac_arena_printf(a, "%s/%s", run_dir, AC_TELEMETRY_FILE);
    reading r = { &t, AC_TELEMETRY_FILE };       /* reasons travel with evidence: no path of this machine */
    if (!path) return ac_fail_nomem(err, strlen(run_dir));
    const ac_status st = ac_tail_read(&tail, path, LINE_MAX_BYTES, ends_only, &r, &own);
    bool ok = true;
    if (st == AC_ENOENT) ok = reason(&v, a, "no " AC_TELEMETRY_FILE ": nothing watched this run");
    else if (st == AC_ENOMEM) ok = false;
    else if (st) ok = reason(&v, a, own.text);       /* a record that cannot be read proves nothing */
    else ok = all_reasons(&v, a, &t);
    ac_tel_release(&t);
    if (!ok) return ac_fail_nomem(err, 64);
    *out = v;
    return AC_OK;
}
