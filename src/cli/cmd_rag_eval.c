/* rag eval: how well the retrieval finds what was judged relevant, over a test collection in BEIR's layout. */
#include <string.h>

#include "cli/commands.h"
#include "cli/embed.h"
#include "cli/table.h"
#include "formats/json.h"
#include "rag/rag.h"

static struct {
    const char *corpus, *queries, *qrels, *model;
    int64_t k;
} a = { .k = 10 };

static const ac_opt options[] = {
    AC_OPT_GROUP("Collection, as BEIR lays it out"),
    AC_OPT_PATH_REQ(0, "corpus", &a.corpus, "file", "passages, JSON lines with _id, title and text"),
    AC_OPT_PATH_REQ(0, "queries", &a.queries, "file", "questions, JSON lines with _id and text"),
    AC_OPT_PATH_REQ(0, "qrels", &a.qrels, "file", "judgements: query, passage and grade, parted by tabs"),
    AC_OPT_GROUP("Retrieval"),
    AC_OPT_INT('k', "top", &a.k, 1, 100, "k", "passages that count"),
    AC_OPT_PATH('m', "model", &a.model, "path", "also rank by this model's states, and join both lists"),
    AC_OPT_END
};

typedef struct {
    double ndcg, recall, mrr;
} scores;

typedef struct {
    ac_cli *cli;
    ac_arena arena;
    ac_rag_collection set;
    ac_rag *rag;
    ac_loaded l;
    float *passages, *queries;       /* vectors */
    scores words, both;
} work;

static void add(scores *s, const ac_passage *p, size_t n, const ac_rag_query_item *q, size_t *found)
{
    const size_t k = (size_t)a.k;
    for (size_t i = 0; i < n; i++) found[i] = p[i].number;
    s->ndcg += ac_rag_ndcg(found, n, q->gold, q->n_gold, k);
    s->recall += ac_rag_recall(found, n, q->gold, q->n_gold, k);
    s->mrr += ac_rag_reciprocal_rank(found, n, q->gold, q->n_gold, k);
}

static ac_status embed_all(work *w, ac_err *err)
{
    ac_status st = ac_load_model(&w->l, w->cli, a.model, NULL, err);
    if (!st) st = ac_load_tokenizer(&w->l, a.model, err);
    if (st) return st;
    ac_view *text = ac_arena_alloc_array(&w->arena, w->set.n_passages + w->set.n_queries, sizeof *text);
    if (!text) return ac_fail_nomem(err, w->set.n_passages * sizeof *text);
    for (size_t i = 0; i < w->set.n_passages; i++) text[i] = w->set.passage[i].text;
    for (size_t i = 0; i < w->set.n_queries; i++) text[w->set.n_passages + i] = w->set.query[i].text;
    st = ac_embed_texts(&w->passages, &w->l, w->cli, text, w->set.n_passages, "passages", &w->arena, err);
    if (!st)
        st = ac_embed_texts(&w->queries, &w->l, w->cli, text + w->set.n_passages, w->set.n_queries, "questions", &w->arena, err);
    if (!st) ac_rag_set_vectors(w->rag, w->passages, ac_model_get_config(w->l.model)->hidden);
    return st;
}

static ac_status one_query(work *w, size_t i, size_t *found, ac_err *err)
{
    const ac_rag_query_item *q = &w->set.query[i];
    ac_arena own = { 0 };
    ac_passage *p = NULL;
    size_t n = 0;
    ac_status st = ac_rag_search(w->rag, q->text, &own, &p, &n, err);
    if (!st) add(&w->words, p, n, q, found);
    if (!st && w->queries) {
        st = ac_rag_search_both(w->rag, q->text, w->queries + i * ac_model_get_config(w->l.model)->hidden, &own, &p, &n, err);
        if (!st) add(&w->both, p, n, q, found);
    }
    ac_arena_release(&own);
    return st;
}

static ac_status score_all(work *w, ac_err *err)
{
    const ac_rag_opts o = { .top = (size_t)a.k };
    size_t *found = ac_arena_alloc_array(&w->arena, (size_t)a.k + 1, sizeof *found);
    ac_status st = found ? ac_rag_open_passages(&w->rag, w->set.passage, w->set.n_passages, &o, err) : ac_fail_nomem(err, 64);
    if (!st && a.model) st = embed_all(w, err);
    ac_cli_stage(w->cli, "questions", "questions", w->set.n_queries);
    for (size_t i = 0; i < w->set.n_queries && !st; i++) {
        st = one_query(w, i, found, err);
        ac_cli_stage_at(w->cli, i + 1);
    }
    ac_cli_stage_end(w->cli);
    return st;
}

static void row(ac_table *t, const char *name, const scores *s, size_t n)
{
    ac_table_cell(t, ac_view_of(name));
    ac_table_cellf(t, "%.4f", s->ndcg / (double)n);
    ac_table_cellf(t, "%.4f", s->recall / (double)n);
    ac_table_cellf(t, "%.4f", s->mrr / (double)n);
}

static void object(ac_jw *w, const char *name, const scores *s, size_t n)
{
    ac_jw_object(w, name);
    ac_jw_f64(w, "ndcg", s->ndcg / (double)n);
    ac_jw_f64(w, "recall", s->recall / (double)n);
    ac_jw_f64(w, "mrr", s->mrr / (double)n);
    ac_jw_end_object(w);
}

static ac_status show(const work *w, ac_err *err)
{
    ac_str s = { 0 }, head_text[3] = { { 0 }, { 0 }, { 0 } };
    const size_t n = w->set.n_queries;
    ac_status st = AC_OK;
    if (w->cli->json) {
        ac_jw j;
        ac_jw_init(&j, &s, false);
        ac_jw_object(&j, NULL);
        ac_jw_u64(&j, "passages", w->set.n_passages);
        ac_jw_u64(&j, "questions", n);
        ac_jw_u64(&j, "judgements_of_unknown", w->set.n_unknown);
        ac_jw_i64(&j, "k", a.k);
        object(&j, "bm25", &w->words, n);
        if (w->queries) object(&j, "bm25_and_dense", &w->both, n);
        ac_jw_end_object(&j);
    } else {
        static const char *const names[] = { "nDCG", "recall", "MRR" };
        for (size_t i = 0; i < 3; i++) ac_str_appendf(&head_text[i], "%s@%lld", names[i], (long long)a.k);
        const char *const head[] = { "", ac_str_c(&head_text[0]), ac_str_c(&head_text[1]), ac_str_c(&head_text[2]) };
        ac_table t;
        ac_table_init(&t, "lrrr", head);
        row(&t, "BM25", &w->words, n);
        if (w->queries) row(&t, "BM25 and dense", &w->both, n);
        ac_str_appendf(&s, "%zu passage%s, %zu question%s with judgements", w->set.n_passages, ac_plural(w->set.n_passages), n, ac_plural(n));
        if (w->set.n_unknown) ac_str_appendf(&s, "; %zu judgement%s passages or questions that are not there", w->set.n_unknown,
                                            w->set.n_unknown == 1 ? " names" : "s name");
        ac_str_append_char(&s, '\n');
        st = ac_table_render(&t, &s, 0, w->cli->color, err);
        ac_table_release(&t);
    }
    if (!st) st = ac_cli_result(w->cli, &s, err);
    for (size_t i = 0; i < 3; i++) ac_str_release(&head_text[i]);
    ac_str_release(&s);
    return st;
}

static ac_status run(ac_cli *cli, ac_err *err)
{
    work w = { .cli = cli };
    ac_status st = ac_rag_collection_read(&w.set, a.corpus, a.queries, a.qrels, err);
    if (!st) st = score_all(&w, err);
    if (!st) st = show(&w, err);
    ac_rag_close(&w.rag);
    ac_rag_collection_release(&w.set);
    ac_loaded_release(&w.l);
    ac_arena_release(&w.arena);
    return st;
}

static const char *const examples[] = {
    "accord rag eval --corpus scifact/corpus.jsonl --queries scifact/queries.jsonl --qrels scifact/qrels/test.tsv",
    NULL
};

const ac_cmd ac_cmd_rag_eval = {
    .name = "rag eval",
    .group = "Look",
    .summary = "nDCG, recall and reciprocal rank of the retrieval on a judged collection",
    .text = "The same index and the same words as in the rag arms; passages are taken whole. With --model each text also "
            "becomes the mean of that model's last states, and both rankings are joined by reciprocal rank fusion.",
    .examples = examples,
    .options = options,
    .run = run,
};
