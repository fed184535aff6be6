/* Sums over parts, by whatever they are grouped. */
#include <math.h>
#include <stdlib.h>
#include <string.h>

#include "ledger/cost.h"

static bool add(int64_t *sum, int64_t v)
{
    if (v > INT64_MAX - *sum) return false;
    *sum += v;
    return true;
}

static ac_status add_money(ac_cost_sum *s, const char *currency, int64_t micro, ac_err *err)
{
    size_t i = 0;
    while (i < s->n_money && strcmp(s->money[i].currency, currency) != 0) i++;
    if (i == AC_COST_CURRENCIES)
        return ac_fail(err, AC_EFORMAT, "more than %d currencies; choose fewer runs with --since, --until or --person", AC_COST_CURRENCIES);
    if (i == s->n_money) s->money[s->n_money++].currency = currency;
    if (!add(&s->money[i].micro, micro)) return ac_fail(err, AC_EFORMAT, "the sum of costs is out of range");
    return AC_OK;
}

ac_status ac_cost_add(ac_cost_sum *s, const ac_cost_part *p, ac_err *err)
{
    const struct {
        int64_t v, *sum;
        size_t *missing;
    } all[] = { { p->wall_ms, &s->wall_ms, &s->no_wall }, { p->cpu_ms, &s->cpu_ms, &s->no_cpu }, { p->mwh, &s->mwh, &s->no_energy },
                { p->gpu_ms, &s->gpu_ms, NULL }, { p->tokens, &s->tokens, NULL } };
    for (size_t i = 0; i < AC_COUNTOF(all); i++) {
        if (all[i].v < 0) {
            if (all[i].missing) (*all[i].missing)++;
        } else if (!add(all[i].sum, all[i].v)) {
            return ac_fail(err, AC_EFORMAT, "a sum over these parts is out of range");
        }
    }
    if (p->peak_bytes > s->peak_bytes) s->peak_bytes = p->peak_bytes;
    s->energy_at_least |= p->mwh >= 0 && p->energy_at_least;
    s->estimated |= p->mwh >= 0 && p->estimated;
    s->no_money += p->money.missing != NULL;
    s->n_parts++;
    return p->money.total >= 0 ? add_money(s, p->rates.currency, p->money.total, err) : AC_OK;
}

const char *ac_cost_key(const ac_cost_part *p, ac_cost_by by, ac_arena *a)
{
    char week[16];
    switch (by) {
    case AC_COST_BY_RUN: return p->run ? p->run : "of no run";
    case AC_COST_BY_PERSON: return p->person ? p->person : p->user ? p->user : "unknown";
    case AC_COST_BY_PROJECT: return p->project ? p->project : "unknown";
    case AC_COST_BY_VERDICT: return p->verdict ? p->verdict : p->state ? ac_arena_printf(a, "none, %s", p->state) : "none";
    case AC_COST_BY_TAG: return p->tags && p->tags[0] ? p->tags : "none";
    case AC_COST_BY_WEEK:
        if (p->began_s < 0) return "unknown";
        ac_cost_week_text(week, p->began_s);
        return ac_arena_strndup(a, week, strlen(week));
    }
    return "unknown";
}

typedef struct {
    const char *key, *run;
    const ac_cost_part *part;
} keyed;

static int by_key_and_run(const void *a, const void *b)
{
    const keyed *x = a, *y = b;
    const int c = strcmp(x->key, y->key);
    return c ? c : strcmp(x->run, y->run);
}

static ac_status keys(keyed **out, const ac_cost_part *p, size_t n, const ac_cost_by *by, ac_arena *a, ac_err *err)
{
    keyed *k = ac_arena_alloc_array(a, n + 1, sizeof *k);
    if (!k) return ac_fail_nomem(err, n * sizeof *k);
    for (size_t i = 0; i < n; i++) {
        k[i] = (keyed){ by ? ac_cost_key(&p[i], *by, a) : "total", p[i].run ? p[i].run : "", &p[i] };
        if (!k[i].key) return ac_fail_nomem(err, 64);
    }
    if (n) qsort(k, n, sizeof *k, by_key_and_run);
    *out = k;
    return AC_OK;
}

static ac_status sum_up(ac_cost_sum **out, size_t *n_out, const ac_cost_part *p, size_t n, const ac_cost_by *by, ac_arena *a, ac_err *err)
{
    keyed *k = NULL;
    size_t rows = 0;
    ac_status st = keys(&k, p, n, by, a, err);
    ac_cost_sum *s = st ? NULL : ac_arena_alloc_array(a, n + 1, sizeof *s);
    if (!st && !s) st = ac_fail_nomem(err, n * sizeof *s);
    for (size_t i = 0; i < n && !st; i++) {
        const bool same = rows && strcmp(s[rows - 1].key, k[i].key) == 0;
        if (!same) s[rows++].key = k[i].key;
        if (k[i].run[0] && (!same || strcmp(k[i - 1].run, k[i].run) != 0)) s[rows - 1].n_runs++;
        st = ac_cost_add(&s[rows - 1], k[i].part, err);
    }
    if (st) return st;
    *out = s;
    *n_out = rows;
    return AC_OK;
}

ac_status ac_cost_sums(ac_cost_sum **out, size_t *n_out, const ac_cost_part *p, size_t n, ac_cost_by by, ac_arena *a, ac_err *err)
{
    return sum_up(out, n_out, p, n, &by, a, err);
}

ac_status ac_cost_total(ac_cost_sum *out, const ac_cost_part *p, size_t n, ac_arena *a, ac_err *err)
{
    ac_cost_sum *s = NULL;
    size_t rows = 0;
    const ac_status st = sum_up(&s, &rows, p, n, NULL, a, err);
    if (!st) *out = rows ? s[0] : (ac_cost_sum){ .key = "total" };
    return st;
}

/* Runs of one project are attempts at the same gain: the best counts, and adding them up would count it twice. */
ac_status ac_cost_gain_of(ac_cost_gain *out, const ac_cost_part *p, size_t n, ac_arena *a, ac_err *err)
{
    const ac_cost_by by = AC_COST_BY_PROJECT;
    ac_cost_gain g = { .wins = 0 };
    keyed *k = NULL;
    double best = 0;
    const ac_status st = keys(&k, p, n, &by, a, err);
    for (size_t i = 0; !st && i < n; i++) {
        const bool same_project = i && strcmp(k[i - 1].key, k[i].key) == 0;
        const bool same_run = same_project && strcmp(k[i - 1].run, k[i].run) == 0;
        if (!same_project) {
            g.points += best;
            best = 0;
        }
        if (!isnan(k[i].part->gain) && k[i].part->gain > best) best = k[i].part->gain;
        if (!same_run && k[i].run[0] && k[i].part->verdict && strcmp(k[i].part->verdict, "WIN") == 0) g.wins++;
    }
    g.points += best;
    if (!st) *out = g;
    return st;
}

/* ---- in one line ---- */

void ac_cost_sentence(ac_str *out, const ac_cost_part *part, size_t n)
{
    ac_cost_sum s = { .key = NULL };
    const char *method = NULL, *missing = NULL;
    char text[32];
    for (size_t i = 0; i < n; i++) {
        if (ac_cost_add(&s, &part[i], NULL)) return;
        if (part[i].mwh >= 0 && part[i].method) method = !method || strcmp(method, part[i].method) == 0 ? part[i].method : "several methods";
        if (part[i].money.missing) missing = part[i].money.missing;
    }
    if (!n) {
        ac_str_append_c(out, "nothing is booked");
        return;
    }
    ac_cost_time_text(text, s.wall_ms);
    ac_str_appendf(out, "%s%s", s.no_wall ? "at least " : "", text);
    if (s.no_cpu < n) {
        ac_cost_time_text(text, s.cpu_ms);
        ac_str_appendf(out, ", %s%s of processor", s.no_cpu ? "at least " : "", text);
    }
    if (s.no_energy < n) {
        ac_cost_wh_text(text, s.mwh);
        ac_str_appendf(out, ", %s%s Wh by %s", s.no_energy || s.energy_at_least ? "at least " : "", text, method ? method : "?");
    } else {
        ac_str_append_c(out, ", energy not measured");
    }
    for (size_t i = 0; i < s.n_money; i++) {
        ac_cost_micro_text(text, s.money[i].micro);
        ac_str_appendf(out, ", %s%s %s", s.no_money ? "at least " : "", text, s.money[i].currency);
    }
    if (!s.n_money) ac_str_appendf(out, ", money not counted");
    if (missing) ac_str_appendf(out, " (%s)", missing);
}

ac_status ac_cost_run_sentence(ac_str *out, const char *dir, ac_err *err)
{
    ac_arena a = { 0 };
    ac_cost_run r;
    const ac_status st = ac_cost_run_read(&r, &a, dir, err);
    if (!st) ac_cost_sentence(out, r.part, r.n_parts);
    ac_arena_release(&a);
    return st ? st : ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}
