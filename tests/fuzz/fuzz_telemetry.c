/* Whatever lies in telemetry.jsonl: a clean message or a summary whose parts fit together. */
#include "fuzz.h"

#include <math.h>
#include <string.h>

#include "ledger/telemetry.h"

static void check(const ac_tel *t)
{
    double seconds[AC_TEL_LEVELS + 1], before = 0;
    size_t in_buckets = 0;
    FUZZ_CHECK(t->until >= 0);
    for (size_t i = 0; i < t->n_acts; i++) {
        FUZZ_CHECK(t->act[i].session < t->n_sessions && t->act[i].t >= before && t->act[i].act);
        before = t->act[i].t;
    }
    for (size_t i = 1; i < t->n_levels; i++)
        FUZZ_CHECK(t->level[i].t >= t->level[i - 1].t && t->level[i].level != t->level[i - 1].level);
    for (size_t i = 0; t->bucket && i < AC_TEL_BUCKETS; i++) {
        const ac_tel_bucket *b = &t->bucket[i];
        in_buckets += b->n;
        FUZZ_CHECK(!b->n || (b->t0 <= b->t1 && b->session < t->n_sessions));
        for (size_t k = 0; b->n && k < AC_TEL_CURVES; k++)
            FUZZ_CHECK(isnan(b->c[k].last) || (b->c[k].lo <= b->c[k].last && b->c[k].last <= b->c[k].hi));
    }
    FUZZ_CHECK(in_buckets == t->n_samples);
    ac_tel_level_seconds(t, seconds);
    FUZZ_CHECK(!(ac_tel_cost_seconds(t) < 0));
    FUZZ_CHECK(!(ac_tel_time_of_step(t, 3) < 0));
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    ac_tel t = { 0 };
    ac_err err = { 0 };
    ac_status st = AC_OK;
    size_t at = 0, number = 0;
    while (!st && at < len) {
        const uint8_t *lf = memchr(data + at, '\n', len - at);
        if (!lf) break;
        const size_t end = (size_t)(lf - data);
        st = ac_tel_line(&t, (ac_view){ (const char *)data + at, end - at }, "input", ++number, &err);
        at = end + 1;
    }
    FUZZ_CHECK_STATUS(st, err);
    if (!st) check(&t);
    ac_tel_release(&t);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
