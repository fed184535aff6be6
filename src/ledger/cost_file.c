/* cost.json and .accord/cost.jsonl: docs/formats/run.md. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "ledger/cost.h"

#define COST_MAX_BYTES ((size_t)16 << 20)
#define JSON_MAX_BYTES ((size_t)256 << 20)
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
