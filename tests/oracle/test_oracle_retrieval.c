/* Measures of rankings against trec_eval (gen_retrieval.py, retrieval.json). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <cmocka.h>

#include "formats/json.h"
#include "rag/rag.h"

#ifndef ACCORD_SOURCE_DIR
#define ACCORD_SOURCE_DIR "."
#endif

static double number(const ac_json *o, const char *key)
{
    double v = -1;
    assert_int_equal(ac_json_get_f64(&v, o, key, "retrieval.json", NULL), AC_OK);
    return v;
}

static void near(double got, double want, const char *what, size_t i)
{
    if (fabs(got - want) > 1e-9) fail_msg("ranking %zu: %s is %.12f, trec_eval says %.12f", i, what, got, want);
}

static void rankings(void **state)
{
    (void)state;
    ac_arena a = { 0 };
    const ac_json *all = NULL;
    assert_int_equal(ac_json_parse_file(&all, ACCORD_SOURCE_DIR "/tests/oracle/retrieval.json", &a, NULL, NULL), AC_OK);
    size_t at = 0;
    for (const ac_json *r = all->child; r; r = r->next, at++) {
        size_t found[64], n = 0, n_gold = 0;
        ac_rag_gold gold[64];
        for (const ac_json *c = ac_json_get(r, "found")->child; c; c = c->next) found[n++] = (size_t)c->number;
        for (const ac_json *c = ac_json_get(r, "judged")->child; c; c = c->next)
            gold[n_gold++] = (ac_rag_gold){ (size_t)c->child->number, c->child->next->number };
        near(ac_rag_ndcg(found, n, gold, n_gold, 5), number(r, "ndcg_5"), "nDCG@5", at);
        near(ac_rag_ndcg(found, n, gold, n_gold, 10), number(r, "ndcg_10"), "nDCG@10", at);
        near(ac_rag_recall(found, n, gold, n_gold, 5), number(r, "recall_5"), "recall@5", at);
        near(ac_rag_recall(found, n, gold, n_gold, 10), number(r, "recall_10"), "recall@10", at);
        near(ac_rag_reciprocal_rank(found, n, gold, n_gold, 1000), number(r, "recip_rank"), "reciprocal rank", at);
    }
    assert_true(at > 50);
    ac_arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(rankings) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
