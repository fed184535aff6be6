#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/hash.h"
#include "base/time.h"
#include "cli/plan.h"
#include "ledger/ledger.h"

#define LINE_MAX_BYTES ((size_t)64 << 10)

/* ---- earlier runs ---- */

static bool is_text(const ac_json *o, const char *key, const char *want)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_STRING && ac_view_eq_str(v->text, want);
}

static double number(const ac_json *o, const char *key)
{
    const ac_json *v = ac_json_get(o, key);
    return v && v->type == AC_JSON_NUMBER ? v->number : (double)NAN;
}

typedef struct {
    double steps, step_seconds, tokens, evals, eval_seconds;
} past;

static ac_status read_metrics(past *out, const char *path, ac_err *err)
{
    ac_lines *l = NULL;
    ac_view line;
    past p = { 0 };
    size_t n = 0;
    if (!ac_path_exists(path)) return AC_OK;
    ac_status st = ac_lines_open(&l, path, LINE_MAX_BYTES, err);
    while (!st) {
        ac_arena a = { 0 };
        const ac_json *o = NULL;
        st = ac_lines_next(l, &line, &n, err);
        if (st || !line.ptr) break;
        if (ac_json_parse(&o, line, &a, path, n, NULL, NULL)) {          /* a last line that was cut off */
            ac_arena_release(&a);
            break;
        }
        const double seconds = number(o, "seconds"), tokens = number(o, "tokens");
        if (is_text(o, "event", "step") && seconds >= 0 && tokens > 0) {
            p.steps++;
            p.step_seconds += seconds;
            p.tokens += tokens;
        } else if (is_text(o, "event", "eval") && seconds >= 0) {
            p.evals++;
            p.eval_seconds += seconds;
        }
        ac_arena_release(&a);
    }
    ac_lines_close(&l);
    if (!st) *out = p;
    return st;
}

/* The same model, method and machine. */
static bool is_alike(const ac_json *run, const ac_cli *cli, const ac_contract_values *v)
{
    const double threads = cli->threads ? (double)cli->threads : (double)ac_cpu_count();
    const double had = number(run, "threads");
    return is_text(run, "base_model", v->base_model) && is_text(run, "method", v->tune) && is_text(run, "cpu", ac_cpu_model()) &&
           had >= threads && had <= threads;
}

static void take(ac_plan *p, const past *x)
{
    p->time.train_seconds = x->step_seconds / x->tokens * (double)p->time.tokens;
    if (x->evals > 0) p->time.eval_seconds = x->eval_seconds / x->evals;
}

ac_status ac_plan_from_past(ac_plan *p, ac_cli *cli, const ac_contract_values *v, ac_arena *a, ac_err *err)
{
    ac_run_info *list = NULL;
    size_t n = 0;
    ac_status st = ac_runs_list(&list, &n, a, ".", err);
    for (size_t i = n; i-- > 0 && !st && !p->time_from;) {               /* oldest first: from the end */
        const char *run = ac_path_join(a, list[i].path, "run.json"), *metrics = ac_path_join(a, list[i].path, "metrics.jsonl");
        const ac_json *o = NULL;
        past x = { 0 };
        if (!run || !metrics) return ac_fail_nomem(err, 256);
        if (ac_json_parse_file(&o, run, a, NULL, NULL) || !is_alike(o, cli, v)) continue;
        st = read_metrics(&x, metrics, err);
        if (st || x.steps < 2) continue;
        take(p, &x);
        p->time_from = ac_arena_printf(a, "%.0f steps of run %s", x.steps, list[i].id);
        if (!p->time_from) return ac_fail_nomem(err, 64);
    }
    return st;
}

/* ---- the disk ---- */

#define PROBE_MOST ((size_t)32 << 20)
#define FILES_A_CHECKPOINT 5

/* Written, synced, named, read back twice: what a checkpoint does to each of its files. */
static bool probe(double *seconds, const char *path, const void *data, size_t len)
{
    ac_sha256 h;
    const int64_t start = ac_mono_ns();
    if (ac_file_write_atomic(path, data, len, NULL) || ac_sha256_file(&h, path, NULL) || ac_sha256_file(&h, path, NULL)) return false;
    *seconds = (double)(ac_mono_ns() - start) * 1e-9;
    return true;
}

double ac_plan_save_seconds(double bytes)
{
    const size_t len = bytes < (double)PROBE_MOST ? (size_t)bytes : PROBE_MOST;
    const char *path = ac_path_is_dir(".accord") ? ".accord/plan.probe" : ".accord-plan.probe";
    double small = 0, large = 0, seconds = (double)NAN;
    unsigned char *data = ac_calloc(len + 1, 1);
    if (data && probe(&small, path, data, 512) && probe(&large, path, data, len))
        seconds = FILES_A_CHECKPOINT * small + (large > small && len ? (large - small) * (bytes / (double)len) : 0);
    (void)ac_remove_tree(path, NULL);
    ac_free(data);
    return seconds;
}
