#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/ab_run.h"
#include "cli/table.h"
#include "eval/stats.h"

/* NULL: a CPU, which one makes no difference. */
static const char *gpu_of(const ac_ab *ab)
{
    const char *name = ab->l.device ? ac_device_name(ab->l.device) : "";
    return strncmp(name, "cuda", 4) == 0 ? name : NULL;
}

/* What the answers were computed in. */
static void answered_json(ac_jw *w, const ac_ab *ab)
{
    ac_jw_cstr(w, "numerics", gpu_of(ab) ? AC_NUMERICS_CUDA_BF16 : AC_NUMERICS_FP32);
    if (gpu_of(ab)) ac_jw_cstr(w, "device", gpu_of(ab));
}

static void answered_line(ac_str *s, const ac_ab *ab)
{
    if (gpu_of(ab))
        ac_str_appendf(s, "answered on %s in %s: another device may answer otherwise\n", gpu_of(ab), AC_NUMERICS_CUDA_BF16);
}

static void verdict_json(ac_jw *w, const ac_ab *ab)
{
    char now[32], hex[AC_SHA256_HEX];
    ac_utc_iso(now, ac_utc_ns());
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "lock", ab->project.lock_hex);
    ac_jw_cstr(w, "run", ab->id);
    ac_jw_cstr(w, "adapter_sha256", ab->adapter_hex);
    ac_jw_cstr(w, "utc", now);
    ac_jw_u64(w, "audit_count", ab->audit.count);        /* right behind the opening that this verdict is of */
    ac_sha256_hex(hex, &ab->audit.head);
    ac_jw_cstr(w, "audit_head", hex);
    answered_json(w, ab);
    ac_verdict_write(w, &ab->verdict, &ab->cases, ab->result, ab->n_results);
    ac_jw_end_object(w);
}

static void sample_lines(ac_str *s, const ac_ab *ab)
{
    for (size_t a = 0; a < ab->n_results; a++)
        for (size_t i = 0; i < ab->result[a].n; i++) {
            const ac_answer *e = &ab->result[a].answer[i];
            ac_jw w;
            ac_jw_init(&w, s, false);
            ac_jw_object(&w, NULL);
            ac_jw_cstr(&w, "arm", ac_arm_label(&ab->result[a]));
            ac_jw_str(&w, "case", ab->cases.item[i].id);
            ac_jw_cstr(&w, "class", ac_class_name(ab->cases.item[i].cls));
            ac_jw_bool(&w, "pass", e->pass);
            if (!ab->cases.sealed) {                 /* sealed cases: their words are not written out */
                ac_jw_str(&w, "why", e->why);
                ac_jw_str(&w, "text", e->text);
            }
            ac_jw_u64(&w, "tokens", e->n_tokens);
            ac_jw_bool(&w, "cut", e->cut);
            ac_jw_end_object(&w);
            ac_str_append_char(s, '\n');
        }
}

static ac_status write_one(const ac_ab *ab, ac_arena *a, const char *name, const ac_str *s, ac_err *err)
{
    char *path = NULL;
    const ac_status st = ac_str_ok(s) ? ac_run_path(&path, a, ab->dir, name, err) : ac_fail_nomem(err, s->len);
    return st ? st : ac_file_write_atomic(path, s->ptr, s->len, err);
}

ac_status ac_ab_write_files(const ac_ab *ab, ac_err *err)
{
    ac_arena arena = { 0 };
    ac_str verdict = { 0 }, samples = { 0 };
    ac_jw w;
    ac_jw_init(&w, &verdict, true);
    verdict_json(&w, ab);
    ac_str_append_char(&verdict, '\n');
    sample_lines(&samples, ab);
    ac_status st = write_one(ab, &arena, "samples.jsonl", &samples, err);
    if (!st) st = write_one(ab, &arena, "verdict.json", &verdict, err);
    ac_str_release(&verdict);
    ac_str_release(&samples);
    ac_arena_release(&arena);
    return st;
}

/* ---- on the terminal ---- */

static ac_status arms_table(const ac_ab *ab, ac_str *s, ac_err *err)
{
    static const char *const head[] = { "arm", "passed", "share", "95 % interval", "success", "refusal", "edge",
                                        "tokens", "perplexity" };
    ac_table t;
    ac_table_init(&t, ab->o->perplexity ? "lrrrrrrrr" : "lrrrrrrr", head);
    for (size_t i = 0; i < ab->n_results; i++) {
        const ac_arm_result *r = &ab->result[i];
        double low, high;
        ac_stats_wilson(r->n_pass, r->n, &low, &high);
        ac_table_cell(&t, ac_view_of(ac_arm_label(r)));
        ac_table_cellf(&t, "%zu/%zu", r->n_pass, r->n);
        ac_table_cellf(&t, "%.1f %%", r->n ? 100.0 * (double)r->n_pass / (double)r->n : 0.0);
        ac_table_cellf(&t, "%.1f-%.1f %%", 100 * low, 100 * high);
        for (size_t c = 0; c < AC_CLASS_COUNT; c++)
            ac_table_cellf(&t, "%zu/%zu", r->n_pass_class[c], ab->cases.n_class[c]);
        ac_table_cellf(&t, "%llu", (unsigned long long)(r->prompt_tokens + r->answer_tokens));
        const double ppl = ac_arm_reference_perplexity(r);
        if (ab->o->perplexity && ppl > 0) ac_table_cellf(&t, "%.3f", ppl);
        else if (ab->o->perplexity) ac_table_cell(&t, AC_VIEW("-"));
    }
    const ac_status st = ac_table_render(&t, s, 0, ab->cli->color, err);
    ac_table_release(&t);
    return st;
}

static void p_cell(ac_table *t, double p)
{
    if (p < 0.0001) ac_table_cell(t, AC_VIEW("<0.0001"));
    else ac_table_cellf(t, "%.4f", p);
}

static ac_status comparisons_table(const ac_ab *ab, ac_str *s, ac_err *err)
{
    static const char *const head[] = { "comparison", "wins", "losses", "ties", "net", "mid-p", "Holm", "outcome" };
    ac_table t;
    ac_table_init(&t, "lrrrrrrl", head);
    for (size_t i = 0; i < ab->verdict.n_comparisons; i++) {
        const ac_comparison *c = &ab->verdict.comparison[i];
        ac_table_cellf(&t, "%s against %s", ac_arm_name(c->a), ac_arm_name(c->b));
        ac_table_cellf(&t, "%zu", c->wins);
        ac_table_cellf(&t, "%zu", c->losses);
        ac_table_cellf(&t, "%zu", c->ties);
        ac_table_cellf(&t, "%+.1f", c->net_points);
        p_cell(&t, c->mid_p);
        p_cell(&t, c->holm_p);
        ac_table_cell(&t, ac_view_of(ac_outcome_name(c->outcome)));
    }
    ac_str_append_char(s, '\n');
    const ac_status st = ac_table_render(&t, s, 0, ab->cli->color, err);
    ac_table_release(&t);
    return st;
}

/* "WIN: tuned +87.5 against base (p < 0.0001), +87.5 against rag (p < 0.0001); run .., lock .., opening 1" */
static void one_line(ac_str *s, const ac_ab *ab)
{
    ac_str_appendf(s, "%s: ", ac_outcome_name(ab->verdict.outcome));
    for (size_t i = 0; i < ab->verdict.n_comparisons; i++) {
        const ac_comparison *c = &ab->verdict.comparison[i];
        if (i) ac_str_append_c(s, ", ");
        else ac_str_appendf(s, "%s ", ac_arm_name(c->a));
        ac_str_appendf(s, "%+.1f points against %s ", c->net_points, ac_arm_name(c->b));
        if (c->holm_p < 0.0001) ac_str_append_c(s, "(p < 0.0001)");
        else ac_str_appendf(s, "(p %.4f)", c->holm_p);
    }
    ac_str_appendf(s, "; run %s, lock %.16s..., opening %llu", ab->id, ab->project.lock_hex, (unsigned long long)ab->openings);
}

ac_status ac_ab_show(const ac_ab *ab, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw w;
    ac_status st = AC_OK;
    if (ab->cli->json) {
        ac_jw_init(&w, &s, true);
        verdict_json(&w, ab);
    } else if (ab->o->ci) {
        one_line(&s, ab);
    } else {
        st = arms_table(ab, &s, err);
        if (!st) st = comparisons_table(ab, &s, err);
        ac_str_appendf(&s, "\n%sVERDICT: %s%s\n", ab->cli->color ? "\x1b[1m" : "",
                       ac_outcome_name(ab->verdict.outcome), ab->cli->color ? "\x1b[0m" : "");
        for (size_t i = 0; i < ab->verdict.n_comparisons; i++)
            ac_str_appendf(&s, "%s\n", ab->verdict.comparison[i].reason);
        for (size_t i = 0; i < ab->verdict.n_sentences; i++) ac_str_appendf(&s, "%s\n", ab->verdict.sentence[i]);
        if (ab->n_endpoints)
            ac_str_append_c(&s, "A server owes nobody the same answer twice: its column is shown and decides nothing.\n");
        answered_line(&s, ab);
        ac_str_appendf(&s, "run %s, lock %.16s..., opening %llu of these cases\n", ab->id, ab->project.lock_hex,
                       (unsigned long long)ab->openings);
    }
    if (!st) st = ac_cli_result(ab->cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* ---- without a tuned arm ---- */

static void untuned_json(ac_jw *w, const ac_ab *ab, double seconds)
{
    char now[32];
    ac_utc_iso(now, ac_utc_ns());
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "lock", ab->project.lock_hex);
    ac_jw_cstr(w, "utc", now);
    ac_jw_u64(w, "openings", ab->openings);
    if (seconds >= 0) ac_jw_f64(w, "seconds", seconds);
    answered_json(w, ab);
    ac_arms_write(w, &ab->cases, ab->result, ab->n_results);
    ac_jw_end_object(w);
}

ac_status ac_ab_write_untuned(const ac_ab *ab, double seconds, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw w;
    ac_jw_init(&w, &s, true);
    untuned_json(&w, ab, seconds);
    ac_str_append_char(&s, '\n');
    const ac_status st = ac_str_ok(&s) ? ac_file_write_atomic(".accord/untuned.json", s.ptr, s.len, err)
                                       : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

ac_status ac_ab_show_untuned(const ac_ab *ab, ac_err *err)
{
    ac_str s = { 0 };
    ac_jw w;
    ac_status st = AC_OK;
    if (ab->cli->json) {
        ac_jw_init(&w, &s, true);
        untuned_json(&w, ab, -1);
    } else {
        st = arms_table(ab, &s, err);
        if (gpu_of(ab)) ac_str_append_char(&s, '\n');
        answered_line(&s, ab);
        ac_str_appendf(&s, "\nno tuned arm, so no verdict; accord triage takes these scores\nlock %.16s..., opening %llu of these "
                       "cases\n", ab->project.lock_hex, (unsigned long long)ab->openings);
    }
    if (!st) st = ac_cli_result(ab->cli, &s, err);
    ac_str_release(&s);
    return st;
}
