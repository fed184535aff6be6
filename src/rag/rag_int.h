/* rag/rag_int.h - documents, chunks and words, between the files of the room. */
#ifndef AC_RAG_RAG_INT_H
#define AC_RAG_RAG_INT_H

#include "rag/rag.h"

/* ---- documents (docs.c) ---- */

typedef struct {
    const char *name;      /* relative to the folder, '/' between */
    const char *path;
} ac_rag_doc;

/* All *.md and *.txt below dir, sorted bytewise by name. Hidden names are left out. */
ac_status ac_rag_list(const char *dir, ac_arena *a, ac_rag_doc **docs, size_t *n, ac_err *err);
/* The document's text in the arena: UTF-8, LF line ends, without characters that cannot be seen (counted in
 * *hidden): a person checks what is shown, so nothing else is passed on. */
ac_status ac_rag_read(const ac_rag_doc *doc, ac_arena *a, ac_view *text, size_t *hidden, ac_err *err);

/* ---- chunks (chunk.c) ---- */

typedef struct {
    ac_view source, heading, text;
} ac_rag_chunk;

typedef struct {
    ac_rag_chunk *chunk;   /* ac_malloc */
    size_t n, cap;
} ac_rag_list_of_chunks;

ac_status ac_rag_chunk_doc(ac_rag_list_of_chunks *out, ac_view source, ac_view text, bool markdown,
                           const ac_tokenizer *tok, const ac_rag_opts *o, ac_arena *a, ac_err *err);

/* ---- words (words.c) ---- */

/* Appends the text's words, parted by spaces. Scripts that do not part words are given one character a word. */
void ac_rag_words(ac_str *out, ac_view text);
/* A query of FTS5 that finds any of the question's words: only letters, digits and marks get into it, inside
 * quotes, so that no question can be a syntax error or an operator. Empty when there is no word. */
void ac_rag_query(ac_str *out, ac_view question);

#endif
