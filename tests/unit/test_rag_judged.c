/* Judged collections, both rankings joined, and what answers cite. */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include "base/file.h"
#include "rag/rag.h"

static char dir[64];

static const char *put(int i, const char *text)
{
    static char path[3][96];
    (void)snprintf(path[i], sizeof path[i], "%s/%d", dir, i);
    assert_int_equal(ac_file_write_atomic(path[i], text, strlen(text), NULL), AC_OK);
    return path[i];
}

static ac_status read_all(ac_rag_collection *c, const char *corpus, const char *queries, const char *qrels, ac_err *err)
{
    return ac_rag_collection_read(c, put(0, corpus), put(1, queries), put(2, qrels), err);
}

#define CORPUS "{\"_id\":\"d1\",\"title\":\"Pumps\",\"text\":\"A pump lifts water.\",\"metadata\":{}}\n" \
               "{\"_id\":\"d2\",\"title\":\"\",\"text\":\"A mill grinds corn.\"}\n{\"_id\":\"d3\",\"text\":\"Water runs down.\"}\n"
#define QUERIES "{\"_id\":\"q1\",\"text\":\"what lifts water\"}\n{\"_id\":\"q2\",\"text\":\"nobody judged this\"}\n"

static void collections(void **state)
{
    (void)state;
    ac_rag_collection c;
    ac_err err = { 0 };
    if (read_all(&c, CORPUS, QUERIES, "query-id\tcorpus-id\tscore\nq1\td3\t1\nq1\td1\t2\nq1\td2\t0\nq9\td1\t1\nq1\td9\t1\n", &err))
        fail_msg("%s", err.text);
    assert_int_equal(c.n_passages, 3);
    assert_int_equal(c.n_queries, 1);
    assert_int_equal(c.query[0].n_gold, 2);
    assert_int_equal(c.query[0].gold[0].passage, 0);
    assert_true(c.query[0].gold[0].gain == 2);
    assert_int_equal(c.n_unknown, 2);
    assert_true(ac_view_eq_str(c.passage[0].heading, "Pumps"));
    ac_rag_collection_release(&c);
}

static void bad(const char *corpus, const char *queries, const char *qrels, const char *says)
{
    ac_rag_collection c;
    ac_err err = { 0 };
    assert_int_equal(read_all(&c, corpus, queries, qrels, &err), AC_EFORMAT);
    if (!strstr(err.text, says)) fail_msg("\"%s\" does not say \"%s\"", err.text, says);
}

static void bad_collections_are_named(void **state)
{
    (void)state;
    bad("", QUERIES, "q1\td1\t1\n", "holds no passage");
    bad(CORPUS, "\n", "q1\td1\t1\n", "holds no query");
    bad(CORPUS CORPUS, QUERIES, "q1\td1\t1\n", "stands there twice");
    bad("{\"text\":\"x\"}\n", QUERIES, "", "_id");
    bad("{\"_id\":7,\"text\":\"x\"}\n", QUERIES, "", "_id");
    bad("{\"_id\":\"a\"\n", QUERIES, "", "0:1");
    bad(CORPUS, QUERIES, "a\tb\tc\nq1 d1 1\n", "2:2");
    bad(CORPUS, QUERIES, "q1\td1\t0\n", "no judgement");
    bad(CORPUS, QUERIES, "q1\td9\t1\n", "no judgement");
}

static void both_rankings_are_joined(void **state)
{
    (void)state;
    /* By words: 0 then 2 (1 has none of them). By vectors: 2, 1, 0. Sums: 0: 1/61 + 1/63; 1: 1/62; 2: 1/62 + 1/61. */
    static const char *const text[] = { "lifts water lifts", "grinds corn", "water runs down the hill and away from here" };
    static const float vectors[] = { 0, 1, 0.6f, 0.8f, 1, 0 }, query[] = { 1, 0 };
    ac_passage in[3], *p = NULL;
    ac_rag *r = NULL;
    ac_arena a = { 0 };
    size_t n = 0;
    for (size_t i = 0; i < 3; i++) in[i] = (ac_passage){ .number = i, .source = AC_VIEW("s"), .heading = AC_VIEW(""), .text = ac_view_of(text[i]) };
    ac_err err = { 0 };
    if (ac_rag_open_passages(&r, in, 3, NULL, &err)) fail_msg("%s", err.text);
    assert_false(ac_rag_is_dense(r));
    assert_int_equal(ac_rag_search_both(r, AC_VIEW("lifts water"), query, &a, &p, &n, &err), AC_EARG);
    ac_rag_set_vectors(r, vectors, 2);
    assert_int_equal(ac_rag_search(r, AC_VIEW("lifts water"), &a, &p, &n, NULL), AC_OK);
    assert_true(n == 2 && p[0].number == 0 && p[1].number == 2);
    assert_int_equal(ac_rag_search_both(r, AC_VIEW("lifts water"), query, &a, &p, &n, NULL), AC_OK);
    assert_int_equal(n, 3);
    assert_true(p[0].number == 2 && p[1].number == 0 && p[2].number == 1);
    assert_true(fabs(p[0].score - (1.0 / 62 + 1.0 / 61)) < 1e-12);
    assert_true(fabs(p[1].score - (1.0 / 61 + 1.0 / 63)) < 1e-12);
    ac_rag_close(&r);
    ac_arena_release(&a);
}

static void cites(const char *answer, size_t citations, size_t out, size_t quotes, size_t unsupported)
{
    const ac_passage p[] = {
        { .heading = AC_VIEW("Opening hours"), .text = AC_VIEW("The shop opens at nine, and closes at six.") },
        { .heading = AC_VIEW("Returns"), .text = AC_VIEW("Goods may be returned within\nthirty days of purchase.") },
    };
    ac_rag_cites c;
    ac_err err = { 0 };
    if (ac_rag_check_cites(&c, ac_view_of(answer), p, 2, &err)) fail_msg("%s", err.text);
    if (c.n_citations != citations || c.n_out_of_range != out || c.n_quotes != quotes || c.n_unsupported != unsupported)
        fail_msg("%s: %zu citations, %zu out of range, %zu quotes, %zu unsupported", answer, c.n_citations, c.n_out_of_range,
                 c.n_quotes, c.n_unsupported);
}

static void citations_and_quotes(void **state)
{
    (void)state;
    cites("It opens at nine [1].", 1, 0, 0, 0);
    cites("See [3] and [0] and [2].", 3, 2, 0, 0);
    cites("\"The shop opens at nine\" [1]", 1, 0, 1, 0);
    cites("\"the SHOP opens: at nine\" [1]", 1, 0, 1, 0);
    cites("\"The shop opens at nine\" [2]", 1, 0, 1, 1);
    cites("\"The shop opens at ten\" [1]", 1, 0, 1, 1);
    cites("\xe2\x80\x9creturned within thirty days\xe2\x80\x9d is what it says [2].", 1, 0, 1, 0);
    cites("\xc2\xabreturned within thirty days\xc2\xbb", 0, 0, 1, 0);        /* no citation: any passage */
    cites("\"returned within thirty days\"\nand [1]", 1, 0, 1, 0);           /* the citation is on another line */
    cites("\"at nine\" [2]", 1, 0, 0, 0);                                    /* two words are no quote */
    cites("\"closes at six goods may be\" [1]", 1, 0, 1, 1);                 /* not over the passage's end */
    cites("\"opening hours the shop opens\" [1]", 1, 0, 1, 1);               /* nor from heading into text */
    cites("\"never closed [1]", 1, 0, 0, 0);
    cites("\"a quote of what is not there\" [7]", 1, 1, 1, 1);
    cites("", 0, 0, 0, 0);
}

static int setup(void **state)
{
    (void)state;
    (void)strcpy(dir, "/tmp/accord-judged-XXXXXX");
    return mkdtemp(dir) ? 0 : -1;
}

static int teardown(void **state)
{
    (void)state;
    return ac_remove_tree(dir, NULL) ? -1 : 0;
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(collections),
        cmocka_unit_test(bad_collections_are_named),
        cmocka_unit_test(both_rankings_are_joined),
        cmocka_unit_test(citations_and_quotes),
    };
    return cmocka_run_group_tests(tests, setup, teardown);
}
