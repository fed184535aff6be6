/* survey_int.h - records of rows and the passes over them. survey.c streams, facts.c looks at one row, near.c finds near
 * duplicates, survey_find.c compares records, split.c writes rows into parts. */
#ifndef AC_DATA_SURVEY_INT_H
#define AC_DATA_SURVEY_INT_H

#include <stdatomic.h>

#include "data/stream_int.h"
#include "data/survey.h"

enum {
    ROW_NO_ASK = 1,             /* no word before the answer: questions are not compared */
    ROW_ANSWER = 2,             /* ends in an answer that is learnt and has words */
    ROW_END_OK = 4,             /* it ends as a sentence, a list, a quotation may */
    ROW_CUT_FORM = 8,           /* a code fence or a JSON text is open at its end */
    ROW_CUT_WORD = 16,          /* it ends in a word or mark that wants more */
    ROW_OPEN = 32,              /* a bracket is open */
    ROW_CUT_LINE = 64,          /* a long line of prose without an end */
    ROW_PROSE = 128             /* answers of 8 words and more: what the share of ends is counted over */
};

typedef struct {
    uint64_t offset;
    uint64_t bytes;             /* hash of all turns, byte for byte */
    uint64_t words;             /* of the words of all turns but system ones */
    uint64_t ask, answer;       /* of the words up to the last answer, of that answer */
    uint64_t ask_bytes;
    uint32_t len, line;
    uint32_t tokens;            /* or words */
    uint32_t n_words;           /* that near duplicates are judged by */
    uint32_t shape, opening;    /* what the row looks like; the first words of its question; 0: none */
    uint16_t file, flags;
} row_rec;

/* What near.c remembers of all runs of words while the files stream past: seen, and seen twice. Bits are only ever
 * set, so that threads may share it and its end state does not depend on them. */
typedef struct {
    _Atomic uint64_t *once, *twice;
    uint64_t mask;              /* slots - 1 */
} gram_sketch;
ac_status gram_sketch_init(gram_sketch *k, uint64_t text_bytes, ac_err *err);
void      gram_sketch_release(gram_sketch *k);

/* The distinct runs of 5 words of a row. */
typedef struct {
    uint64_t *slot, *gram;      /* open addressing; and those in it, in the order found */
    uint32_t *stamp;
    uint32_t now;
    size_t cap, n, room;
} gram_set;
ac_status gram_set_fill(gram_set *g, const uint64_t *w, size_t n, ac_err *err);
void      gram_set_release(gram_set *g);
void      gram_sketch_add(gram_sketch *k, const gram_set *g);

/* Scratch for reading rows, one a thread. */
typedef struct {
    ac_arena arena;             /* of the row in hand */
    ac_words w, turn;
    gram_set grams;
    ac_row_coder coder;
    char *buf;
    size_t cap;
    bool secret;                /* rows come out of a sealed file: wiped on release */
} row_reader;
void row_reader_release(row_reader *r);

typedef struct {
    row_rec *rec;
    size_t n, cap;
    const ac_stream *stream;    /* one a file, for its reader */
    const ac_row_format *format;
    ac_pool *pool;
    const ac_sink *sink;
} row_table;

/* Parses one item and converts it; the row lives in r->arena. */
ac_status row_read(row_reader *r, ac_row *row, const ac_json **tree, const ac_item *it, ac_row_format format,
                   const char *path, ac_err *err);
/* Words of all turns but system ones, in r->w. */
ac_status row_words(row_reader *r, const ac_row *row, ac_err *err);
/* Everything of rec but its place and length in tokens. */
ac_status row_facts(row_rec *rec, row_reader *r, const ac_row *row, ac_row_format format, ac_mask mask,
                    uint32_t *n_words, uint32_t *n_target_words, bool *has_target, ac_err *err);
/* The words of rows [from, to) of one file, which were good when they were read first; calls back for each. */
typedef ac_status row_words_fn(void *ctx, size_t row, row_reader *r, ac_err *err);
ac_status rows_again(const row_table *t, size_t from, size_t to, row_reader *r, row_words_fn *fn, void *ctx,
                     ac_err *err);

/* Joins near rows: parent[i] is the first row of i's group. links get one pair with its similarity for each join that
 * was not made by equal words. */
typedef struct {
    uint32_t a, b;
    float score;
} near_link;
typedef struct {
    uint32_t *parent;
    near_link *link;
    size_t n_links, cap;
} near_groups;
ac_status near_find(near_groups *out, const row_table *t, gram_sketch *k, ac_err *err);
void      near_groups_release(near_groups *g);
uint32_t  near_root(uint32_t *parent, uint32_t i);
void      near_join(uint32_t *parent, uint32_t a, uint32_t b);

/* ---- streaming (survey.c) ---- */

/* What a survey keeps of findings (S4). */
ac_status survey_keep(ac_survey *s, size_t keep, const ac_findings *f, const char *path, ac_err *err);
ac_status survey_compare(ac_survey *s, const ac_survey_opts *o, const row_table *t, near_groups *g, ac_err *err);

/* Reads all files into a table of records; findings of single rows go into s. key (may be NULL): that key's value is
 * the row's question. */
typedef struct {
    const ac_survey_input *in;
    size_t n;
    const ac_survey_opts *o;
    const char *key;
} survey_job;
typedef struct {
    row_table table;
    ac_stream *stream;
    ac_row_format *format;
    gram_sketch sketch;
    size_t n_files;
} survey_rows;
ac_status survey_read(survey_rows *out, ac_survey *s, const survey_job *job, ac_err *err);
void      survey_rows_release(survey_rows *r);

/* Indices of rows sorted by a key of theirs, then by row. */
typedef struct {
    uint64_t key;
    uint32_t row;
} row_key;
void row_keys_sort(row_key *v, size_t n);


#endif
