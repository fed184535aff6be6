/* What goes into a bundle of evidence: records of the run, and summaries of them. */
#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/evidence.h"
#include "cli/project.h"
#include "cli/timing.h"
#include "ledger/ledger.h"

#define FILE_MAX ((size_t)256 << 20)
#define LINE_MAX_BYTES ((size_t)1 << 20)

void ac_evidence_release(ac_evidence *e)
{
    ac_arena_release(&e->arena);
}

const ac_json *ac_ev_get(const ac_json *o, const char *a, const char *b)
{
    const ac_json *v = o ? ac_json_get(o, a) : NULL;
    return v && b ? ac_json_get(v, b) : v;
}

ac_view ac_ev_text(const ac_json *o, const char *key, const char *otherwise)
{
    const ac_json *v = ac_ev_get(o, key, NULL);
    return v && v->type == AC_JSON_STRING ? v->text : ac_view_of(otherwise);
}

double ac_ev_number(const ac_json *o, const char *key, double otherwise)
{
    const ac_json *v = ac_ev_get(o, key, NULL);
    return v && v->type == AC_JSON_NUMBER ? v->number : otherwise;
}

const ac_ev_file *ac_ev_find(const ac_evidence *e, const char *name)
{
    for (size_t i = 0; i < e->n; i++)
        if (strcmp(e->file[i].name, name) == 0) return &e->file[i];
    return NULL;
}

ac_status ac_ev_add(ac_evidence *e, const char *name, ac_view bytes, ac_err *err)
{
    if (e->n == AC_COUNTOF(e->file) || ac_ev_find(e, name))
        return ac_fail(err, AC_EFORMAT, "%s: too many files for a bundle of evidence, or twice the same", name);
    ac_ev_file *f = &e->file[e->n];
    f->name = ac_arena_strndup(&e->arena, name, strlen(name));
    f->bytes = (ac_view){ ac_arena_strndup(&e->arena, bytes.ptr, bytes.len), bytes.len };
    if (!f->name || !f->bytes.ptr) return ac_fail_nomem(err, bytes.len);
    const ac_sha256 h = ac_sha256_of(bytes.ptr, bytes.len);
    ac_sha256_hex(f->hex, &h);
    e->n++;
    return AC_OK;
}

/* A finished text becomes a file. */
static ac_status add_str(ac_evidence *e, const char *name, const ac_str *s, ac_err *err)
{
    return ac_str_ok(s) ? ac_ev_add(e, name, ac_str_view(s), err) : ac_fail_nomem(err, s->len);
}

/* A JSON file of the run as it is; *out stays NULL where it is optional and absent. */
static ac_status take_json(ac_evidence *e, const ac_json **out, const char *name, bool needed, bool add, ac_view *text,
                           ac_err *err)
{
    const ac_json_limits limits = { .max_bytes = FILE_MAX };
    char *path = NULL;
    ac_status st = ac_run_path(&path, &e->arena, e->dir, name, err);
    if (st || (!needed && !ac_path_exists(path))) return st;
    st = ac_file_read_arena(text, &e->arena, path, FILE_MAX, err);
    if (!st) st = ac_json_parse(out, *text, &e->arena, path, 1, &limits, err);
    return !st && add ? ac_ev_add(e, name, *text, err) : st;
}

/* ---- the verdict, without words --------------------------------------------------------------------------------- */

static bool is_word(ac_view key)
{
    static const char *const words[] = { "turns", "ideal", "text", "why", "passages" };
    for (size_t i = 0; i < AC_COUNTOF(words); i++)
        if (ac_view_eq_str(key, words[i])) return true;
    return false;
}

static void copy_answers(ac_str *s, const ac_json *o);

static void copy_members(ac_str *s, const ac_json *o, bool inside_case)
{
    size_t n = 0;
    ac_str_append_char(s, '{');
    for (const ac_json *c = o->child; c; c = c->next) {
        if (is_word(c->key)) continue;
        ac_str_append_c(s, n++ ? ", " : "");
        ac_json_quote(s, c->key);
        ac_str_append_c(s, ": ");
        if (inside_case && ac_view_eq_str(c->key, "answers") && c->type == AC_JSON_OBJECT) copy_answers(s, c);
        else ac_json_write(s, c);
    }
    ac_str_append_char(s, '}');
}

/* {"arm": {answer}, ..} */
static void copy_answers(ac_str *s, const ac_json *o)
{
    size_t n = 0;
    ac_str_append_char(s, '{');
    for (const ac_json *c = o->child; c; c = c->next) {
        ac_str_append_c(s, n++ ? ", " : "");
        ac_json_quote(s, c->key);
        ac_str_append_c(s, ": ");
        if (c->type == AC_JSON_OBJECT) copy_members(s, c, false);
        else ac_json_write(s, c);
    }
    ac_str_append_char(s, '}');
}

static ac_status add_verdict(ac_evidence *e, ac_view whole, bool words, ac_err *err)
{
    ac_str s = { 0 };
    size_t n = 0;
    if (words) return ac_ev_add(e, "verdict.json", whole, err);
    ac_str_append_c(&s, "{");
    for (const ac_json *c = e->verdict->child; c; c = c->next) {
        ac_str_append_c(&s, n++ ? ",\n  " : "\n  ");
        ac_json_quote(&s, c->key);
        ac_str_append_c(&s, ": ");
        if (!ac_view_eq_str(c->key, "by_case") || c->type != AC_JSON_ARRAY) {
            ac_json_write(&s, c);
            continue;
        }
        ac_str_append_char(&s, '[');
        for (const ac_json *k = c->child; k; k = k->next) {
            ac_str_append_c(&s, k == c->child ? "\n    " : ",\n    ");
            copy_members(&s, k, true);
        }
        ac_str_append_c(&s, "\n  ]");
    }
    ac_str_append_c(&s, "\n}\n");
    const ac_status st = add_str(e, "verdict.json", &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- hashes and telemetry --------------------------------------------------------------------------------------- */

static ac_status add_hashes(ac_evidence *e, ac_err *err)
{
    const ac_json *sealed = ac_json_get(e->lock, "sealed");
    ac_str s = { 0 };
    ac_jw w;
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "lock", e->lock_hex);
    ac_jw_object(&w, "inputs");
    for (const ac_json *c = sealed ? sealed->child : NULL; c; c = c->next) {
        ac_jw_object(&w, c->key.ptr);
        ac_jw_str(&w, "path", ac_ev_text(c, "path", ""));
        ac_jw_str(&w, "sha256", ac_ev_text(c, "sha256", ""));
        ac_jw_end_object(&w);
    }
    ac_jw_end_object(&w);
    ac_jw_str(&w, "adapter_sha256", ac_ev_text(e->run, "adapter_sha256", ""));
    ac_jw_str(&w, "trace_sha256", ac_ev_text(e->run, "trace_sha256", ""));
    ac_jw_cstr(&w, "verdict_with_words_sha256", e->verdict_hex);
    ac_jw_object(&w, e->folder);
    for (const ac_json *c = e->adapter->child; c; c = c->next) ac_jw_str(&w, c->key.ptr, c->text);
    ac_jw_end_object(&w);
    ac_jw_object(&w, "audit");
    ac_jw_u64(&w, "records", e->records);
    ac_jw_cstr(&w, "head", e->head);
    ac_jw_end_object(&w);
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    const ac_status st = add_str(e, "hashes.json", &s, err);
    ac_str_release(&s);
    return st;
}

typedef struct {
    uint64_t steps, evals, undone;
    double tokens, supervised, first, last, best_valid, seconds, grad_max;
} summary;

static void take_line(summary *m, const ac_json *o)
{
    const double loss = ac_ev_number(o, "loss", (double)NAN), grad = ac_ev_number(o, "grad_norm", 0);
    const ac_json *undone = ac_json_get(o, "undone");
    m->seconds += ac_ev_number(o, "seconds", 0);
    if (ac_view_eq_str(ac_ev_text(o, "event", ""), "eval")) {
        m->evals++;
        if (!(m->best_valid <= loss)) m->best_valid = loss;
        return;
    }
    if (m->steps++ == 0) m->first = loss;
    m->last = loss;
    if (grad > m->grad_max) m->grad_max = grad;
    m->undone += undone && undone->type == AC_JSON_BOOL && undone->boolean;
    m->tokens += ac_ev_number(o, "tokens", 0);
    m->supervised += ac_ev_number(o, "supervised_tokens", 0);
}

static ac_status read_metrics(summary *m, ac_evidence *e, ac_err *err)
{
    char *path = NULL;
    ac_lines *l = NULL;
    ac_view line;
    size_t number;
    ac_status st = ac_run_path(&path, &e->arena, e->dir, "metrics.jsonl", err);
    *m = (summary){ .first = (double)NAN, .last = (double)NAN, .best_valid = (double)NAN };
    if (st || !ac_path_exists(path)) return st;
    st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st && !(st = ac_lines_next(l, &line, &number, err)) && line.ptr) {
        ac_arena scratch = { 0 };
        const ac_json *o = NULL;
        st = ac_json_parse(&o, line, &scratch, path, number, NULL, err);
        if (!st) take_line(m, o);
        ac_arena_release(&scratch);
    }
    ac_lines_close(&l);
    return st;
}

static ac_status add_telemetry(ac_evidence *e, ac_err *err)
{
    summary m;
    ac_run_void timing = { 0 };
    ac_str s = { 0 };
    ac_jw w;
    ac_status st = read_metrics(&m, e, err);
    if (!st) st = ac_run_void_read(&timing, &e->arena, e->dir, err);
    if (st) return st;
    ac_jw_init(&w, &s, true);
    ac_jw_object(&w, NULL);
    ac_jw_u64(&w, "steps", m.steps);
    ac_jw_u64(&w, "undone_steps", m.undone);
    ac_jw_u64(&w, "validations", m.evals);
    ac_jw_f64(&w, "first_loss", m.first);
    ac_jw_f64(&w, "last_loss", m.last);
    ac_jw_f64(&w, "best_valid_loss", m.best_valid);
    ac_jw_f64(&w, "largest_gradient_norm", m.grad_max);
    ac_jw_f64(&w, "tokens", m.tokens);
    ac_jw_f64(&w, "supervised_tokens", m.supervised);
    ac_jw_f64(&w, "seconds", m.seconds);
    ac_jw_f64(&w, "peak_rss_bytes", ac_ev_number(e->run, "peak_rss_bytes", (double)NAN));
    ac_jw_f64(&w, "cpu_seconds", ac_ev_number(e->run, "cpu_seconds", (double)NAN));
    ac_timing_json(&w, &timing);
    ac_jw_str(&w, "cpu", ac_ev_text(e->run, "cpu", "unknown"));
    ac_jw_str(&w, "tier", ac_ev_text(e->run, "tier", "unknown"));
    ac_jw_end_object(&w);
    ac_str_append_char(&s, '\n');
    st = add_str(e, "telemetry.json", &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- the chain's records of this run and lock ------------------------------------------------------------------- */

static bool about_us(const ac_evidence *e, const ac_json *o)
{
    return ac_view_eq_str(ac_ev_text(o, "run", ""), e->id) || ac_view_eq_str(ac_ev_text(o, "lock", ""), e->lock_hex);
}

/* From our first record to the head: ours whole, of the others only what links them. */
static ac_status add_line(ac_evidence *e, ac_str *s, ac_view line, size_t number, bool *begun, ac_err *err)
{
    ac_arena scratch = { 0 };
    const ac_json *o = NULL;
    const ac_status st = ac_json_parse(&o, line, &scratch, ".accord/audit.jsonl", number, NULL, err);
    if (!st && about_us(e, o)) {
        *begun = true;
        ac_str_append(s, line);
        ac_str_append_char(s, '\n');
    } else if (!st && *begun) {
        const ac_view hash = ac_ev_text(o, "hash", ""), prev = ac_ev_text(o, "prev", "");
        ac_str_appendf(s, "{\"elided\":true,\"hash\":\"" AC_VIEW_FMT "\",\"prev\":\"" AC_VIEW_FMT "\",\"seq\":%zu}\n",
                       AC_VIEW_ARG(hash), AC_VIEW_ARG(prev), number);
    }
    ac_arena_release(&scratch);
    return st;
}

static ac_status add_chain(ac_evidence *e, ac_err *err)
{
    ac_audit_head head = { .count = 0 };
    ac_lines *l = NULL;
    ac_view line;
    ac_str s = { 0 };
    size_t number;
    bool begun = false;
    ac_status st = ac_audit_verify(".", &head, err);
    if (st) return ac_err_prefix(err, st, "the audit chain");
    e->records = head.count;
    ac_sha256_hex(e->head, &head.head);
    if (head.count) st = ac_lines_open(&l, ".accord/audit.jsonl", LINE_MAX_BYTES, err);
    while (!st && l && !(st = ac_lines_next(l, &line, &number, err)) && line.ptr)
        st = add_line(e, &s, line, number, &begun, err);
    ac_lines_close(&l);
    if (!st && !begun)
        st = ac_fail(err, AC_EFORMAT, "the audit chain here has no record of run %s; evidence is made in the project whose chain "
                     "has it", e->id);
    if (!st) st = add_str(e, "audit.jsonl", &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- all of it -------------------------------------------------------------------------------------------------- */

static ac_status check_run(ac_evidence *e, ac_view lock_text, ac_err *err)
{
    const ac_sha256 h = ac_sha256_of(lock_text.ptr, lock_text.len);
    ac_sha256_hex(e->lock_hex, &h);
    if (!ac_view_eq_str(ac_ev_text(e->run, "state", ""), "trained"))
        return ac_fail(err, AC_EREFUSED, "run %s is not trained (state: " AC_VIEW_FMT "), so there is nothing to give evidence of",
                       e->id, AC_VIEW_ARG(ac_ev_text(e->run, "state", "none")));
    if (!e->verdict)
        return ac_fail(err, AC_EREFUSED, "run %s has no verdict yet; run: accord ab", e->id);
    if (!ac_view_eq_str(ac_ev_text(e->run, "lock", ""), e->lock_hex)
        || !ac_view_eq_str(ac_ev_text(e->verdict, "lock", ""), e->lock_hex))
        return ac_fail(err, AC_ECONTRACT, "run %s: run.json or verdict.json is of another lock than its lock.json", e->id);
    if (!ac_view_eq(ac_ev_text(e->run, "adapter_sha256", "?"), ac_ev_text(e->verdict, "adapter_sha256", "!")))
        return ac_fail(err, AC_ECONTRACT, "run %s: the verdict is about another adapter than the run's; run: accord ab", e->id);
    return AC_OK;
}

static ac_status hash_adapter(ac_evidence *e, ac_err *err)
{
    ac_str s = { 0 };
    char *path = NULL;
    ac_status st = ac_run_path(&path, &e->arena, e->dir, "adapter", err);
    if (st) return st;
    e->folder = ac_path_is_dir(path) ? "adapter" : "model";
    st = ac_run_files_json(&s, e->dir, e->folder, err);
    if (!st) st = ac_json_parse(&e->adapter, ac_str_view(&s), &e->arena, "hashes", 1, NULL, err);
    ac_str_release(&s);
    return st;
}

ac_status ac_ev_collect(ac_evidence *e, const char *run, bool words, ac_err *err)
{
    char *dir = NULL;
    ac_view lock = { NULL, 0 }, verdict = { NULL, 0 }, text;
    ac_utc_iso(e->utc, ac_utc_ns());
    ac_status st = ac_run_find(&dir, &e->arena, ".", run, err);
    if (st) return st;
    e->dir = dir;
    e->id = ac_run_id(dir);
    st = take_json(e, &e->lock, "lock.json", true, true, &lock, err);
    if (!st) st = take_json(e, &e->run, "run.json", true, true, &text, err);
    if (!st) st = take_json(e, &e->verdict, "verdict.json", false, false, &verdict, err);
    if (!st) st = check_run(e, lock, err);
    if (st) return st;
    const ac_sha256 h = ac_sha256_of(verdict.ptr, verdict.len);
    ac_sha256_hex(e->verdict_hex, &h);
    st = add_verdict(e, verdict, words, err);
    if (!st) st = take_json(e, &e->cost, "cost.json", false, true, &text, err);
    if (!st) st = take_json(e, &e->env, "env.json", false, true, &text, err);
    if (!st) st = hash_adapter(e, err);
    if (!st) st = add_chain(e, err);
    if (!st) st = add_hashes(e, err);
    return st ? st : add_telemetry(e, err);
}
