/* rag/rag.h - retrieval for the rag arms: chunks along headings and paragraphs, BM25 by SQLite's FTS5.
 *
 * G1  The index is derived from the documents alone, in memory or in a file, and is rebuilt when they change.
 * G2  Retrieved text is data: it goes into the user turn inside a fence, never into the system turn, and is
 *     encoded without special tokens.
 * G3  Ties in score are broken by chunk number: the order is the same everywhere. */
#ifndef AC_RAG_RAG_H
#define AC_RAG_RAG_H

#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "tokenizer/tokenizer.h"

typedef struct ac_rag ac_rag;
typedef struct {
    size_t chunk_tokens;       /* target size, 200..400 */
    size_t overlap_tokens;
    size_t top;                /* passages a question */
} ac_rag_opts;

typedef struct {
    size_t number;             /* chunk number, from 0 */
    ac_view source;            /* file, relative to the folder */
    ac_view heading;           /* heading path "A > B" */
    ac_view text;
    double score;              /* BM25, larger is better */
} ac_passage;

/* Reads *.md, *.markdown and *.txt below dir (sorted, recursive, hidden names left out). tok measures chunk
 * sizes and may be closed afterwards. opts NULL or a field 0: 300 tokens, no overlap, 5 passages. */
ac_status ac_rag_open(ac_rag **out, const char *dir, const ac_tokenizer *tok, const ac_rag_opts *opts, ac_err *err);
/* The same over passages that somebody else cut; n >= 1. Views are borrowed until close. Sizes in opts are not used. */
ac_status ac_rag_open_passages(ac_rag **out, const ac_passage *p, size_t n, const ac_rag_opts *opts, ac_err *err);
void      ac_rag_close(ac_rag **r);
size_t    ac_rag_chunks(const ac_rag *r);
/* Invisible characters (tags, direction overrides, zero-width) that were left out of the documents' text: more
 * than a few are worth a warning, as they can carry instructions that no reader sees. */
size_t    ac_rag_hidden(const ac_rag *r);
ac_status ac_rag_chunk_at(const ac_rag *r, size_t i, ac_passage *out);
/* Up to `top` passages, best first, views borrowed from the index. */
ac_status ac_rag_search(ac_rag *r, ac_view question, ac_arena *a, ac_passage **out, size_t *n, ac_err *err);
/* ---- a dense arm beside the words ----
 * Vectors of length 1, `hidden` floats each, made by the caller for every passage in order (ac_rag_chunk_at) and borrowed until
 * close. Then ac_rag_search_both ranks by words and by inner product, and joins the two by reciprocal rank fusion
 * (Cormack, Clarke, Buettcher 2009): sum of 1 / (60 + rank) over the first AC_RAG_FUSE of each list. */
#define AC_RAG_FUSE 100
void      ac_rag_set_vectors(ac_rag *r, const float *vectors, size_t hidden);
bool      ac_rag_is_dense(const ac_rag *r);
ac_status ac_rag_search_both(ac_rag *r, ac_view question, const float *vector, ac_arena *a, ac_passage **out, size_t *n,
                             ac_err *err);

/* ---- how good it is (measure.c) -------------------------------------------------------------------------
 * Judgements: which passage answers a question how well; 0 or absent: not at all. Formulas as trec_eval's ndcg_cut and
 * recall: gain is the judgement itself, discount log2(rank + 1), ideal order by judgement. */
typedef struct {
    size_t passage;            /* number */
    double gain;               /* >= 0 */
} ac_rag_gold;
/* found: passage numbers, best first. 0 when nothing is relevant. */
double    ac_rag_ndcg(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k);
double    ac_rag_recall(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k);
double    ac_rag_reciprocal_rank(const size_t *found, size_t n, const ac_rag_gold *gold, size_t n_gold, size_t k);

/* ---- a test collection in BEIR's layout (beir.c) ----
 * corpus: JSON lines {"_id","title","text"}; queries: {"_id","text"}; qrels: lines of query, passage, judgement parted by
 * tabs, with or without a heading. Queries without a judgement above 0 are left out. */
typedef struct {
    const char *id;
    ac_view text;
    size_t n_gold;
    ac_rag_gold *gold;
} ac_rag_query_item;
typedef struct {
    ac_arena arena;
    size_t n_passages, n_queries;
    ac_passage *passage;       /* source: the id, heading: the title */
    ac_rag_query_item *query;
    size_t n_unknown;          /* judgements about passages or queries that the files do not have */
} ac_rag_collection;
ac_status ac_rag_collection_read(ac_rag_collection *out, const char *corpus, const char *queries, const char *qrels,
                                 ac_err *err);
void      ac_rag_collection_release(ac_rag_collection *c);

/* The user turn with passages in front: fence, numbered passages [1].., question. */
ac_status ac_rag_prompt(ac_str *out, const ac_passage *p, size_t n, ac_view question, ac_err *err);
/* The documents as they are searched: names relative to the folder, text without invisible characters. In the arena. */
typedef struct {
    const char *name, *path;
    ac_view text;
} ac_rag_text;
ac_status ac_rag_texts(ac_rag_text **out, size_t *n, ac_arena *a, const char *dir, ac_err *err);
/* ---- what an answer cites (cite.c) -----------------------------------------------------------------------------
 * A citation is [i]; in range when 1 <= i <= n. A quote is a span of three words or more between double quotation marks
 * ("..." or the typographic pairs); it belongs to the first citation behind it on the same line, else to every passage.
 * It is supported when its words stand as one run in a passage that it belongs to: lexical support, nothing more. */
typedef struct {
    size_t n_citations, n_out_of_range, n_quotes, n_unsupported;
    ac_view first_unsupported;     /* into the answer */
} ac_rag_cites;
ac_status ac_rag_check_cites(ac_rag_cites *out, ac_view answer, const ac_passage *p, size_t n, ac_err *err);

/* Hash over all documents' names and bytes: what the lock seals. */
ac_status ac_rag_hash(ac_sha256 *out, const char *dir, ac_err *err);

#endif
