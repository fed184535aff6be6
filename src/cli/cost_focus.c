/* FOCUS 1.2 (FinOps Open Cost and Usage Specification): its 21 mandatory columns, the conditional ones that a run has
 * something to say to, and three of our own, which begin with x_. */
#include <stdio.h>
#include <string.h>

#include "base/time.h"
#include "cli/cost_show.h"

static const char header[] =
    "BilledCost,BillingAccountId,BillingAccountName,BillingCurrency,BillingPeriodEnd,BillingPeriodStart,ChargeCategory,ChargeClass,"
    "ChargeDescription,ChargeFrequency,ChargePeriodEnd,ChargePeriodStart,ConsumedQuantity,ConsumedUnit,ContractedCost,"
    "ContractedUnitPrice,EffectiveCost,InvoiceIssuerName,ListCost,ListUnitPrice,PricingQuantity,PricingUnit,ProviderName,"
    "PublisherName,ResourceId,ResourceName,ResourceType,ServiceCategory,ServiceName,SubAccountId,SubAccountName,Tags,x_Outcome,"
    "x_Verdict,x_Method\n";

static void date(ac_str *out, int64_t unix_s)
{
    char text[32];
    ac_utc_iso(text, unix_s * 1000000000);
    ac_csv_cell(out, ac_view_of(text));
}

/* The first second of the month that holds a moment, and of the month behind it. */
static void month_of(int64_t unix_s, int64_t *start, int64_t *end)
{
    char text[32], first[64];
    int y = 1970, m = 1;
    ac_utc_iso(text, unix_s * 1000000000);
    *start = *end = unix_s;
    if (sscanf(text, "%4d-%2d", &y, &m) != 2) return;
    (void)snprintf(first, sizeof first, "%04d-%02d-01", y, m);
    (void)ac_cost_date_parse(start, ac_view_of(first));
    (void)snprintf(first, sizeof first, "%04d-%02d-01", m == 12 ? y + 1 : y, m == 12 ? 1 : m + 1);
    (void)ac_cost_date_parse(end, ac_view_of(first));
}

static void money(ac_str *out, int64_t micro)
{
    char text[32];
    ac_cost_micro_text(text, micro);
    ac_csv_cell(out, ac_view_of(text));
}

/* {"nightly":true}: words without a value are true. */
static void tags(ac_str *out, const char *list)
{
    ac_str s = { 0 };
    ac_jw w;
    ac_view rest = ac_view_of(list);
    ac_jw_init(&w, &s, false);
    ac_jw_object(&w, NULL);
    while (rest.len) {
        const size_t comma = ac_view_find(rest, AC_VIEW(","), 0);
        const ac_view word = ac_view_trim(ac_view_slice(rest, 0, comma));
        char key[128];
        (void)snprintf(key, sizeof key, AC_VIEW_FMT, AC_VIEW_ARG(ac_view_slice(word, 0, sizeof key - 1)));
        if (word.len) ac_jw_bool(&w, key, true);
        rest = comma == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, comma + 1, rest.len);
    }
    ac_jw_end_object(&w);
    ac_csv_cell(out, ac_str_view(&s));
    if (!ac_str_ok(&s)) out->failed = true;
    ac_str_release(&s);
}

static void row(ac_str *out, const ac_cost_part *p, size_t line)
{
    static const char *const what[AC_COST_LINES] = { "rent of the machine", "share of the own machine's price", "electricity" };
    const ac_cost_rates *r = &p->rates;
    const bool energy = line == AC_COST_ENERGY;
    const double rate = energy ? r->kwh : line == AC_COST_RENT ? r->machine_hour : r->machine_price / (r->machine_years * r->machine_hours_a_year);
    const double quantity = energy ? (double)p->mwh / 1e6 : (double)p->wall_ms / 3.6e6;
    const int64_t cost = p->money.line[line], began = p->began_s >= 0 ? p->began_s : 0;
    const char *project = p->project ? p->project : "unknown", *person = p->person ? p->person : p->user ? p->user : "unknown";
    const char *host = p->host ? p->host : "unknown", *unit = energy ? "kWh" : "Hours";
    char q[64], price[64], text[200];
    int64_t start, end;
    month_of(began, &start, &end);
    (void)snprintf(q, sizeof q, "%.9f", quantity);
    (void)snprintf(price, sizeof price, "%.9g", rate);
    (void)snprintf(text, sizeof text, "%s, accord %.40s", what[line], p->what);
    ac_str_append_c(out, line == AC_COST_MACHINE ? "0.000000" : "");       /* nobody bills an own machine's use */
    if (line != AC_COST_MACHINE) {
        ac_cost_micro_text(price, cost);
        ac_str_append_c(out, price);
        (void)snprintf(price, sizeof price, "%.9g", rate);
    }
    ac_csv_cell(out, ac_view_of(project));
    ac_csv_cell(out, ac_view_of(project));
    ac_csv_cell(out, ac_view_of(r->currency));
    date(out, end);
    date(out, start);
    ac_csv_cell(out, AC_VIEW("Usage"));
    ac_csv_cell(out, AC_VIEW(""));
    ac_csv_cell(out, ac_view_of(text));
    ac_csv_cell(out, AC_VIEW("Usage-Based"));
    date(out, began + (p->wall_ms > 0 ? (p->wall_ms + 999) / 1000 : 1));
    date(out, began);
    ac_csv_cell(out, ac_view_of(q));
    ac_csv_cell(out, ac_view_of(unit));
    money(out, cost);
    ac_csv_cell(out, ac_view_of(price));
    money(out, cost);
    ac_csv_cell(out, ac_view_of(host));
    money(out, cost);
    ac_csv_cell(out, ac_view_of(price));
    ac_csv_cell(out, ac_view_of(q));
    ac_csv_cell(out, ac_view_of(unit));
    ac_csv_cell(out, ac_view_of(host));
    ac_csv_cell(out, ac_view_of(host));
    ac_csv_cell(out, ac_view_of(p->run));
    ac_csv_cell(out, ac_view_of(p->run));
    ac_csv_cell(out, ac_view_of(p->run ? "Training run" : ""));
    ac_csv_cell(out, AC_VIEW("AI and Machine Learning"));
    (void)snprintf(text, sizeof text, "accord %.40s", p->what);
    ac_csv_cell(out, ac_view_of(text));
    ac_csv_cell(out, ac_view_of(person));
    ac_csv_cell(out, ac_view_of(person));
    tags(out, p->tags);
    ac_csv_cell(out, ac_view_of(p->outcome));
    ac_csv_cell(out, ac_view_of(p->verdict));
    ac_csv_cell(out, ac_view_of(energy ? p->method : p->wall_from));
    ac_str_append_char(out, '\n');
}

ac_status ac_cost_csv_focus(ac_str *out, const ac_cost_view *v, size_t *left_out, ac_err *err)
{
    *left_out = 0;
    ac_str_append_c(out, header);
    for (size_t i = 0; i < v->n; i++) {
        const ac_cost_part *p = &v->part[i];
        *left_out += p->money.missing != NULL;
        for (size_t l = 0; l < AC_COST_LINES; l++)
            if (p->money.line[l] >= 0) row(out, p, l);
    }
    if (!ac_str_ok(out)) return ac_fail_nomem(err, out->len);
    out->ptr[--out->len] = '\0';
    return AC_OK;
}
