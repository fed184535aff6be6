/* Any bytes may be scanned: spans lie inside the text and in order, masks hold nothing of it; and any bytes may be a
 * pattern of a rule. */
#include "fuzz.h"

#include <string.h>

#include "data/scan.h"
#include "data/scan_int.h"

typedef struct {
    ac_view text;
    size_t last[2];
    ac_str mask;
} seen;

static ac_status take(void *ctx, const ac_scan_hit *h, ac_err *err)
{
    seen *s = ctx;
    (void)err;
    FUZZ_CHECK(h->from < h->to && h->to <= s->text.len && h->entity && h->entity[0]);
    FUZZ_CHECK(h->from >= s->last[h->class] || h->score <= 0);
    s->last[h->class] = h->from;
    ac_str_reset(&s->mask);
    ac_scan_mask(&s->mask, h, s->text);
    FUZZ_CHECK(ac_str_ok(&s->mask) && s->mask.len < 64);
    for (size_t i = 0; i < s->mask.len && h->class == AC_SCAN_PERSONAL; i++)
        FUZZ_CHECK(s->mask.ptr[i] == 'x' || !scan_alnum(s->mask.ptr[i]));
    return AC_OK;
}

/* All rules are compiled for it, which takes milliseconds. */
static void whole(ac_view text)
{
    ac_scanner *s = NULL;
    ac_err err = { 0 };
    seen k = { .text = text };
    FUZZ_CHECK(ac_scanner_open(&s, NULL, &err) == AC_OK);
    FUZZ_CHECK(ac_scan_text(s, "file", text, take, &k, &err) == AC_OK);
    ac_str_release(&k.mask);
    ac_scanner_close(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static unsigned turn;
    const int64_t live = ac_live_bytes();
    const ac_view text = { (const char *)data, len };
    ac_err err = { 0 };
    seen k = { .text = text };
    scan_hits hits = { 0 };
    ac_unicode_mark marks[AC_UNI_COUNT];
    ac_str pattern = { 0 };
    if (turn++ % 64 == 0) whole(text);
    FUZZ_CHECK(ac_scan_personal(text, &hits, &err) == AC_OK);
    for (size_t i = 0; i < hits.n; i++) FUZZ_CHECK(take(&k, &hits.hit[i], &err) == AC_OK);
    ac_free(hits.hit);
    ac_str_release(&k.mask);
    ac_unicode_scan(text, marks);
    for (size_t i = 0; i < AC_UNI_COUNT; i++) FUZZ_CHECK(marks[i].n == 0 || marks[i].at < len);
    const ac_status st = ac_scan_go_regex(&pattern, text, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    ac_str_release(&pattern);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
