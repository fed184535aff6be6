/* The 100 sentences of ../shared/data/pii: every span whose entity form and check digits decide is found, nothing else
 * is; and rows of other public sets are clean. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "data/scan.h"
#include "data_fixture.h"
#include "formats/json.h"

static const char *shared;

static const char *in(const char *name)
{
    static char path[512];
    (void)snprintf(path, sizeof path, "%s/%s", shared, name);
    return path;
}

/* Theirs, ours, and how many stand in the set; the others are names, places, organisations, titles and dates. */
static const struct { const char *theirs, *ours; size_t n; } decidable[] = {
    { "PHONE_NUMBER", "PHONE_NUMBER", 10 },   { "CREDIT_CARD", "CREDIT_CARD", 10 }, { "DOMAIN_NAME", "URL", 3 },
    { "US_SSN", "US_SSN", 3 },                { "IP_ADDRESS", "IP_ADDRESS", 2 },    { "EMAIL_ADDRESS", "EMAIL_ADDRESS", 2 },
    { "US_DRIVER_LICENSE", "US_DRIVER_LICENSE", 1 },
};
enum { N = sizeof decidable / sizeof decidable[0] };

typedef struct {
    const ac_json *row;
    ac_view text;
    size_t found[N], wrong;
} sentence;

/* Their positions count characters. */
static size_t characters(ac_view t, size_t bytes)
{
    size_t n = 0;
    for (size_t i = 0; i < bytes; i++) n += ((unsigned char)t.ptr[i] & 0xc0) != 0x80;
    return n;
}

static ac_status take(void *ctx, const ac_scan_hit *h, ac_err *err)
{
    sentence *s = ctx;
    const int64_t from = (int64_t)characters(s->text, h->from), to = (int64_t)characters(s->text, h->to);
    (void)err;
    for (const ac_json *p = ac_json_get(s->row, "spans")->child; p; p = p->next)
        for (size_t k = 0; k < N; k++)
            if (ac_view_eq_str(ac_json_get(p, "entity_type")->text, decidable[k].theirs) && !strcmp(h->entity, decidable[k].ours)
                && (int64_t)ac_json_get(p, "start_position")->number == from && (int64_t)ac_json_get(p, "end_position")->number == to) {
                s->found[k]++;
                return AC_OK;
            }
    s->wrong++;
    print_message("not a span: %s %.*s in: %.*s\n", h->entity, (int)(h->to - h->from), s->text.ptr + h->from, (int)s->text.len,
                  s->text.ptr);
    return AC_OK;
}

static void pii(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    ac_scanner *s = NULL;
    const ac_json *root = NULL;
    sentence k = { 0 };
    assert_int_equal(ac_scanner_open(&s, NULL, NULL), AC_OK);
    assert_int_equal(ac_json_parse_file(&root, in("pii/generated_small.json"), &a, NULL, NULL), AC_OK);
    assert_int_equal(root->n, 100);
    for (const ac_json *r = root->child; r; r = r->next) {
        k.row = r;
        k.text = ac_json_get(r, "full_text")->text;
        assert_int_equal(ac_scan_text(s, NULL, k.text, take, &k, NULL), AC_OK);
    }
    for (size_t i = 0; i < N; i++)
        if (k.found[i] != decidable[i].n)
            fail_msg("%s: %zu of %zu", decidable[i].theirs, k.found[i], decidable[i].n);
    assert_int_equal(k.wrong, 0);
    ac_scanner_close(&s);
    ac_arena_release(&a);
    assert_int_equal(ac_live_bytes(), 0);
}

/* Texts of a JSONL or JSON file of whatever shape: every string in it. */
static ac_status strings(const ac_scanner *s, const ac_json *v, sentence *k, ac_scan_fn *fn)
{
    ac_status st = AC_OK;
    if (v->type == AC_JSON_STRING) {
        k->text = v->text;
        return ac_scan_text(s, NULL, v->text, fn, k, NULL);
    }
    for (const ac_json *c = v->child; c && !st; c = c->next) st = strings(s, c, k, fn);
    return st;
}

static ac_status report(void *ctx, const ac_scan_hit *h, ac_err *err)
{
    sentence *s = ctx;
    (void)err;
    if (h->severity == AC_FIND_NOTE) return AC_OK;
    s->wrong++;
    print_message("%s: %.*s\n", h->entity, (int)(h->to - h->from), s->text.ptr + h->from);
    return AC_OK;
}

/* How many findings each file has; all were looked at, and are what they say. */
static void clean_sets(void **state)
{
    (void)state;
    static const struct { const char *file; size_t n; } known[] = {
        { "mlx-wikisql/train.jsonl", 0 }, { "mlx-wikisql/valid.jsonl", 0 }, { "gsm8k/train.jsonl", 0 },
        { "mlx-wwdc25/train.jsonl", 0 },
    };
    ac_scanner *s = NULL;
    assert_int_equal(ac_scanner_open(&s, NULL, NULL), AC_OK);
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_lines *l = NULL;
        ac_view line;
        size_t number = 0;
        sentence k = { 0 };
        assert_int_equal(ac_lines_open(&l, in(known[i].file), 1 << 20, NULL), AC_OK);
        while (ac_lines_next(l, &line, &number, NULL) == AC_OK && line.ptr) {
            ac_arena a = { 0 };
            const ac_json *v = NULL;
            assert_int_equal(ac_json_parse(&v, line, &a, known[i].file, number, NULL, NULL), AC_OK);
            assert_int_equal(strings(s, v, &k, report), AC_OK);
            ac_arena_release(&a);
        }
        ac_lines_close(&l);
        if (k.wrong != known[i].n) fail_msg("%s: %zu findings, %zu known", known[i].file, k.wrong, known[i].n);
    }
    ac_scanner_close(&s);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(pii), cmocka_unit_test(clean_sets) };
    if (!(shared = df_shared())) {
        (void)printf("not run: no ../shared/data\n");
        return 77;
    }
    return cmocka_run_group_tests(tests, NULL, NULL);
}
