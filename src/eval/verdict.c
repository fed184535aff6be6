#include "eval/verdict.h"

#include <stdio.h>

#include "eval/stats.h"

#define ALPHA 0.05

const char *ac_outcome_name(ac_outcome o)
{
    return o == AC_WIN ? "WIN" : o == AC_LOSS ? "LOSS" : "NO CLEAR LIFT";
}

/* ---- clusters ------------------------------------------------------------------------------------------ */

/* first[i]: the first case of case i's cluster; a case without one is its own. */
static size_t find_clusters(const ac_cases *c, size_t *first)
{
    size_t n = 0;
    for (size_t i = 0; i < c->n; i++) {
        first[i] = i;
        for (size_t j = 0; c->item[i].cluster.ptr && j < i; j++) {
            if (c->item[j].cluster.ptr && ac_view_eq(c->item[i].cluster, c->item[j].cluster)) {
                first[i] = j;
                break;
            }
        }
        n += first[i] == i;
    }
    return n;
}

static void cluster_pass(const ac_arm_result *r, const size_t *first, bool *pass)
{
    for (size_t i = 0; i < r->n; i++) {
        if (first[i] == i) pass[i] = r->answer[i].pass;
        else pass[first[i]] = pass[first[i]] && r->answer[i].pass;
    }
}

/* ---- one comparison ------------------------------------------------------------------------------------- */

typedef struct {
    const ac_cases *cases;
    const size_t *first;
    size_t n_clusters;
    bool *pass_a, *pass_b;
} pairing;

static void count(ac_comparison *c, const pairing *p, const ac_arm_result *a, const ac_arm_result *b)
{
    *c = (ac_comparison){ .a = a->arm, .b = b->arm };
    cluster_pass(a, p->first, p->pass_a);
    cluster_pass(b, p->first, p->pass_b);
    for (size_t i = 0; i < p->cases->n; i++) {
        const ac_class cls = p->cases->item[i].cls;
        c->class_wins[cls] += a->answer[i].pass && !b->answer[i].pass;
        c->class_losses[cls] += !a->answer[i].pass && b->answer[i].pass;
        if (p->first[i] != i) continue;
        c->wins += p->pass_a[i] && !p->pass_b[i];
        c->losses += !p->pass_a[i] && p->pass_b[i];
        c->ties += p->pass_a[i] == p->pass_b[i];
    }
    c->net_points = 100 * ((double)c->wins - (double)c->losses) / (double)p->n_clusters;
    c->mid_p = c->holm_p = ac_stats_mcnemar_midp(c->wins, c->losses);
}

/* "p = 0.0123"; a p that would round to nothing is bounded instead. */
static const char *p_text(char buf[24], double p)
{
    if (p < 0.0001) return "p < 0.0001";
    snprintf(buf, 24, "p = %.4f", p);
    return buf;
}

static ac_status decide(ac_comparison *c, const ac_verdict_rules *rules, ac_arena *arena, ac_err *err)
{
    char buf[24];
    const char *p = p_text(buf, c->holm_p);
    const bool clear = c->holm_p <= ALPHA;
    const char *a = ac_arm_name(c->a), *b = ac_arm_name(c->b);
    size_t broken = AC_CLASS_COUNT;
    for (size_t k = AC_CLASS_COUNT; k-- > 0;)
        if (c->class_losses[k] > rules->guard[k]) broken = k;
    c->outcome = AC_NO_CLEAR_LIFT;
    if (clear && c->net_points <= -rules->margin && c->losses > c->wins) {
        c->outcome = AC_LOSS;
        c->reason = ac_arena_printf(arena, "%s loses to %s by %.1f points (%s)", a, b, -c->net_points, p);
    } else if (!clear) {
        c->reason = ac_arena_printf(arena, "%zu wins and %zu losses against %s are not enough to tell (%s)",
                                    c->wins, c->losses, b, p);
    } else if (c->net_points < rules->margin) {
        c->reason = ac_arena_printf(arena, "the net gain over %s of %.1f points is under the margin of %.1f", b,
                                    c->net_points, rules->margin);
    } else if (broken != AC_CLASS_COUNT) {
        c->reason = ac_arena_printf(arena, "class %s loses %zu cases to %s; the guard allows %zu",
                                    ac_class_name((ac_class)broken), c->class_losses[broken], b, rules->guard[broken]);
    } else {
        c->outcome = AC_WIN;
        c->reason = ac_arena_printf(arena, "%s beats %s by %.1f points (%s), and no class breaks its guard", a, b,
                                    c->net_points, p);
    }
    return c->reason ? AC_OK : ac_fail_nomem(err, 200);
}

/* ---- sentences ---------------------------------------------------------------------------------------------- */

static ac_status say(ac_verdict *v, const char *text, ac_err *err)
{
    if (!text) return ac_fail_nomem(err, 200);
    if (v->n_sentences < AC_COUNTOF(v->sentence)) v->sentence[v->n_sentences++] = text;
    return AC_OK;
}

static ac_status sentences(ac_verdict *v, const ac_arm_result *tuned, ac_arena *a, ac_err *err)
{
    char shared[96] = "";
    if (v->n_comparisons > 1)
        (void)snprintf(shared, sizeof shared, ", of %.1f where %zu comparisons share the risk",
                       ac_stats_smallest_gain_of(v->n_clusters, v->n_comparisons), v->n_comparisons);
    ac_status st = say(v, ac_arena_printf(a, "%zu cases can show a gain of %.1f points or more (80 %% power)%s; n is too "
                       "small to see less than that.", v->n_clusters, v->smallest_gain, shared), err);
    const size_t n = v->n_class[AC_CLASS_REFUSAL];
    if (!st && n && tuned->n_pass_class[AC_CLASS_REFUSAL] == n)
        st = say(v, ac_arena_printf(a, "No refusal failed in %zu; the true failure rate may still be as high as %.0f %% "
                 "(one-sided 95 %%).", n, 100 * ac_stats_zero_failures_limit(n)), err);
    if (!st && v->openings > 1)
        st = say(v, ac_arena_printf(a, "The sealed cases were opened %llu times; every look makes a lucky result more "
                 "likely.", (unsigned long long)v->openings), err);
    if (!st && v->locks > 1)
        st = say(v, ac_arena_printf(a, "This contract was frozen %llu times.", (unsigned long long)v->locks), err);
    return st;
}

/* ---- the verdict ----------------------------------------------------------------------------------------------- */

static const ac_arm_result *arm_of(const ac_arm_result *arms, size_t n, ac_arm which)
{
    for (size_t i = 0; i < n; i++)
        if (arms[i].arm == which) return &arms[i];
    return NULL;
}

static ac_status compare_all(ac_verdict *v, const pairing *p, const ac_arm_result *arms, size_t n_arms,
                             const ac_verdict_rules *rules, ac_arena *a, ac_err *err)
{
    const ac_arm_result *base = arm_of(arms, n_arms, AC_ARM_BASE), *rag = arm_of(arms, n_arms, AC_ARM_RAG);
    const ac_arm_result *tuned = arm_of(arms, n_arms, AC_ARM_TUNED);
    double adjusted[AC_COUNTOF(v->comparison)];
    count(&v->comparison[v->n_comparisons++], p, tuned, base);
    if (rag) count(&v->comparison[v->n_comparisons++], p, tuned, rag);
    for (size_t i = 0; i < v->n_comparisons; i++) adjusted[i] = v->comparison[i].mid_p;
    ac_stats_holm(adjusted, v->n_comparisons);
    v->outcome = AC_WIN;
    for (size_t i = 0; i < v->n_comparisons; i++) {
        ac_comparison *c = &v->comparison[i];
        c->holm_p = adjusted[i];
        const ac_status st = decide(c, rules, a, err);
        if (st) return st;
        if (c->outcome == AC_LOSS) v->outcome = AC_LOSS;
        else if (c->outcome != AC_WIN && v->outcome == AC_WIN) v->outcome = AC_NO_CLEAR_LIFT;
    }
    return sentences(v, tuned, a, err);
}

ac_status ac_verdict_make(ac_verdict *out, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms,
                          const ac_verdict_rules *rules, ac_arena *a, ac_err *err)
{
    ac_verdict v = { .n_cases = cases->n, .openings = rules->openings, .locks = rules->locks };
    if (!arm_of(arms, n_arms, AC_ARM_BASE) || !arm_of(arms, n_arms, AC_ARM_TUNED))
        return ac_fail(err, AC_EARG, "a verdict needs the arms base and tuned");
    for (size_t i = 0; i < n_arms; i++)
        if (arms[i].n != cases->n) return ac_fail(err, AC_ESTATE, "arm %s has another number of answers than cases",
                                                  ac_arm_label(&arms[i]));
    for (size_t i = 0; i < AC_CLASS_COUNT; i++) v.n_class[i] = cases->n_class[i];
    size_t *first = ac_arena_alloc_array(a, cases->n, sizeof *first);
    pairing p = { .cases = cases, .first = first };
    p.pass_a = ac_arena_alloc_array(a, cases->n, sizeof *p.pass_a);
    p.pass_b = ac_arena_alloc_array(a, cases->n, sizeof *p.pass_b);
    if (!first || !p.pass_a || !p.pass_b) return ac_fail_nomem(err, cases->n * sizeof *first);
    p.n_clusters = v.n_clusters = find_clusters(cases, first);
    v.smallest_gain = rules->smallest_gain > 0 ? rules->smallest_gain : ac_stats_smallest_gain(v.n_clusters);
    const ac_status st = compare_all(&v, &p, arms, n_arms, rules, a, err);
    if (!st) *out = v;
    return st;
}

/* ---- verdict.json ------------------------------------------------------------------------------------------------ */

static void write_classes(ac_jw *w, const char *key, const size_t n[AC_CLASS_COUNT])
{
    ac_jw_object(w, key);
    for (size_t i = 0; i < AC_CLASS_COUNT; i++) ac_jw_u64(w, ac_class_name((ac_class)i), n[i]);
    ac_jw_end_object(w);
}

static void write_arm(ac_jw *w, const ac_arm_result *r)
{
    double low, high;
    ac_stats_wilson(r->n_pass, r->n, &low, &high);
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "arm", ac_arm_label(r));
    ac_jw_u64(w, "passed", r->n_pass);
    ac_jw_u64(w, "cases", r->n);
    ac_jw_f64(w, "wilson_low", low);
    ac_jw_f64(w, "wilson_high", high);
    write_classes(w, "passed_by_class", r->n_pass_class);
    ac_jw_u64(w, "prompt_tokens", r->prompt_tokens);
    ac_jw_u64(w, "answer_tokens", r->answer_tokens);
    if (ac_arm_reference_perplexity(r) > 0) ac_jw_f64(w, "reference_perplexity", ac_arm_reference_perplexity(r));
    ac_jw_f64(w, "seconds", r->seconds);
    ac_jw_end_object(w);
}

static void write_comparison(ac_jw *w, const ac_comparison *c)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "arm", ac_arm_name(c->a));
    ac_jw_cstr(w, "against", ac_arm_name(c->b));
    ac_jw_u64(w, "wins", c->wins);
    ac_jw_u64(w, "losses", c->losses);
    ac_jw_u64(w, "ties", c->ties);
    ac_jw_f64(w, "net_points", c->net_points);
    ac_jw_f64(w, "mid_p", c->mid_p);
    ac_jw_f64(w, "holm_p", c->holm_p);
    write_classes(w, "wins_by_class", c->class_wins);
    write_classes(w, "losses_by_class", c->class_losses);
    ac_jw_cstr(w, "outcome", ac_outcome_name(c->outcome));
    ac_jw_cstr(w, "reason", c->reason);
    ac_jw_end_object(w);
}

/* Of sealed cases the words stay where they are: what the arms passed is written, not what was asked or said. */
static void write_answer(ac_jw *w, const ac_arm_result *r, size_t i, bool sealed)
{
    const ac_answer *a = &r->answer[i];
    ac_jw_object(w, ac_arm_label(r));
    ac_jw_bool(w, "pass", a->pass);
    if (!sealed) {
        ac_jw_str(w, "text", a->text);
        ac_jw_str(w, "why", a->why);
    }
    ac_jw_u64(w, "prompt_tokens", a->n_prompt);
    ac_jw_u64(w, "tokens", a->n_tokens);
    ac_jw_bool(w, "cut", a->cut);
    if (a->perplexity > 0) ac_jw_f64(w, "perplexity", a->perplexity);
    if (a->reference_tokens)
        ac_jw_f64(w, "reference_perplexity", ac_model_perplexity(a->reference_nll, a->reference_tokens));
    if (a->n_passages) {
        ac_jw_array(w, "passages");
        for (size_t k = 0; k < a->n_passages; k++) {
            ac_jw_object(w, NULL);
            ac_jw_u64(w, "chunk", a->passage[k].number);
            ac_jw_str(w, "source", a->passage[k].source);
            if (!sealed) ac_jw_str(w, "heading", a->passage[k].heading);
            ac_jw_f64(w, "score", a->passage[k].score);
            ac_jw_end_object(w);
        }
        ac_jw_end_array(w);
        ac_jw_object(w, "cites");
        ac_jw_u64(w, "citations", a->cites.n_citations);
        ac_jw_u64(w, "out_of_range", a->cites.n_out_of_range);
        ac_jw_u64(w, "quotes", a->cites.n_quotes);
        ac_jw_u64(w, "unsupported_quotes", a->cites.n_unsupported);
        ac_jw_end_object(w);
    }
    ac_jw_end_object(w);
}

static void write_turns(ac_jw *w, const ac_case *c)
{
    ac_jw_array(w, "turns");
    for (size_t t = 0; t < c->n_turns; t++) {
        ac_jw_object(w, NULL);
        ac_jw_cstr(w, "role", ac_role_name(c->turn[t].role));
        ac_jw_str(w, "content", c->turn[t].content);
        ac_jw_end_object(w);
    }
    ac_jw_end_array(w);
    if (c->ideal.ptr) ac_jw_str(w, "ideal", c->ideal);
}

static void write_case(ac_jw *w, const ac_case *c, size_t i, const ac_arm_result *arms, size_t n_arms, bool sealed)
{
    ac_jw_object(w, NULL);
    ac_jw_str(w, "id", c->id);
    ac_jw_cstr(w, "class", ac_class_name(c->cls));
    if (c->cluster.ptr) ac_jw_str(w, "cluster", c->cluster);      /* with it, anybody can count again */
    if (!sealed) write_turns(w, c);
    ac_jw_object(w, "answers");
    for (size_t k = 0; k < n_arms; k++) write_answer(w, &arms[k], i, sealed);
    ac_jw_end_object(w);
    ac_jw_end_object(w);
}

void ac_arms_write(ac_jw *w, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms)
{
    ac_jw_array(w, "arms");
    for (size_t i = 0; i < n_arms; i++) write_arm(w, &arms[i]);
    ac_jw_end_array(w);
    ac_jw_array(w, "by_case");
    for (size_t i = 0; i < cases->n; i++) write_case(w, &cases->item[i], i, arms, n_arms, cases->sealed);
    ac_jw_end_array(w);
}

void ac_verdict_write(ac_jw *w, const ac_verdict *v, const ac_cases *cases, const ac_arm_result *arms, size_t n_arms)
{
    ac_jw_cstr(w, "verdict", ac_outcome_name(v->outcome));
    ac_jw_u64(w, "cases", v->n_cases);
    ac_jw_u64(w, "clusters", v->n_clusters);
    write_classes(w, "classes", v->n_class);
    ac_jw_f64(w, "smallest_visible_gain_points", v->smallest_gain);
    ac_jw_u64(w, "openings", v->openings);
    ac_jw_u64(w, "locks", v->locks);
    ac_jw_array(w, "sentences");
    for (size_t i = 0; i < v->n_sentences; i++) ac_jw_cstr(w, NULL, v->sentence[i]);
    ac_jw_end_array(w);
    ac_jw_array(w, "comparisons");
    for (size_t i = 0; i < v->n_comparisons; i++) write_comparison(w, &v->comparison[i]);
    ac_jw_end_array(w);
    ac_arms_write(w, cases, arms, n_arms);
}
