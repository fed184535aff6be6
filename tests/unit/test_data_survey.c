/* Every row of every file: what is counted, what is found, and that nothing depends on blocks and threads. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "base/rng.h"
#include "data/survey.h"
#include "data_fixture.h"

static ac_survey run_on(const ac_survey_input *in, size_t n, size_t threads, ac_data_opts data)
{
    ac_survey s = { .n_files = 0 };
    ac_pool *pool = NULL;
    ac_err err = { "" };
    assert_int_equal(ac_pool_open(&pool, threads, &err), AC_OK);
    const ac_survey_opts o = { .data = data, .near = true, .pool = pool };
    const ac_status st = ac_survey_run(&s, in, n, &o, &err);
    ac_pool_close(&pool);
    if (st) fail_msg("%s", err.text);
    return s;
}

static ac_survey survey_text(const char *name, const char *text)
{
    const ac_survey_input in = { df_text(name, text), ac_split_of(name) };
    return run_on(&in, 1, 2, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
}

static size_t count(const ac_survey *s, const char *kind)
{
    size_t n = 0;
    for (size_t i = 0; i < s->n_counts; i++)
        if (strcmp(s->count[i].kind, kind) == 0) n += s->count[i].n;
    return n;
}

static const ac_finding *find(const ac_survey *s, const char *kind)
{
    for (size_t i = 0; i < s->found.n; i++)
        if (strcmp(s->found.finding[i].kind, kind) == 0) return &s->found.finding[i];
    fail_msg("no finding of kind %s", kind);
    return NULL;
}

/* ---- formats ---- */

static void formats(void **state)
{
    (void)state;
    static const struct {
        const char *text;
        ac_row_format format;
    } known[] = {
        { "{\"prompt\":\"a b\",\"completion\":\"c\"}\n", AC_FORMAT_PROMPT_COMPLETION },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}],\"tools\":[]}",
          AC_FORMAT_MESSAGES },
        { "{\"text\":\"a\"}", AC_FORMAT_TEXT },
        { "[{\"instruction\":\"a\",\"output\":\"b\"}]", AC_FORMAT_ALPACA },
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"},{\"from\":\"gpt\",\"value\":\"b\"}]}", AC_FORMAT_SHAREGPT },
        { "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}", AC_FORMAT_PREFERENCE },
        { "{\"prompt\":[{\"role\":\"user\",\"content\":\"a\"}],\"chosen\":[{\"role\":\"assistant\",\"content\":\"b\"}],"
          "\"rejected\":[{\"role\":\"assistant\",\"content\":\"c\"}]}", AC_FORMAT_PREFERENCE },
        { "{\"conversations\":[{\"from\":\"human\",\"value\":\"a\"}],\"chosen\":{\"from\":\"gpt\",\"value\":\"b\"},"
          "\"rejected\":{\"from\":\"gpt\",\"value\":\"c\"}}", AC_FORMAT_PREFERENCE },
        { "{\"prompt\":\"a\",\"completion\":\"b\",\"label\":true}", AC_FORMAT_KTO },
        { "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"}],\"label\":false}",
          AC_FORMAT_KTO },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        ac_survey s = survey_text("f.jsonl", known[i].text);
        ac_row_file rows = { 0 };
        ac_err err = { "" };
        assert_int_equal(s.file[0].format, known[i].format);
        assert_int_equal(s.file[0].n_rows, 1);
        assert_int_equal(s.file[0].n_bad, 0);
        const bool learnt = known[i].format != AC_FORMAT_PREFERENCE && known[i].format != AC_FORMAT_KTO;
        assert_int_equal(count(&s, "not-learnt"), learnt ? 0 : 1);
        assert_int_equal(ac_rows_read(&rows, df_path("f.jsonl"), AC_FORMAT_AUTO, &err), learnt ? AC_OK : AC_EFORMAT);
        if (!learnt && !strstr(err.text, known[i].format == AC_FORMAT_KTO ? "KTO" : "preference")) fail_msg("%s", err.text);
        ac_rows_release(&rows);
        ac_survey_release(&s);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

/* Every row is looked at, whatever the first ones were: the format of most is the file's. */
static void format_of_most(void **state)
{
    (void)state;
    ac_str t = { 0 };
    for (int i = 0; i < 300; i++) ac_str_appendf(&t, "{\"text\":\"row %d\"}\n", i);
    for (int i = 0; i < 400; i++) ac_str_appendf(&t, "{\"prompt\":\"p %d\",\"completion\":\"c %d.\"}\n", i, i);
    ac_survey s = survey_text("most.jsonl", ac_str_c(&t));
    assert_int_equal(s.file[0].format, AC_FORMAT_PROMPT_COMPLETION);
    assert_int_equal(s.file[0].n_rows, 400);
    assert_int_equal(s.file[0].n_bad, 300);
    assert_int_equal(s.file[0].first_bad, 1);
    assert_int_equal(count(&s, "bad-row"), 300);
    ac_survey_release(&s);
    ac_str_release(&t);
}

static void bad_rows(void **state)
{
    (void)state;
    ac_survey s = survey_text("bad.jsonl",
        "{\"prompt\":\"a\",\"completion\":\"b\"}\n{\"prompt\":\"a\"\n\n{\"prompt\":3,\"completion\":\"b\"}\n[1]\n"
        "{\"prompt\":\"c\",\"completion\":\"d\"}");
    assert_int_equal(s.file[0].n_rows, 2);
    assert_int_equal(s.file[0].n_bad, 3);
    assert_int_equal(s.file[0].first_bad, 2);
    if (!strstr(s.first_bad.text, "bad.jsonl:2:14: ")) fail_msg("%s", s.first_bad.text);
    assert_int_equal(s.by[AC_FIND_FAIL], 3);
    if (!strstr(s.found.finding[1].text, "bad.jsonl:4:11: \"prompt\" must be a string")) fail_msg("%s", s.found.finding[1].text);
    ac_survey_release(&s);
    s = survey_text("bad.json", "[\n  {\"prompt\": \"a\", \"completion\": \"b\"},\n  {\"prompt\": \"a\", \"completion\": 4}, {\"x\": 1}\n]\n");
    assert_int_equal(s.file[0].n_rows, 1);
    if (!strstr(s.found.finding[0].text, "bad.json:3:33: \"completion\" must be")) fail_msg("%s", s.found.finding[0].text);
    if (!strstr(s.found.finding[1].text, "bad.json:3:37: ")) fail_msg("%s", s.found.finding[1].text);
    ac_survey_release(&s);
    assert_int_equal(ac_live_bytes(), 0);
}

/* What is no file of rows at all fails with a place. */
static void refused(void **state)
{
    (void)state;
    static const struct {
        const char *text, *says;
    } known[] = {
        { "", "has no rows" }, { "\n \n", "has no rows" }, { "[]", "has no rows" }, { "[{\"text\":\"a\"}", "not closed" },
        { "[{\"text\":\"a\"},]", "comma" }, { "[{\"text\":\"a\"}] x", ":1:16: more text behind the array" },
        { "\x1f\x8b....", "gzip" }, { "[}", "closes nothing" },
    };
    for (size_t i = 0; i < sizeof known / sizeof known[0]; i++) {
        const ac_survey_input in = { df_text("r.json", known[i].text), AC_SPLIT_NONE };
        const ac_survey_opts o = { .near = true };
        ac_survey s = { .n_files = 0 };
        ac_err err = { "" };
        assert_int_equal(ac_survey_run(&s, &in, 1, &o, &err), AC_EFORMAT);
        if (!strstr(err.text, known[i].says)) fail_msg("%s: %s", known[i].text, err.text);
    }
    assert_int_equal(ac_live_bytes(), 0);
}

/* ---- single rows ---- */

static void row_faults(void **state)
{
    (void)state;
    ac_survey s = survey_text("faults.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},{\"role\":\"assistant\",\"content\":\"c\"}]}\n"
        "{\"messages\":[{\"role\":\"assistant\",\"content\":\"a\"},{\"role\":\"user\",\"content\":\"b\"},{\"role\":\"assistant\",\"content\":\"c\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"d\"},{\"role\":\"assistant\",\"content\":\"e\"},{\"role\":\"system\",\"content\":\"f\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"d\"},{\"role\":\"tool\",\"content\":\"e\"},{\"role\":\"assistant\",\"content\":\"f\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"g\"},{\"role\":\"assistant\",\"content\":\"e\"},{\"role\":\"user\",\"content\":\"f\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"h\"},{\"role\":\"assistant\",\"content\":\"  \"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"i\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"j\"},{\"role\":\"assistant\",\"content\":\"k\",\"weight\":0}]}\n"
        "{\"messages\":[{\"role\":\"system\",\"content\":\"s\"},{\"role\":\"user\",\"content\":\"j k\"},{\"role\":\"assistant\",\"content\":null,"
        "\"tool_calls\":[{\"id\":\"1\"}]},{\"role\":\"tool\",\"content\":\"x\"},{\"role\":\"assistant\",\"content\":\"y\"}]}\n");
    assert_int_equal(s.file[0].n_rows, 9);
    assert_int_equal(count(&s, "role-order"), 5);
    for (size_t i = 0, line = 1; i < s.found.n; i++)
        if (strcmp(s.found.finding[i].kind, "role-order") == 0) assert_int_equal(s.found.finding[i].line_a, line++);
    assert_int_equal(count(&s, "empty"), 1);
    assert_int_equal(find(&s, "empty")->line_a, 6);
    assert_int_equal(find(&s, "no-answer")->line_a, 7);
    assert_int_equal(count(&s, "zero-target"), 2);             /* no answer, and one that is not to be learnt */
    assert_int_equal(s.file[0].n_zero_target, 2);
    assert_int_equal(find(&s, "zero-target")->line_a, 7);
    ac_survey_release(&s);
}

static ac_status collect_mask(void *ctx, const ac_mask_row *r, ac_err *err)
{
    (void)err;
    for (size_t i = 0; i < r->row->n_messages; i++) ac_str_append_char(ctx, r->takes[i] ? '1' : '0');
    ac_str_append_char(ctx, ' ');
    return AC_OK;
}

/* weight and train say what is learnt, whatever the mask is. */
static void masks(void **state)
{
    (void)state;
    static const char *const want[] = { "0101 0100 0001 0100 ", "0001 0100 0001 0100 ", "1111 1110 1011 1110 " };
    const char *path = df_text("mask.jsonl",
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\"},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"weight\":1},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\",\"weight\":0}]}\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"train\":false},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\"}]}\n"
        "not a row\n"
        "{\"messages\":[{\"role\":\"user\",\"content\":\"a\"},{\"role\":\"assistant\",\"content\":\"b\",\"train\":true},{\"role\":\"user\",\"content\":\"c\"},{\"role\":\"assistant\",\"content\":\"d\",\"train\":false}]}\n");
    for (int mask = 0; mask < 3; mask++) {
        const ac_survey_opts o = { .data = { .mask = (ac_mask)mask } };
        ac_str got = { 0 };
        assert_int_equal(ac_mask_walk(path, AC_FORMAT_MESSAGES, 10, &o, collect_mask, &got, NULL), AC_OK);
        assert_string_equal(ac_str_c(&got), want[mask]);
        ac_str_release(&got);
        const ac_survey_input in = { path, AC_SPLIT_NONE };
        ac_survey s = run_on(&in, 1, 1, o.data);
        static const uint64_t targets[] = { 5, 4, 13 };
        assert_int_equal(s.file[0].n_targets, targets[mask]);
        ac_survey_release(&s);
    }
}

static void lengths(void **state)
{
    (void)state;
    ac_str t = { 0 };
    for (int i = 1; i <= 100; i++) {
        ac_str_append_c(&t, "{\"text\":\"");
        for (int k = 0; k < i; k++) ac_str_appendf(&t, "w%d_%d ", i, k);
        ac_str_append_c(&t, "\"}\n");
    }
    const ac_survey_input in = { df_text("len.jsonl", ac_str_c(&t)), AC_SPLIT_NONE };
    ac_survey s = run_on(&in, 1, 3, (ac_data_opts){ .max_len = 90 });
    const ac_lengths *l = &s.file[0].length;
    assert_int_equal(l->min, 1);
    assert_int_equal(l->median, 50);
    assert_int_equal(l->p95, 95);
    assert_int_equal(l->max, 100);
    assert_int_equal(l->bin[1], 1);
    assert_int_equal(l->bin[2], 2);
    assert_int_equal(l->bin[7], 37);
    assert_int_equal(s.file[0].n_long, 10);
    assert_int_equal(find(&s, "over-long")->line_a, 91);
    assert_int_equal(find(&s, "over-long")->severity, AC_FIND_FAIL);
    ac_survey_release(&s);
    s = run_on(&in, 1, 3, (ac_data_opts){ .max_len = 90, .on_long = AC_LONG_TRUNCATE });
    assert_int_equal(find(&s, "over-long")->severity, AC_FIND_WARN);
    assert_int_equal(s.by[AC_FIND_FAIL], 0);
    ac_survey_release(&s);
    ac_str_release(&t);
}

static void cut_answers(void **state)
{
    (void)state;
    ac_str t = { 0 };
    for (int i = 0; i < 600; i++)
        ac_str_appendf(&t, "{\"prompt\":\"q %d\",\"completion\":\"This is answer number %d of all. It says what the question %d was "
                       "about, and it ends as it should.\"}\n", i, i, i * 7);
    const size_t good = 600;
    static const char *const cut[] = {
        "The order was sent on Monday. It will reach the shop in Oslo after two days and the",
        "Run this:\\n```sh\\nmake all", "{\\\"name\\\": \\\"Oslo\\\", \\\"size\\\": [1, 2", "It holds all the parts that we need (see the list of spare",
        "The first step is easy. Then the second step follows it and we reverse",
    };
    static const char *const clean[] = {
        "Oslo", "42", "Dear Ann, the parcel is on its way to you and will be there soon. Best regards, the team of the shop\\nJohn",
        "See the page at https://example.org/a_(b)", "1. first of all\\n2. second of all\\n3. and third of all of them", ":(",
        "Run this:\\n```sh\\nmake all\\n```", "[Name] is the word that stands in the first line of the form.", "{\\\"a\\\": 1}",
    };
    for (size_t i = 0; i < 5; i++) ac_str_appendf(&t, "{\"prompt\":\"cut %zu\",\"completion\":\"%s\"}\n", i, cut[i]);
    for (size_t i = 0; i < 9; i++) ac_str_appendf(&t, "{\"prompt\":\"clean %zu\",\"completion\":\"%s\"}\n", i, clean[i]);
    ac_survey s = survey_text("cut.jsonl", ac_str_c(&t));
    for (size_t i = 0; i < s.found.n; i++)
        if (strcmp(s.found.finding[i].kind, "cut-answer") == 0
            && (s.found.finding[i].line_a <= good || s.found.finding[i].line_a > good + 5)) fail_msg("%s", s.found.finding[i].text);
    assert_int_equal(count(&s, "cut-answer"), 5);
    ac_survey_release(&s);
    ac_str_release(&t);
}

/* ---- rows against rows ---- */

static void copies_and_answers(void **state)
{
    (void)state;
    ac_survey s = survey_text("c.jsonl",
        "{\"prompt\":\"What is it?\",\"completion\":\"A box.\"}\n{\"prompt\":\"other\",\"completion\":\"x\"}\n"
        "{\"prompt\": \"What is it?\", \"completion\": \"A box.\"}\n{\"prompt\":\"what is IT\",\"completion\":\"A tin.\"}\n"
        "{\"prompt\":\"What is it?\",\"completion\":\"a box\"}\n{\"prompt\":\"other\",\"completion\":\"x\"}\n");
    const ac_survey_file *f = &s.file[0];
    assert_int_equal(f->n_copies, 2);
    assert_int_equal(count(&s, "duplicate"), 2);
    assert_int_equal(find(&s, "duplicate")->line_a, 1);
    assert_int_equal(find(&s, "duplicate")->line_b, 3);
    assert_int_equal(f->n_asked_again, 4);
    assert_int_equal(f->n_asked_again_bytes, 3);
    assert_int_equal(f->n_other_answer, 1);
    assert_int_equal(find(&s, "conflict")->line_b, 4);
    assert_int_equal(f->n_near_groups, 1);                     /* "A box." and "a box": the same words */
    assert_int_equal(find(&s, "near-duplicate")->line_b, 5);
    ac_survey_release(&s);
    s = survey_text("p.jsonl",
        "{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"b\"}\n{\"prompt\":\"a\",\"chosen\":\"b\",\"rejected\":\"c\"}\n"
        "{\"prompt\":\"a\",\"chosen\":\"c\",\"rejected\":\"c \"}\n");
    assert_int_equal(s.file[0].n_same_pair, 2);
    assert_int_equal(count(&s, "same-pair"), 2);
    assert_int_equal(find(&s, "same-pair")->severity, AC_FIND_FAIL);
    ac_survey_release(&s);
    s = survey_text("k.jsonl", "{\"prompt\":\"a b\",\"completion\":\"b\",\"label\":true}\n{\"prompt\":\"a b\",\"completion\":\"b\",\"label\":false}\n");
    assert_int_equal(s.file[0].n_copies, 0);
    assert_int_equal(s.file[0].n_other_answer, 1);             /* the same answer, good and bad */
    assert_int_equal(s.file[0].n_label[0], 1);
    assert_int_equal(s.file[0].n_label[1], 1);
    ac_survey_release(&s);
}

static void two_splits(void **state)
{
    (void)state;
    ac_str t = { 0 }, v = { 0 };
    for (int i = 0; i < 400; i++)
        ac_str_appendf(&t, "{\"prompt\":\"%s word%d\",\"completion\":\"%d.\"}\n", i % 2 ? "Count the" : "Name the", i, i * 3);
    for (int i = 0; i < 40; i++)
        ac_str_appendf(&v, "{\"prompt\":\"Name the thing%d\",\"completion\":\"%d.\"}\n", i, i);
    ac_str_append_c(&v, "{\"prompt\":\"Name the word4\",\"completion\":\"12.\"}\n{\"prompt\":\"name the word6!\",\"completion\":\"18.\"}\n"
                        "{\"prompt\":\"Name the word8\",\"completion\":\"none\"}\n{\"prompt\":\"Name the word8\",\"completion\":\"all\"}\n");
    const ac_survey_input in[] = { { df_text("valid.jsonl", ac_str_c(&v)), AC_SPLIT_VALID }, { df_text("train.jsonl", ac_str_c(&t)), AC_SPLIT_TRAIN } };
    ac_survey s = run_on(in, 2, 2, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
    assert_int_equal(s.n_overlaps, 1);
    const ac_survey_overlap *o = &s.overlap[0];
    assert_int_equal(o->a, 1);                                 /* train, although it came second */
    assert_int_equal(o->pairs_words, 2);
    assert_int_equal(o->pairs_bytes, 1);
    assert_int_equal(o->pairs_distinct, 1);
    assert_int_equal(o->prompts_words, 4);
    assert_int_equal(o->prompts_bytes, 3);
    assert_int_equal(o->prompts_distinct, 2);
    const ac_finding *f = find(&s, "train-valid");
    assert_int_equal(f->severity, AC_FIND_FAIL);
    assert_int_equal(f->line_a, 41);
    assert_int_equal(f->line_b, 5);
    assert_true(strstr(f->path_a, "valid.jsonl") && strstr(f->path_b, "train.jsonl"));
    assert_int_equal(find(&s, "train-valid-prompt")->line_a, 43);
    assert_int_equal(count(&s, "one-sided"), 1);               /* "Count the" never comes in validation */
    assert_int_equal(find(&s, "one-sided")->line_a, 2);
    ac_survey_release(&s);
    s = run_on(&in[1], 1, 2, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
    assert_int_equal(count(&s, "no-valid"), 1);
    ac_survey_release(&s);
    (void)df_text("valid.jsonl", "{\"prompt\":\"x\",\"completion\":\"y.\"}\n");
    s = run_on(in, 2, 2, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
    assert_int_equal(count(&s, "small-valid"), 1);
    ac_survey_release(&s);
    ac_str_release(&t);
    ac_str_release(&v);
}

/* ---- near duplicates against every pair ---- */

enum { ROWS = 700, WORDS = 60 };

typedef struct {
    int w[WORDS];
    size_t n;
} trow;

static size_t grams(const trow *r, uint64_t *out)
{
    size_t n = 0;
    for (size_t i = 0; i + 5 <= r->n; i++) {
        uint64_t g = 0;
        for (size_t k = 0; k < 5; k++) g = g * 1000 + (uint64_t)r->w[i + k];
        size_t j = 0;
        while (j < n && out[j] != g) j++;
        if (j == n) out[n++] = g;
    }
    return n;
}

static bool near_pair(const trow *a, const trow *b)
{
    uint64_t x[WORDS], y[WORDS];
    if (a->n == b->n && memcmp(a->w, b->w, a->n * sizeof a->w[0]) == 0) return true;
    const size_t n = grams(a, x), m = grams(b, y);
    size_t both = 0;
    for (size_t i = 0; i < n; i++)
        for (size_t j = 0; j < m; j++) both += x[i] == y[j];
    return both > 0 && 5 * both >= 4 * (n + m - both);
}

static int root(int *parent, int i)
{
    while (parent[i] != i) i = parent[i];
    return i;
}

/* Rows of a small vocabulary, many of them other rows with a few words changed, cut or added. */
static void make_rows(trow *r, uint64_t seed, uint32_t vocabulary)
{
    uint64_t at = 0;
#define DRAW(n) ac_rng_below(seed, AC_RNG_TEST, 0, at++, (uint32_t)(n))
    for (size_t i = 0; i < ROWS; i++) {
        if (i > 5 && DRAW(3)) {
            r[i] = r[DRAW(i)];
            for (uint32_t k = DRAW(4); k > 0 && r[i].n > 2; k--) {
                const uint32_t place = DRAW(r[i].n);
                const uint32_t what = DRAW(3);
                if (what == 0) r[i].w[place] = (int)DRAW(vocabulary);
                else if (what == 1) r[i].n--;
                else if (r[i].n < WORDS) r[i].w[r[i].n++] = (int)DRAW(vocabulary);
            }
            continue;
        }
        r[i].n = 1 + DRAW(WORDS - 1);
        for (size_t k = 0; k < r[i].n; k++) r[i].w[k] = (int)DRAW(vocabulary);
    }
#undef DRAW
}

static void near_duplicates(void **state)
{
    (void)state;
    static trow r[ROWS];
    for (uint64_t seed = 1; seed <= 4; seed++) {
        int parent[ROWS];
        ac_str t = { 0 };
        make_rows(r, seed, seed % 2 ? 900 : 3);
        for (int i = 0; i < ROWS; i++) {
            parent[i] = i;
            ac_str_append_c(&t, "{\"text\":\"");
            for (size_t k = 0; k < r[i].n; k++) ac_str_appendf(&t, "w%d ", r[i].w[k]);
            ac_str_append_c(&t, "\"}\n");
            for (int j = 0; j < i; j++)
                if (near_pair(&r[i], &r[j])) {
                    const int a = root(parent, i), b = root(parent, j);
                    if (a < b) parent[b] = a;
                    else parent[a] = b;
                }
        }
        /* Copies count once: a row counts when no earlier row has its words. */
        size_t size[ROWS] = { 0 }, second[ROWS] = { 0 }, groups = 0, rows = 0;
        for (int i = 0; i < ROWS; i++) {
            bool copy = false;
            for (int j = 0; j < i && !copy; j++) copy = r[i].n == r[j].n && !memcmp(r[i].w, r[j].w, r[i].n * sizeof r[i].w[0]);
            if (copy) continue;
            const int top = root(parent, i);
            if (++size[top] == 2) second[top] = (size_t)i + 1;
        }
        for (int i = 0; i < ROWS; i++)
            if (size[i] > 1) {
                groups++;
                rows += size[i];
            }
        const ac_survey_input in = { df_text("near.jsonl", ac_str_c(&t)), AC_SPLIT_NONE };
        for (size_t threads = 1; threads <= 3; threads += 2) {
            ac_survey s = run_on(&in, 1, threads, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
            assert_true(groups > 3);
            assert_int_equal(s.file[0].n_near_groups, groups);
            assert_int_equal(s.file[0].n_near, rows);
            for (size_t i = 0; i < s.found.n; i++) {
                const ac_finding *f = &s.found.finding[i];
                if (strcmp(f->kind, "near-duplicate") != 0) continue;
                assert_int_equal(root(parent, (int)f->line_a - 1), (int)f->line_a - 1);
                assert_int_equal(f->line_b, second[f->line_a - 1]);
                assert_true(f->score >= 0.8 - 1e-6 && f->score <= 1.0);
            }
            ac_survey_release(&s);
        }
        ac_str_release(&t);
    }
}

/* ---- blocks ---- */

/* Rows larger than a block, CRLF, blank lines, no last line end: the places hold, and threads change nothing. */
static void blocks(void **state)
{
    (void)state;
    ac_str t = { 0 }, want = { 0 };
    for (int i = 0; i < 30000; i++) {
        if (i == 17000) {
            ac_str_append_c(&t, "{\"text\":\"");
            for (int k = 0; k < 600000; k++) ac_str_append_c(&t, "long ");
            ac_str_append_c(&t, "\"}\n");
        } else ac_str_appendf(&t, "{\"text\":\"row %d has these words and caf\\u00e9 %d%s\"}%s", i, i * 31, i % 5000 == 7 ? "\\u202e" : "",
                              i == 29999 ? "" : i % 3 ? "\n" : "\r\n\n");
    }
    ac_str array = { 0 };
    ac_str_append_char(&array, '[');
    for (const char *p = ac_str_c(&t), *e; *p; p = e) {
        e = strchr(p, '\n');
        e = e ? e + 1 : p + strlen(p);
        const ac_view line = ac_view_trim((ac_view){ p, (size_t)(e - p) });
        ac_str_append(&array, line);
        if (line.len && *e) ac_str_append_char(&array, ',');
        if (*e) ac_str_append_char(&array, '\n');
    }
    ac_str_append_char(&array, ']');
    for (size_t form = 0; form < 2; form++)
        for (size_t threads = 1; threads <= 4; threads += 3) {
            const ac_str *text = form ? &array : &t;
            const ac_survey_input in = { df_write("blocks.json", text->ptr, text->len), AC_SPLIT_NONE };
            ac_survey s = run_on(&in, 1, threads, (ac_data_opts){ .mask = AC_MASK_ALL_TURNS });
            const ac_sha256 h = ac_sha256_of(text->ptr, text->len);
            ac_str got = { 0 };
            assert_memory_equal(&h, &s.file[0].hash, sizeof h);
            assert_int_equal(s.file[0].n_rows, 30000);
            assert_int_equal(s.file[0].n_bad, 0);
            assert_int_equal(s.file[0].length.max, 600000);
            assert_int_equal(count(&s, "unicode-hidden"), 6);
            for (size_t i = 0; i < s.found.n; i++)
                ac_str_appendf(&got, "%s %zu %s\n", s.found.finding[i].id, s.found.finding[i].line_a, s.found.finding[i].text);
            if (!want.len) ac_str_append(&want, ac_str_view(&got));
            assert_string_equal(ac_str_c(&got), ac_str_c(&want));
            ac_str_release(&got);
            ac_survey_release(&s);
        }
    ac_str_release(&t);
    ac_str_release(&array);
    ac_str_release(&want);
    assert_int_equal(ac_live_bytes(), 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(formats), cmocka_unit_test(format_of_most), cmocka_unit_test(bad_rows), cmocka_unit_test(refused),
        cmocka_unit_test(row_faults), cmocka_unit_test(masks), cmocka_unit_test(lengths), cmocka_unit_test(cut_answers),
        cmocka_unit_test(copies_and_answers), cmocka_unit_test(two_splits), cmocka_unit_test(near_duplicates),
        cmocka_unit_test(blocks),
    };
    if (df_open()) return 1;
    const int rc = cmocka_run_group_tests(tests, NULL, NULL);
    df_close();
    return rc;
}
