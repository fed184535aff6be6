/* cost.json and lines of cost.jsonl: a clean message, or parts whose sums agree however they are grouped, with notes spread over
 * them to the last milliwatt-hour; then everything that prints them. */
#include "fuzz.h"

#include <string.h>

#include "cli/cost_show.h"
#include "ledger/cost.h"

static void check_sums(const ac_cost_part *p, size_t n, ac_arena *a)
{
    ac_cost_sum total;
    ac_cost_gain gain;
    if (ac_cost_total(&total, p, n, a, NULL)) return;        /* out of range is said */
    for (int by = AC_COST_BY_RUN; by <= AC_COST_BY_TAG; by++) {
        ac_cost_sum *s = NULL;
        size_t rows = 0, parts = 0;
        int64_t wall = 0, mwh = 0;
        FUZZ_CHECK(ac_cost_sums(&s, &rows, p, n, (ac_cost_by)by, a, NULL) == AC_OK);
        for (size_t i = 0; i < rows; i++) {
            wall += s[i].wall_ms;
            mwh += s[i].mwh;
            parts += s[i].n_parts;
        }
        FUZZ_CHECK(wall == total.wall_ms && mwh == total.mwh && parts == n);
    }
    FUZZ_CHECK(ac_cost_gain_of(&gain, p, n, a, NULL) == AC_OK && gain.points >= 0);
}

static void check(ac_cost_run *r, ac_arena *a)
{
    ac_str text = { 0 };
    size_t left_out = 0;
    int64_t sum = 0, noted = 0;
    for (size_t i = 0; i < r->n_parts; i++) ac_cost_money_of(&r->part[i].money, &r->part[i]);
    ac_cost_apply_notes(r);
    for (size_t i = 0; r->n_notes && i < r->n_parts && i < r->note[r->n_notes - 1].n_parts; i++) {
        FUZZ_CHECK(r->part[i].mwh >= 0);
        sum += r->part[i].mwh;
        noted = r->note[r->n_notes - 1].mwh;
    }
    FUZZ_CHECK(sum == noted);
    check_sums(r->part, r->n_parts, a);
    const ac_cost_view v = { .part = r->part, .n = r->n_parts, .by = AC_COST_BY_PERSON, .arena = a, .unreadable = "" };
    FUZZ_CHECK(ac_cost_csv_focus(&text, &v, &left_out, NULL) == AC_OK && left_out <= v.n);
    ac_cost_csv_parts(&text, &v);
    (void)ac_cost_json_table(&text, &v, NULL);
    ac_cost_sentence(&text, r->part, r->n_parts);
    FUZZ_CHECK(ac_str_ok(&text));
    ac_str_release(&text);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    const ac_view text = { (const char *)data, len };
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_cost_run r;
    ac_cost_part p;
    int64_t s;
    ac_status st = ac_cost_parse(&r, text, "input", &a, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) check(&r, &a);
    err = (ac_err){ 0 };
    st = ac_cost_parse_line(&p, text, "input", 1, &a, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) check(&(ac_cost_run){ .part = &p, .n_parts = 1 }, &a);
    char week[16];
    if (ac_cost_date_parse(&s, text)) ac_cost_week_text(week, s);
    if (ac_cost_week_parse(&s, text)) ac_cost_week_text(week, s);
    ac_arena_release(&a);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
