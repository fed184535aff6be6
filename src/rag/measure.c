/* Measures of a ranking. */
#include <math.h>
#include <string.h>

#include "rag/rag.h"

static double gain_of(const ac_rag_gold *gold, size_t n, size_t passage)
{
    for (size_t i = 0; i < n; i++)
        if (gold[i].passage == passage) return gold[i].gain;
    return 0;
}

/* The i-th largest gain, by counting: judgements of a query are few. */
static double ideal_gain(const ac_rag_gold *gold, size_t n, size_t rank)
{
    for (size_t i = 0; i < n; i++) {
        size_t before = 0;
        for (size_t k = 0; k < n; k++) before += gold[k].gain > gold[i].gain || (!(gold[k].gain < gold[i].gain) && k < i);
        if (before == rank) return gold[i].gain;
    }
    return 0;
}

double ac_rag_ndcg(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k)
{
    double got = 0, best = 0;
    for (size_t i = 0; i < k; i++) {
        const double discount = log2((double)i + 2);
        if (i < n) got += gain_of(gold, n_gold, found[i]) / discount;
        if (i < n_gold) best += ideal_gain(gold, n_gold, i) / discount;
    }
    return best > 0 ? got / best : 0;
}

double ac_rag_recall(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k)
{
    size_t hit = 0, all = 0;
    for (size_t i = 0; i < n_gold; i++) all += gold[i].gain > 0;
    for (size_t i = 0; i < n && i < k; i++) hit += gain_of(gold, n_gold, found[i]) > 0;
    return all ? (double)hit / (double)all : 0;
}

double ac_rag_reciprocal_rank(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k)
{
    for (size_t i = 0; i < n && i < k; i++)
        if (gain_of(gold, n_gold, found[i]) > 0) return 1.0 / (double)(i + 1);
    return 0;
}
