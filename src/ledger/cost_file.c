/* cost.json and .accord/cost.jsonl: docs/formats/run.md. */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "ledger/cost.h"
#include "ledger/ledger.h"
#include "ledger/telemetry.h"

#define COST_MAX_BYTES ((size_t)16 << 20)
#define JSON_MAX_BYTES ((size_t)256 << 20)
#define LINE_MAX_BYTES ((size_t)64 << 10)
#define MOST 1e15                    /* of milliseconds, milliwatt-hours, bytes, tokens */
#define PARTS_MAX 100000

/* ---- reading ---- */

static const char *text_of(const ac_json *o, const char *key, ac_arena *a)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_STRING ? ac_arena_strndup(a, v->text.ptr, v->text.len) : NULL;
}

static ac_status bad(const ac_json *o, const char *name, const char *key, const char *want, ac_err *err)
{
    return ac_fail(err, AC_EFORMAT, "%s: \"%s\" at byte %zu must be %s", name, key, o ? o->offset : 0, want);
}

/* A text or null; absent is null. */
static ac_status get_text(const char **out, const ac_json *o, const char *key, const char *name, ac_arena *a, ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    *out = NULL;
    if (!v || v->type == AC_JSON_NULL) return AC_OK;
    if (v->type != AC_JSON_STRING) return bad(v, name, key, "a string or null", err);
    *out = ac_arena_strndup(a, v->text.ptr, v->text.len);
    return *out ? AC_OK : ac_fail_nomem(err, v->text.len);
}

/* A count in units of 1/scale, not below 0; null and absent are unknown. */
static ac_status get_count(int64_t *out, const ac_json *o, const char *key, double scale, const char *name, ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    *out = AC_COST_UNKNOWN;
    if (!v || v->type == AC_JSON_NULL) return AC_OK;
    if (v->type != AC_JSON_NUMBER || !(v->number >= 0) || v->number * scale > MOST)
        return bad(v, name, key, "a number from 0 on that a machine can have, or null", err);
    *out = llround(v->number * scale);
    return AC_OK;
}

static ac_status get_flag(bool *out, const ac_json *o, const char *key, const char *name, ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    *out = false;
    if (!v || v->type == AC_JSON_NULL) return AC_OK;
    if (v->type != AC_JSON_BOOL) return bad(v, name, key, "true or false", err);
    *out = v->boolean;
    return AC_OK;
}

static double rate(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER && v->number >= 0 ? v->number : 0;
}

/* From the lock's or the line's object of rates. */
static void rates_from(ac_cost_rates *out, const ac_json *cost, ac_arena *a)
{
    *out = (ac_cost_rates){ .currency = text_of(cost, "currency", a) };
    if (!out->currency) return;
    out->machine_hour = rate(cost, "machine_hour");
    out->machine_price = rate(cost, "machine_price");
    out->machine_years = rate(cost, "machine_years");
    out->machine_hours_a_year = rate(cost, "machine_hours_a_year");
    out->kwh = rate(cost, "kwh");
    out->watts = rate(cost, "watts");
    out->node_hour = rate(cost, "node_hour");
    out->node_speed = rate(cost, "node_speed");
}

void ac_cost_rates_of(ac_cost_rates *out, const ac_json *lock, ac_arena *a)
{
    rates_from(out, ac_json_get(ac_json_get(lock, "values"), "cost"), a);
}

static void begun_at(ac_cost_part *p)
{
    if (!p->began || !ac_cost_date_parse(&p->began_s, ac_view_of(p->began))) p->began_s = -1;
}

static ac_status get_energy(ac_cost_part *p, const ac_json *e, const char *name, ac_arena *a, ac_err *err)
{
    if (e && e->type != AC_JSON_OBJECT) return bad(e, name, "energy", "an object", err);
    ac_status st = get_count(&p->mwh, e, "kwh", 1e6, name, err);
    if (!st) st = get_text(&p->method, e, "method", name, a, err);
    if (!st) st = get_text(&p->covers, e, "covers", name, a, err);
    if (!st) st = get_text(&p->why, e, "why", name, a, err);
    if (!st) st = get_flag(&p->energy_at_least, e, "at_least", name, err);
    return st ? st : get_flag(&p->estimated, e, "estimated", name, err);
}

static ac_status part_of(ac_cost_part *p, const ac_json *o, const char *name, ac_arena *a, ac_err *err)
{
    int64_t step = 0;
    *p = (ac_cost_part){ .gain = NAN };
    if (o->type != AC_JSON_OBJECT) return bad(o, name, "parts", "objects", err);
    const struct {
        const char *key, **to;
    } texts[] = { { "what", &p->what }, { "began", &p->began }, { "ended", &p->ended }, { "outcome", &p->outcome }, { "person", &p->person },
                  { "user", &p->user }, { "host", &p->host }, { "device", &p->device }, { "wall_from", &p->wall_from },
                  { "slurm_job", &p->slurm_job }, { "run", &p->run }, { "project", &p->project }, { "tags", &p->tags }, { "lock", &p->lock } };
    const struct {
        const char *key;
        int64_t *to;
        double scale;
    } counts[] = { { "wall_seconds", &p->wall_ms, 1e3 }, { "cpu_seconds", &p->cpu_ms, 1e3 }, { "gpu_seconds", &p->gpu_ms, 1e3 },
                   { "peak_rss_bytes", &p->peak_bytes, 1 }, { "tokens", &p->tokens, 1 }, { "from_step", &step, 1 },
                   { "opened_seconds", &p->opened_ms, 1e3 } };
    ac_status st = AC_OK;
    for (size_t i = 0; i < AC_COUNTOF(texts) && !st; i++) st = get_text(texts[i].to, o, texts[i].key, name, a, err);
    for (size_t i = 0; i < AC_COUNTOF(counts) && !st; i++) st = get_count(counts[i].to, o, counts[i].key, counts[i].scale, name, err);
    if (!st) st = get_energy(p, ac_json_get(o, "energy"), name, a, err);
    if (!st && !p->what) st = bad(o, name, "what", "there", err);
    p->from_step = step > 0 ? (uint64_t)step : 0;
    if (!st) begun_at(p);
    return st;
}

static ac_status note_of(ac_cost_note *n, const ac_json *o, const char *name, ac_arena *a, ac_err *err)
{
    int64_t parts = 0;
    *n = (ac_cost_note){ .mwh = 0 };
    if (o->type != AC_JSON_OBJECT) return bad(o, name, "notes", "objects", err);
    ac_status st = get_text(&n->utc, o, "utc", name, a, err);
    if (!st) st = get_text(&n->by, o, "by", name, a, err);
    if (!st) st = get_text(&n->reason, o, "reason", name, a, err);
    if (!st) st = get_count(&n->mwh, o, "kwh", 1e6, name, err);
    if (!st) st = get_count(&parts, o, "parts", 1, name, err);
    if (!st && (n->mwh < 0 || parts < 1 || !n->reason)) st = bad(o, name, "notes", "with kwh, parts and reason", err);
    n->n_parts = parts > 0 ? (size_t)parts : 0;
    return st;
}

static ac_status list_of(const ac_json **out, const ac_json *o, const char *key, const char *name, ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    *out = NULL;
    if (!v) return AC_OK;
    if (v->type != AC_JSON_ARRAY || v->n > PARTS_MAX) return bad(v, name, key, "a list", err);
    *out = v;
    return AC_OK;
}

/* The form before parts: one training and perhaps one scoring, without who and when. */
static ac_status old_form(ac_cost_run *r, const ac_json *o, const char *name, ac_arena *a, ac_err *err)
{
    const ac_json *ab = ac_json_get(o, "ab"), *from[] = { o, ab && ab->type == AC_JSON_OBJECT ? ab : NULL };
    static const char *const what[] = { "train", "ab" };
    r->part = ac_arena_alloc_array(a, 2, sizeof *r->part);
    if (!r->part) return ac_fail_nomem(err, 2 * sizeof *r->part);
    for (size_t i = 0; i < 2 && from[i]; i++) {
        ac_cost_part *p = &r->part[r->n_parts];
        *p = (ac_cost_part){ .what = what[i], .outcome = "done", .gain = NAN, .wall_from = "measured", .began_s = -1,
                             .mwh = AC_COST_UNKNOWN, .gpu_ms = AC_COST_UNKNOWN, .tokens = AC_COST_UNKNOWN, .opened_ms = 0,
                             .method = "not measured", .why = "an earlier version measured none" };
        ac_status st = get_count(&p->wall_ms, from[i], "wall_seconds", 1e3, name, err);
        if (!st) st = get_count(&p->cpu_ms, from[i], "cpu_seconds", 1e3, name, err);
        if (!st) st = get_count(&p->peak_bytes, from[i], "peak_rss_bytes", 1, name, err);
        if (st) return st;
        if (p->wall_ms >= 0 || p->cpu_ms >= 0) r->n_parts++;
    }
    return AC_OK;
}

static ac_status parse_tree(ac_cost_run *r, const ac_json *o, const char *name, ac_arena *a, ac_err *err)
{
    const ac_json *parts, *notes;
    if (o->type != AC_JSON_OBJECT) return bad(o, name, "cost", "an object", err);
    if (!ac_json_get(o, "parts")) return old_form(r, o, name, a, err);
    ac_status st = list_of(&parts, o, "parts", name, err);
    if (!st) st = list_of(&notes, o, "notes", name, err);
    if (st) return st;
    r->part = ac_arena_alloc_array(a, (size_t)parts->n + 1, sizeof *r->part);
    r->note = ac_arena_alloc_array(a, (notes ? (size_t)notes->n : 0) + 1, sizeof *r->note);
    if (!r->part || !r->note) return ac_fail_nomem(err, ((size_t)parts->n + 1) * sizeof *r->part);
    for (const ac_json *v = parts->child; v && !st; v = v->next) st = part_of(&r->part[r->n_parts++], v, name, a, err);
    for (const ac_json *v = notes ? notes->child : NULL; v && !st; v = v->next) st = note_of(&r->note[r->n_notes++], v, name, a, err);
    if (!st) st = get_text(&r->project, o, "project", name, a, err);
    return st ? st : get_text(&r->tags, o, "tags", name, a, err);
}

ac_status ac_cost_parse(ac_cost_run *out, ac_view text, const char *name, ac_arena *a, ac_err *err)
{
    const ac_json_limits lim = { .max_bytes = COST_MAX_BYTES };
    const ac_json *o = NULL;
    *out = (ac_cost_run){ .gain = NAN };
    const ac_status st = ac_json_parse(&o, text, a, name, 1, &lim, err);
    return st ? st : parse_tree(out, o, name, a, err);
}

ac_status ac_cost_parse_line(ac_cost_part *out, ac_view line, const char *name, size_t number, ac_arena *a, ac_err *err)
{
    const ac_json *o = NULL;
    char place[300];
    (void)snprintf(place, sizeof place, "%.250s:%zu", name, number);
    ac_status st = ac_json_parse(&o, line, a, name, number, NULL, err);
    if (!st) st = part_of(out, o, place, a, err);
    if (st) return st;
    rates_from(&out->rates, ac_json_get(o, "rates"), a);
    ac_cost_money_of(&out->money, out);
    return AC_OK;
}

/* ---- a run ---- */

/* The object in a run's file; NULL when it is absent or unreadable: then less is known. */
static ac_status optional(const ac_json **out, const char *dir, const char *file, ac_arena *a, ac_err *err)
{
    const ac_json_limits lim = { .max_bytes = JSON_MAX_BYTES };
    const char *path = ac_path_join(a, dir, file);
    ac_err own = { "" };
    *out = NULL;
    if (!path) return ac_fail_nomem(err, 128);
    if (!ac_path_exists(path)) return AC_OK;
    const ac_status st = ac_json_parse_file(out, path, a, &lim, &own);
    if (st == AC_ENOMEM) return ac_fail(err, st, "%s", own.text);
    if (st || (*out)->type != AC_JSON_OBJECT) *out = NULL;
    return AC_OK;
}

/* The tuned arm's net points over base. */
static double gain_of(const ac_json *verdict)
{
    const ac_json *list = ac_json_get(verdict, "comparisons");
    for (const ac_json *c = list && list->type == AC_JSON_ARRAY ? list->child : NULL; c; c = c->next) {
        const ac_json *arm = ac_json_get(c, "arm"), *against = ac_json_get(c, "against"), *net = ac_json_get(c, "net_points");
        if (arm && against && net && arm->type == AC_JSON_STRING && against->type == AC_JSON_STRING && net->type == AC_JSON_NUMBER
            && ac_view_eq_str(arm->text, "tuned") && ac_view_eq_str(against->text, "base"))
            return net->number;
    }
    return NAN;
}

static const char *id_of(const char *dir)
{
    const char *slash = strrchr(dir, '/');
    return slash ? slash + 1 : dir;
}

typedef struct {
    const ac_json *run, *lock, *verdict, *env;
} records;

static ac_status read_records(records *f, ac_cost_run *r, ac_arena *a, ac_err *err)
{
    ac_status st = optional(&f->run, r->dir, "run.json", a, err);
    if (!st) st = optional(&f->lock, r->dir, "lock.json", a, err);
    if (!st) st = optional(&f->verdict, r->dir, "verdict.json", a, err);
    if (!st) st = optional(&f->env, r->dir, "env.json", a, err);
    if (st) return st;
    const ac_json *cost = ac_json_get(ac_json_get(f->lock, "values"), "cost");
    r->state = text_of(f->run, "state", a);
    r->lock = text_of(f->run, "lock", a);
    r->verdict = text_of(f->verdict, "verdict", a);
    r->gain = gain_of(f->verdict);
    ac_cost_rates_of(&r->rates, f->lock, a);
    if (!r->project) r->project = text_of(cost, "project", a);
    if (!r->tags) r->tags = text_of(cost, "tags", a);
    return AC_OK;
}

/* A run without a book: what run.json says of it, and its end is looked for (C5). */
static ac_status from_records(ac_cost_run *r, const records *f, ac_arena *a, ac_err *err)
{
    const ac_json *cpu = ac_json_get(f->run, "cpu_seconds"), *peak = ac_json_get(f->run, "peak_rss_bytes");
    const bool over = r->state && strcmp(r->state, "training") != 0;
    ac_cost_part *p = ac_arena_alloc(a, sizeof *p);
    if (!p) return ac_fail_nomem(err, sizeof *p);
    if (!f->run) return AC_OK;                              /* nothing began */
    *p = (ac_cost_part){ .what = "train", .gain = NAN, .wall_ms = AC_COST_UNKNOWN, .gpu_ms = AC_COST_UNKNOWN, .opened_ms = 0,
                         .tokens = AC_COST_UNKNOWN, .mwh = AC_COST_UNKNOWN, .method = "not measured", .why = "nothing was written of it" };
    p->cpu_ms = over && cpu && cpu->type == AC_JSON_NUMBER && cpu->number >= 0 && cpu->number < MOST / 1e3 ? llround(cpu->number * 1e3)
                                                                                                      : AC_COST_UNKNOWN;
    p->peak_bytes = peak && peak->type == AC_JSON_NUMBER && peak->number >= 0 && peak->number < MOST ? llround(peak->number) : AC_COST_UNKNOWN;
    p->began = text_of(f->run, "started", a);
    p->ended = over ? text_of(f->run, "finished", a) : NULL;
    p->outcome = over ? r->state : NULL;
    r->part = p;
    r->n_parts = 1;
    begun_at(p);
    return AC_OK;
}

/* What older forms lack, and what belongs to the run as a whole. */
static void inherit(ac_cost_run *r, const records *f, ac_arena *a)
{
    const char *host = text_of(ac_json_get(f->env, "machine"), "host", a), *started = text_of(f->run, "started", a);
    const char *scored = text_of(f->verdict, "utc", a);
    for (size_t i = 0; i < r->n_parts; i++) {
        ac_cost_part *p = &r->part[i];
        if (!p->began) p->began = strcmp(p->what, "ab") == 0 ? scored : started;
        if (p->began_s <= 0) begun_at(p);
        if (!p->host) p->host = host;
        p->run = r->id;
        p->lock = r->lock;
        p->project = r->project;
        p->tags = r->tags;
        p->state = r->state;
        p->verdict = r->verdict;
        p->gain = r->gain;
        p->rates = r->rates;
        ac_cost_money_of(&p->money, p);
    }
}

ac_status ac_cost_run_raw(ac_cost_run *out, ac_arena *a, const char *dir, ac_err *err)
{
    ac_cost_run r = { .dir = ac_arena_strndup(a, dir, strlen(dir)), .gain = NAN };
    records f = { .run = NULL };
    ac_view text = { NULL, 0 };
    const char *path = ac_path_join(a, dir, "cost.json");
    if (!r.dir || !path) return ac_fail_nomem(err, 128);
    r.id = id_of(r.dir);
    ac_status st = AC_OK;
    if (ac_path_exists(path)) {
        st = ac_file_read_arena(&text, a, path, COST_MAX_BYTES, err);
        const char *own_dir = r.dir, *id = r.id;
        if (!st) st = ac_cost_parse(&r, text, path, a, err);
        r.dir = own_dir;
        r.id = id;
    }
    if (!st) st = read_records(&f, &r, a, err);
    if (!st && !r.n_parts) st = from_records(&r, &f, a, err);
    if (st) return st;
    inherit(&r, &f, a);
    *out = r;
    return AC_OK;
}

/* ---- C5 ---- */

/* Seconds of the lines of metrics.jsonl behind `from`. */
static double metrics_seconds(const char *path, uint64_t from, int64_t *tokens)
{
    ac_lines *l = NULL;
    ac_view line;
    double sum = 0;
    if (ac_lines_open(&l, path, LINE_MAX_BYTES, NULL)) return 0;
    while (ac_lines_next(l, &line, NULL, NULL) == AC_OK && line.ptr) {
        ac_arena a = { 0 };
        const ac_json *o = NULL;
        if (ac_json_parse(&o, line, &a, "", 1, NULL, NULL) == AC_OK) {
            const ac_json *step = ac_json_get(o, "step"), *seconds = ac_json_get(o, "seconds"), *n = ac_json_get(o, "tokens");
            const bool ours = step && step->type == AC_JSON_NUMBER && step->number > (double)from;
            if (ours && seconds && seconds->type == AC_JSON_NUMBER && seconds->number > 0 && seconds->number < 1e9) sum += seconds->number;
            if (ours && n && n->type == AC_JSON_NUMBER && n->number > 0 && n->number < 1e9) *tokens += (int64_t)n->number;
        }
        ac_arena_release(&a);
    }
    ac_lines_close(&l);
    return sum < MOST / 1e3 ? sum : 0;
}

/* How long the guard saw it, when the last of its sessions is this part's. */
static double guard_seconds(const char *path, uint64_t from, double *cpu)
{
    ac_tel t = { .until = 0 };
    double seconds = 0;
    if (ac_tel_read(&t, path, NULL) == AC_OK && t.n_sessions) {
        const ac_tel_session *s = &t.session[t.n_sessions - 1];
        if (s->resumed_at == from) {
            seconds = s->until - s->from;
            if (t.last.sample && t.last.cpu_seconds > 0) *cpu = t.last.cpu_seconds;
        }
    }
    ac_tel_release(&t);
    return seconds > 0 && seconds < MOST / 1e3 ? seconds : 0;
}

ac_status ac_cost_complete(ac_cost_part *p, const char *dir, ac_arena *a, ac_err *err)
{
    const char *metrics = ac_path_join(a, dir, "metrics.jsonl"), *guard = ac_path_join(a, dir, AC_TELEMETRY_FILE);
    const bool train = strcmp(p->what, "train") == 0;
    int64_t tokens = 0;
    double cpu = 0;
    if (!metrics || !guard) return ac_fail_nomem(err, 128);
    if (!train || (p->outcome && p->wall_ms >= 0)) return AC_OK;
    const double opened = p->opened_ms > 0 ? (double)p->opened_ms / 1e3 : 0;
    const double by_metrics = opened + metrics_seconds(metrics, p->from_step, &tokens);
    const double by_guard = opened + guard_seconds(guard, p->from_step, &cpu);
    const int64_t own = p->wall_ms, best = llround(1e3 * (by_guard > by_metrics ? by_guard : by_metrics));
    if (best > own && best > 0) {
        p->wall_ms = best;
        p->wall_from = by_guard > by_metrics ? "counted up to the guard's last line" : "counted up to the last line of metrics.jsonl";
    } else if (own >= 0) {
        p->wall_from = "counted up to the last checkpoint";
    }
    if (cpu > 0 && cpu < MOST / 1e3 && llround(cpu * 1e3) > p->cpu_ms) p->cpu_ms = llround(cpu * 1e3);
    if (tokens > p->tokens) p->tokens = tokens;
    if (p->mwh >= 0 && p->wall_ms > own) p->energy_at_least = true;
    return AC_OK;
}

ac_status ac_cost_run_read(ac_cost_run *out, ac_arena *a, const char *dir, ac_err *err)
{
    ac_cost_run r = { .gain = NAN };
    ac_status st = ac_cost_run_raw(&r, a, dir, err);
    for (size_t i = 0; i < r.n_parts && !st; i++) {
        st = ac_cost_complete(&r.part[i], dir, a, err);
        if (!st) ac_cost_money_of(&r.part[i].money, &r.part[i]);
    }
    if (st) return st;
    ac_cost_apply_notes(&r);
    *out = r;
    return AC_OK;
}

/* ---- all of a project ---- */

typedef struct {
    ac_cost_part *part;
    size_t n, cap;
    ac_arena *a;
} list;

static ac_status push(list *l, const ac_cost_part *p, size_t n, ac_err *err)
{
    if (l->n + n > l->cap) {
        const size_t cap = (l->n + n) * 2 + 64;
        ac_cost_part *more = ac_arena_alloc_array(l->a, cap, sizeof *more);
        if (!more) return ac_fail_nomem(err, cap * sizeof *more);
        if (l->n) memcpy(more, l->part, l->n * sizeof *more);
        l->part = more;
        l->cap = cap;
    }
    if (n) memcpy(l->part + l->n, p, n * sizeof *p);
    l->n += n;
    return AC_OK;
}

static ac_status add_lines(list *l, const char *path, ac_str *bad_lines, ac_err *err)
{
    ac_lines *f = NULL;
    ac_view line;
    size_t number = 0;
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_lines_open(&f, path, LINE_MAX_BYTES, err);
    while (!st) {
        ac_cost_part p;
        ac_err one = { "" };
        st = ac_lines_next(f, &line, &number, err);
        if (st || !line.ptr) break;
        st = ac_cost_parse_line(&p, line, path, number, l->a, &one);
        if (!st) st = push(l, &p, 1, err);
        else if (st != AC_EFORMAT) (void)ac_fail(err, st, "%s", one.text);
        else {                                               /* torn by a power cut: the others still count */
            ac_str_appendf(bad_lines, "%s\n", one.text);
            st = AC_OK;
        }
    }
    ac_lines_close(&f);
    return st;
}

/* What belongs to a run that is here has its state and verdict, too. */
static void adopt(list *l, size_t from)
{
    for (size_t i = from; i < l->n; i++)
        for (size_t k = 0; l->part[i].run && k < from; k++)
            if (strcmp(l->part[k].run, l->part[i].run) == 0) {
                l->part[i].verdict = l->part[k].verdict;
                l->part[i].state = l->part[k].state;
                l->part[i].gain = l->part[k].gain;
                break;
            }
}

ac_status ac_cost_run_lines(ac_cost_run *r, ac_str *bad_lines, ac_arena *a, const char *project, ac_err *err)
{
    list all = { .a = a }, own = { .a = a };
    const char *path = ac_path_join(a, project, ".accord/cost.jsonl");
    ac_status st = path ? push(&own, r->part, r->n_parts, err) : ac_fail_nomem(err, 64);
    if (!st) st = add_lines(&all, path, bad_lines, err);
    for (size_t i = 0; i < all.n && !st; i++) {
        ac_cost_part *p = &all.part[i];
        if (!p->run || strcmp(p->run, r->id) != 0) continue;
        p->state = r->state;
        p->verdict = r->verdict;
        p->gain = r->gain;
        st = push(&own, p, 1, err);
    }
    if (st) return st;
    r->part = own.part;
    r->n_parts = own.n;
    return AC_OK;
}

static int by_time(const void *a, const void *b)
{
    const ac_cost_part *x = a, *y = b;
    if (x->began_s != y->began_s) return x->began_s < y->began_s ? -1 : 1;
    const int c = strcmp(x->run ? x->run : "", y->run ? y->run : "");
    return c ? c : x->from_step < y->from_step ? -1 : x->from_step > y->from_step;
}

ac_status ac_cost_read_all(ac_cost_part **out, size_t *n, ac_str *bad_runs, ac_arena *a, const char *project, ac_err *err)
{
    list l = { .a = a };
    ac_run_info *runs = NULL;
    size_t n_runs = 0;
    const char *own = ac_path_join(a, project, ".accord/cost.jsonl");
    if (!own) return ac_fail_nomem(err, 64);
    ac_status st = ac_runs_list(&runs, &n_runs, a, project, err);
    for (size_t i = 0; i < n_runs && !st; i++) {
        ac_cost_run r;
        ac_err one = { "" };
        st = ac_cost_run_read(&r, a, runs[i].path, &one);
        if (st == AC_ENOMEM) return ac_fail(err, st, "%s", one.text);
        if (st) ac_str_appendf(bad_runs, "%s\n", one.text);
        st = st ? AC_OK : push(&l, r.part, r.n_parts, err);
    }
    const size_t of_runs = l.n;
    if (!st) st = add_lines(&l, own, bad_runs, err);
    if (st) return st;
    adopt(&l, of_runs);
    if (l.n) qsort(l.part, l.n, sizeof *l.part, by_time);
    if (!ac_str_ok(bad_runs)) return ac_fail_nomem(err, bad_runs->len);
    *out = l.part;
    *n = l.n;
    return AC_OK;
}

/* ---- writing ---- */

static void count(ac_jw *w, const char *key, int64_t v, double scale)
{
    if (v < 0) ac_jw_null(w, key);
    else ac_jw_f64(w, key, (double)v / scale);
}

static void money_json(ac_jw *w, const ac_cost_part *p)
{
    ac_jw_object(w, "money");
    ac_jw_cstr(w, "currency", p->rates.currency);
    count(w, "rent", p->money.line[AC_COST_RENT], 1e6);
    count(w, "machine", p->money.line[AC_COST_MACHINE], 1e6);
    count(w, "energy", p->money.line[AC_COST_ENERGY], 1e6);
    count(w, "total", p->money.total, 1e6);
    ac_jw_cstr(w, "missing", p->money.missing);
    ac_jw_end_object(w);
}

static void rates_json(ac_jw *w, const ac_cost_rates *r)
{
    ac_jw_object(w, "rates");
    ac_jw_cstr(w, "currency", r->currency);
    ac_jw_f64(w, "machine_hour", r->machine_hour);
    ac_jw_f64(w, "machine_price", r->machine_price);
    ac_jw_f64(w, "machine_years", r->machine_years);
    ac_jw_f64(w, "machine_hours_a_year", r->machine_hours_a_year);
    ac_jw_f64(w, "kwh", r->kwh);
    ac_jw_f64(w, "watts", r->watts);
    ac_jw_f64(w, "node_hour", r->node_hour);
    ac_jw_f64(w, "node_speed", r->node_speed);
    ac_jw_end_object(w);
}

void ac_cost_part_json(ac_jw *w, const ac_cost_part *p, bool whole)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "what", p->what);
    if (whole) {
        ac_jw_cstr(w, "run", p->run);
        ac_jw_cstr(w, "project", p->project);
        ac_jw_cstr(w, "tags", p->tags);
        ac_jw_cstr(w, "lock", p->lock);
    }
    ac_jw_cstr(w, "began", p->began);
    ac_jw_cstr(w, "ended", p->ended);
    ac_jw_cstr(w, "outcome", p->outcome);
    ac_jw_cstr(w, "person", p->person);
    ac_jw_cstr(w, "user", p->user);
    ac_jw_cstr(w, "host", p->host);
    ac_jw_cstr(w, "device", p->device);
    ac_jw_cstr(w, "slurm_job", p->slurm_job);
    count(w, "wall_seconds", p->wall_ms, 1e3);
    ac_jw_cstr(w, "wall_from", p->wall_from);
    count(w, "cpu_seconds", p->cpu_ms, 1e3);
    count(w, "gpu_seconds", p->gpu_ms, 1e3);
    count(w, "peak_rss_bytes", p->peak_bytes, 1);
    count(w, "tokens", p->tokens, 1);
    ac_jw_u64(w, "from_step", p->from_step);
    count(w, "opened_seconds", p->opened_ms, 1e3);
    ac_jw_object(w, "energy");
    count(w, "kwh", p->mwh, 1e6);
    ac_jw_cstr(w, "method", p->method);
    ac_jw_cstr(w, "covers", p->covers);
    ac_jw_cstr(w, "why", p->why);
    ac_jw_bool(w, "at_least", p->energy_at_least);
    ac_jw_bool(w, "estimated", p->estimated);
    ac_jw_end_object(w);
    money_json(w, p);
    if (whole) rates_json(w, &p->rates);
    ac_jw_end_object(w);
}

/* The sums over all parts, for readers who want no more, with notes applied; the parts below stay as they were measured. */
static ac_status totals(ac_jw *w, const ac_cost_run *r, ac_arena *a, ac_err *err)
{
    ac_cost_run own = *r;
    ac_cost_sum s = { .key = NULL };
    ac_cost_money m = { .total = AC_COST_UNKNOWN };
    const char *method = NULL;
    own.part = ac_arena_alloc_array(a, r->n_parts + 1, sizeof *own.part);
    if (!own.part) return ac_fail_nomem(err, r->n_parts * sizeof *own.part);
    if (r->n_parts) memcpy(own.part, r->part, r->n_parts * sizeof *own.part);
    ac_cost_apply_notes(&own);
    ac_status st = AC_OK;
    for (size_t i = 0; i < own.n_parts && !st; i++) {
        const ac_cost_part *p = &own.part[i];
        st = ac_cost_add(&s, p, err);
        if (p->money.missing) m.missing = p->money.missing;
        method = !method || (p->method && strcmp(method, p->method) == 0) ? p->method : "several, see parts";
    }
    if (st) return st;
    count(w, "wall_seconds", s.no_wall == s.n_parts ? AC_COST_UNKNOWN : s.wall_ms, 1e3);
    count(w, "cpu_seconds", s.no_cpu == s.n_parts ? AC_COST_UNKNOWN : s.cpu_ms, 1e3);
    count(w, "gpu_seconds", s.gpu_ms, 1e3);
    count(w, "peak_rss_bytes", s.peak_bytes, 1);
    count(w, "energy_kwh", s.no_energy == s.n_parts ? AC_COST_UNKNOWN : s.mwh, 1e6);
    ac_jw_cstr(w, "energy_method", method);
    count(w, "money", s.n_money ? s.money[0].micro : AC_COST_UNKNOWN, 1e6);
    ac_jw_cstr(w, "currency", r->rates.currency);
    ac_jw_cstr(w, "missing", m.missing);
    return AC_OK;
}

ac_status ac_cost_run_write(const ac_cost_run *r, ac_err *err)
{
    ac_arena a = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "format", 2);
    ac_jw_cstr(&w, "run", r->id);
    ac_jw_cstr(&w, "project", r->project);
    ac_jw_cstr(&w, "tags", r->tags);
    ac_jw_cstr(&w, "verdict", r->verdict);
    ac_status st = totals(&w, r, &a, err);
    ac_jw_array(&w, "parts");
    for (size_t i = 0; i < r->n_parts; i++) ac_cost_part_json(&w, &r->part[i], false);
    ac_jw_end_array(&w);
    ac_jw_array(&w, "notes");
    for (size_t i = 0; i < r->n_notes; i++) {
        ac_jw_object(&w, NULL);
        ac_jw_cstr(&w, "utc", r->note[i].utc);
        ac_jw_cstr(&w, "by", r->note[i].by);
        count(&w, "kwh", r->note[i].mwh, 1e6);
        ac_jw_u64(&w, "parts", r->note[i].n_parts);
        ac_jw_cstr(&w, "reason", r->note[i].reason);
        ac_jw_end_object(&w);
    }
    ac_jw_end_array(&w);
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    const char *path = ac_path_join(&a, r->dir, "cost.json");
    if (!st && (!path || !ac_str_ok(&s))) st = ac_fail_nomem(err, s.len);
    if (!st) st = ac_file_write_atomic(path, s.ptr, s.len, err);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}

ac_status ac_cost_append(const char *project, const ac_cost_part *p, ac_err *err)
{
    ac_arena a = { 0 };
    ac_appender *f = NULL;
    ac_str s = { 0 };
    ac_jw w;
    const char *dir = ac_path_join(&a, project, ".accord"), *path = dir ? ac_path_join(&a, dir, "cost.jsonl") : NULL;
    ac_jw_init(&w, &s, false);
    ac_cost_part_json(&w, p, true);
    ac_status st = path && ac_str_ok(&s) ? ac_mkdir_p(dir, err) : ac_fail_nomem(err, s.len);
    if (!st) st = ac_appender_open(&f, path, err);
    if (!st) st = ac_appender_line(f, ac_str_view(&s), err);
    if (!st) st = ac_appender_sync(f, err);
    ac_appender_close(&f);
    ac_str_release(&s);
    ac_arena_release(&a);
    return st;
}
