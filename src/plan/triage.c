#include "plan/triage.h"

#include <math.h>

#define GIB 1073741824.0

typedef struct {
    ac_triage *t;
    const ac_triage_facts *f;
    const ac_triage_rules *r;
    ac_arena *a;
    bool failed;
} work;

const char *ac_triage_name(ac_triage_verdict v)
{
    static const char *const names[] = { "do not tune: prompt", "do not tune: RAG", "tune here", "tune on a node" };
    return names[v];
}

#define SAY(w, ...) say((w), ac_arena_printf((w)->a, __VA_ARGS__))
static const char *say(work *w, const char *text)
{
    if (!text) w->failed = true;
    return text ? text : "";
}

/* Adds a row; gives it back so that a rule can mark it. */
static ac_triage_row *row(work *w, const char *signal, const char *evidence, const char *threshold, const char *speaks_for)
{
    ac_triage_row *r = &w->t->row[w->t->n_rows++];
    *r = (ac_triage_row){ .signal = signal, .evidence = evidence, .threshold = threshold, .speaks_for = speaks_for };
    return r;
}

static void reason(work *w, const char *text)
{
    if (w->t->n_reasons < AC_TRIAGE_REASONS) w->t->reason[w->t->n_reasons++] = text;
}

/* ---- what is already good enough ---- */

typedef enum { ROOM_UNKNOWN, ROOM_SOME, ROOM_NONE } room;

static room arm_row(work *w, const char *name, double points, const char *speaks_for, ac_triage_row **out)
{
    const double left = 100 - points;
    if (isnan(points)) {
        *out = row(w, name, "not measured: accord ab --untuned scores it on the cases (a counted opening)",
                   SAY(w, "%.0f of 100", w->r->bar), "-");
        return ROOM_UNKNOWN;
    }
    const bool enough = points >= w->r->bar, unseen = left < w->f->smallest_gain;
    *out = row(w, name, SAY(w, "%.1f of 100 points (%s)", points, w->f->measured_by),
               SAY(w, "%.0f, or %.1f points of room", w->r->bar, w->f->smallest_gain), enough || unseen ? speaks_for : "tuning");
    return enough || unseen ? ROOM_NONE : ROOM_SOME;
}

static void why_enough(work *w, const char *name, double points)
{
    if (points >= w->r->bar)
        reason(w, SAY(w, "%s answers %.1f of 100 cases, which is the bar of %.0f already", name, points, w->r->bar));
    else
        reason(w, SAY(w, "%s leaves %.1f points of room, and %zu case%s cannot show a gain under %.1f: no verdict could come "
                      "of it; write more (and harder) cases first", name, 100 - points, w->f->n_cases, ac_plural(w->f->n_cases), w->f->smallest_gain));
}

/* ---- what retrieval does better ---- */

static bool share_row(work *w, const char *signal, double share, const char *evidence, double at, const char *speaks_for,
                      ac_triage_row **out)
{
    const bool met = !isnan(share) && share >= at;
    *out = row(w, signal, evidence, SAY(w, "%.0f %%", 100 * at), met ? speaks_for : "-");
    return met;
}

static size_t changing(work *w, ac_triage_row **mark)
{
    const ac_triage_facts *f = w->f;
    const ac_triage_rules *r = w->r;
    size_t n = 0;
    n += share_row(w, "answers found in the documents", f->corpus_share,
                   isnan(f->corpus_share) ? (f->n_docs ? "no case answer that could be looked for" : "no eval.docs")
                                          : SAY(w, "%.0f %% of %zu case answers", 100 * f->corpus_share, f->n_answers),
                   r->corpus_share, "RAG", &mark[0]);
    n += share_row(w, "documents that change", f->churn_share,
                   isnan(f->churn_share) ? "unknown"
                                         : SAY(w, "%zu of %zu in %lld days (%s)", f->n_docs_changed, f->n_docs,
                                               (long long)r->churn_days, f->churn_method),
                   r->churn_share, "RAG", &mark[1]);
    n += share_row(w, "versions and dates in answers", f->version_share,
                   isnan(f->version_share) ? "no answers" : SAY(w, "%.0f %% of targets and case answers", 100 * f->version_share),
                   r->version_share, "RAG", &mark[2]);
    return n;
}

/* ---- where ---- */

static bool place_row(work *w, const char *signal, const char *evidence, const char *threshold, bool node, bool known)
{
    ac_triage_row *x = row(w, signal, evidence, threshold, !known ? "-" : node ? "node" : "here");
    x->decided = known && node;
    return known && node;
}

static bool memory_row(work *w)
{
    const ac_triage_facts *f = w->f;
    const double total = (double)f->total_bytes / GIB;
    const double keep = total < 32 ? total / 4 : w->r->headroom_gib;
    const bool known = f->need_bytes >= 0 && f->total_bytes > 0;
    const bool node = known && (double)f->need_bytes / GIB > total - keep;
    if (!known) return place_row(w, "memory", "unknown", SAY(w, "%.0f GiB kept free", w->r->headroom_gib), false, false);
    return place_row(w, "memory", SAY(w, "%.2f GiB (%s) of %.1f GiB", (double)f->need_bytes / GIB, f->need_method, total),
                     SAY(w, "%.1f GiB kept free", keep), node, true);
}

static bool where(work *w)
{
    const ac_triage_facts *f = w->f;
    const ac_triage_rules *r = w->r;
    bool node = false;
    if (place_row(w, "rows", SAY(w, "%zu", f->n_rows), SAY(w, "%lld and more", (long long)r->many_rows),
                  f->n_rows >= (uint64_t)r->many_rows, true)) {
        node = true;
        reason(w, SAY(w, "%zu rows: a run here shows that everything fits together, the experiments belong on nodes", f->n_rows));
    }
    if (place_row(w, "trials planned", SAY(w, "%lld", (long long)r->trials), SAY(w, "%lld and more", (long long)r->many_trials),
                  r->trials >= r->many_trials, true)) {
        node = true;
        reason(w, SAY(w, "%lld trial%s: one here to see that it works, the rest on nodes", (long long)r->trials, ac_plural((uint64_t)r->trials)));
    }
    if (place_row(w, "sweeps in the last week", SAY(w, "%llu", (unsigned long long)f->sweeps_last_week),
                  SAY(w, "more than %lld", (long long)r->sweeps_a_week), f->sweeps_last_week > (uint64_t)r->sweeps_a_week, true)) {
        node = true;
        reason(w, "so many sweeps a week keep this machine busy for others' work too");
    }
    if (memory_row(w)) {
        node = true;
        reason(w, "it does not fit beside what the system and its user need");
    }
    const bool known = !isnan(f->hours);
    if (place_row(w, "hours at full load", known ? SAY(w, "%.1f (%s)", f->hours, f->hours_method) : "unknown: no run yet here",
                  SAY(w, "%.0f and more", r->local_hours), known && f->hours >= r->local_hours, known)) {
        node = true;
        reason(w, SAY(w, "%.1f hours at full load: at night, or on a node", f->hours));
    }
    return node;
}

static void why_here(work *w)
{
    const ac_triage_facts *f = w->f;
    if (f->n_rows < (uint64_t)w->r->local_rows)
        reason(w, SAY(w, "%zu row%s and one job fit this machine; watch the validation loss, so few rows are soon learnt by heart",
                      f->n_rows, ac_plural(f->n_rows)));
    else
        reason(w, SAY(w, "%zu rows fit this machine in one nightly job", f->n_rows));
}

/* ---- the verdict ---- */

static void decide(work *w)
{
    ac_triage_row *base, *rag, *mark[3], *form, *few;
    const ac_triage_facts *f = w->f;
    const ac_triage_rules *r = w->r;
    const room with_prompt = arm_row(w, "base model alone", f->base_points, "prompt", &base);
    const room with_rag = arm_row(w, "base model with passages", f->rag_points, "RAG", &rag);
    const size_t changes = changing(w, mark);
    const bool fixed = share_row(w, "targets of one form", f->format_share,
                                 isnan(f->format_share) ? "plain text rows have no targets"
                                                        : SAY(w, "%.0f %%: %s", 100 * f->format_share, f->format),
                                 r->format_share, "tuning", &form);
    const bool too_few = f->n_rows < (uint64_t)r->few_rows;
    few = row(w, "rows to learn from", SAY(w, "%zu", f->n_rows), SAY(w, "%lld", (long long)r->few_rows), too_few ? "prompt" : "tuning");
    const bool node = where(w);
    if (with_prompt == ROOM_NONE) {
        base->decided = true;
        w->t->verdict = AC_TRIAGE_PROMPT;
        w->t->n_reasons = 0;
        why_enough(w, "the base model alone", f->base_points);
    } else if (with_rag == ROOM_NONE) {
        rag->decided = true;
        w->t->verdict = AC_TRIAGE_RAG;
        w->t->n_reasons = 0;
        why_enough(w, "the base model with passages", f->rag_points);
    } else if (changes >= 2) {
        w->t->verdict = AC_TRIAGE_RAG;
        w->t->n_reasons = 0;
        for (size_t i = 0; i < 3; i++) mark[i]->decided = mark[i]->speaks_for[0] == 'R';
        reason(w, "the answers follow documents that change: what is learnt today is wrong tomorrow; retrieve and cite instead");
    } else if (too_few || (!fixed && with_prompt == ROOM_UNKNOWN)) {
        w->t->verdict = AC_TRIAGE_PROMPT;
        w->t->n_reasons = 0;
        (too_few ? few : form)->decided = true;
        if (too_few)
            reason(w, SAY(w, "%zu row%s: put the best of them into the prompt first", f->n_rows, ac_plural(f->n_rows)));
        else
            reason(w, "the targets have no form in common that a prompt could not ask for; measure the base model on the cases "
                      "(accord ab --untuned) before more is spent");
    } else {
        w->t->verdict = node ? AC_TRIAGE_NODE : AC_TRIAGE_HERE;
        form->decided = fixed;
        if (fixed) reason(w, SAY(w, "%.0f %% of the targets have one form (%s): a small tuning is worth trying", 100 * f->format_share, f->format));
        else reason(w, SAY(w, "the base model misses %.1f points of the cases, more than the %.1f that can be seen", 100 - f->base_points,
                           f->smallest_gain));
        if (!node) why_here(w);
    }
}

ac_status ac_triage_decide(ac_triage *out, const ac_triage_facts *f, const ac_triage_rules *r, ac_arena *a, ac_err *err)
{
    ac_triage t = { 0 };
    work w = { .t = &t, .f = f, .r = r, .a = a };
    decide(&w);
    if (w.failed) return ac_fail_nomem(err, 256);
    *out = t;
    return AC_OK;
}
