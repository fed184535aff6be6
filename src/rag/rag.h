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
void      ac_rag_close(ac_rag **r);
size_t    ac_rag_chunks(const ac_rag *r);
/* Invisible characters (tags, direction overrides, zero-width) that were left out of the documents' text: more
 * than a few are worth a warning, as they can carry instructions that no reader sees. */
size_t    ac_rag_hidden(const ac_rag *r);
ac_status ac_rag_chunk_at(const ac_rag *r, size_t i, ac_passage *out);
/* Up to `top` passages, best first, views borrowed from the index. */
ac_status ac_rag_search(ac_rag *r, ac_view question, ac_arena *a, ac_passage **out, size_t *n, ac_err *err);
/* The user turn with passages in front: fence, numbered passages [1].., question. */
ac_status ac_rag_prompt(ac_str *out, const ac_passage *p, size_t n, ac_view question, ac_err *err);
/* The documents as they are searched: names relative to the folder, text without invisible characters. In the arena. */
typedef struct {
    const char *name, *path;
    ac_view text;
} ac_rag_text;
ac_status ac_rag_texts(ac_rag_text **out, size_t *n, ac_arena *a, const char *dir, ac_err *err);
/* Hash over all documents' names and bytes: what the lock seals. */
ac_status ac_rag_hash(ac_sha256 *out, const char *dir, ac_err *err);

#endif
