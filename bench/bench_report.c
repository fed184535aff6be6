/* The table against the demands, JSON, and the tracked CSV. */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "bench.h"

static int by_value(const void *x, const void *y)
{
    const double a = *(const double *)x, b = *(const double *)y;
    return a < b ? -1 : a > b;
}

typedef struct {
    double median, min, max;
} spread;

static spread spread_of(const figure *f)
{
    double v[MAX_ROUNDS];
    memcpy(v, f->value, f->n * sizeof *v);
    qsort(v, f->n, sizeof *v, by_value);
    const double median = f->n % 2 ? v[f->n / 2] : 0.5 * (v[f->n / 2 - 1] + v[f->n / 2]);
    return (spread){ median, v[0], v[f->n - 1] };
}

static const char *verdict_of(const figure *f, double median)
{
    if (f->at_least == 0) return "";
    return (f->at_most ? median <= f->at_least : median >= f->at_least) ? "ok" : "short";
}

static const char *why_not(const figure *f)
{
    return f->skipped ? "the two cores are one" : f->note[0] ? f->note : "nothing was measured";
}

/* Shares as percent, the rest as they are. */
static void number(char out[24], const figure *f, double v)
{
    const bool share = !strcmp(f->unit, "%");
    (void)snprintf(out, 24, share || v >= 100 ? "%.1f" : "%.2f", share ? 100 * v : v);
}

void bench_print_table(const bench *b)
{
    printf("%s\n%-44s%9s%8s%10s %-8s %-19s%s\n", ac_cpu_model(), "figure", "demand", "aim", "measured", "", "spread",
           "verdict");
    for (size_t i = 0; i < b->n_figures; i++) {
        const figure *f = &b->figure[i];
        char demand_text[24] = "", aim[24] = "", median[24], min[24], max[24], range[56];
        if (f->at_least > 0) {
            char n[24];
            number(n, f, f->at_least);
            (void)snprintf(demand_text, sizeof demand_text, "%s %.12s", f->at_most ? "<=" : ">=", n);
        }
        if (f->aim > 0) number(aim, f, f->aim);
        printf("%-44s%9s%8s", f->id, demand_text, aim);
        if (!f->n) {
            printf("  not run: %s\n", why_not(f));
            continue;
        }
        const spread s = spread_of(f);
        number(median, f, s.median);
        number(min, f, s.min);
        number(max, f, s.max);
        (void)snprintf(range, sizeof range, "%s .. %s", min, max);
        printf("%10s %-8s %-19s%-6s", median, f->unit, range, verdict_of(f, s.median));
        if (f->n < 5 && strcmp(f->unit, "ulp") != 0) printf(" %zu rounds", f->n);
        if (f->skipped) printf(" %zu skipped", f->skipped);
        if (f->note[0]) printf(" %s", f->note);
        printf("\n");
    }
    printf("\n%% are shares of the fma peak or of the reading speed of the same round.\n");
}

void bench_print_json(const bench *b)
{
    printf("{\"cpu\":\"%s\",\"figures\":[", ac_cpu_model());
    for (size_t i = 0; i < b->n_figures; i++) {
        const figure *f = &b->figure[i];
        printf("%s\n {\"figure\":\"%s\",\"what\":\"%s\",\"tier\":\"%s\",\"unit\":\"%s\"", i ? "," : "", f->id, f->text,
               f->tier, f->unit);
        if (f->at_least > 0) printf(",\"%s\":%g", f->at_most ? "at_most" : "at_least", f->at_least);
        if (f->aim > 0) printf(",\"aim\":%g", f->aim);
        if (f->n) {
            const spread s = spread_of(f);
            printf(",\"median\":%.6g,\"min\":%.6g,\"max\":%.6g,\"verdict\":\"%s\"", s.median, s.min, s.max,
                   verdict_of(f, s.median));
        } else {
            printf(",\"verdict\":\"not run\",\"why\":\"%s\"", why_not(f));
        }
        printf(",\"rounds\":%zu,\"skipped\":%zu,\"note\":\"%s\"}", f->n, f->skipped, f->note);
    }
    printf("\n]}\n");
}

bool bench_append_csv(const bench *b, const char *path, const char *date, const char *commit)
{
    FILE *out = fopen(path, "a");
    bool ok = out != NULL;
    if (ok && ftell(out) == 0) ok = fputs("date,commit,cpu,tier,figure,median,min,max\n", out) >= 0;
    for (size_t i = 0; ok && i < b->n_figures; i++) {
        const figure *f = &b->figure[i];
        if (!f->n) continue;
        const spread s = spread_of(f);
        ok = fprintf(out, "%s,%s,%s,%s,%s,%.5g,%.5g,%.5g\n", date, commit, ac_cpu_model(), f->tier, f->id, s.median,
                     s.min, s.max) > 0;
    }
    if (out && fclose(out) != 0) ok = false;
    if (!ok) fprintf(stderr, "accord-bench: %s: cannot write\n", path);
    return ok;
}
