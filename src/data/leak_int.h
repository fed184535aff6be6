/* leak_int.h - state of a leak check; leak.c finds, leak_report.c writes it down. */
#ifndef AC_DATA_LEAK_INT_H
#define AC_DATA_LEAK_INT_H

#include "data/data_int.h"

#define LEAK_NEAR  ((size_t)5)     /* words in a run of the similarity */
#define LEAK_SPAN  ((size_t)13)    /* words in a run that is suspicious by itself */
#define LEAK_WHOLE ((size_t)8)     /* a question of so many words inside a text is no accident */
#define LEAK_WARN  0.5
#define LEAK_FAIL  0.8
#define LEAK_FRAME (UINT32_MAX - 1)

typedef enum { LEAK_EXACT, LEAK_PROMPT, LEAK_SIMILAR, LEAK_NGRAM, LEAK_KINDS } leak_kind;
enum { LEAK_BY_ASK, LEAK_BY_PROMPT, LEAK_BY_ANSWER, LEAK_BY_HEAD, LEAK_CHAINS };

typedef struct {
    size_t n;                  /* rows */
    size_t line, last_line;    /* of the best, of the last counted */
    double score;
    uint64_t identity;         /* sum of the rows' hashes */
} leak_count;

typedef struct {
    uint64_t *w, *set;         /* words in order; distinct words, sorted */
    size_t n, n_set, n_head;   /* n_head: words of the context in front */
} leak_text;

typedef struct {
    const ac_leak_text *in;
    leak_text ask, answer;
    uint64_t ask_hash, prompt_hash, answer_hash;
    size_t n_grams;            /* distinct runs of LEAK_NEAR words that are not frame */
    uint32_t next[LEAK_CHAINS];
    leak_count fail[LEAK_KINDS], warn[LEAK_KINDS];
    bool answered;             /* some row gives the same answer */
} leak_case;

typedef struct {
    uint64_t gram;
    uint32_t item;
} leak_post;

typedef struct {
    size_t width, n;
    leak_post *post;           /* sorted by gram */
    ac_index index;            /* gram to its first post plus one, or LEAK_FRAME */
} leak_grams;

typedef struct {
    ac_arena arena;
    size_t n;
    leak_case *item;
    ac_index asks, prompts, answers, heads;
    leak_grams near, span;
    uint32_t *hits, *long_hits, *touched;
    size_t n_touched;
    ac_words w;                /* of the row in hand */
    uint64_t *room;
    size_t n_room;
    size_t n_canary, canary_line;
} leak;

/* A question of a row with what went before it, words [0, to) and the question itself [from, to). */
typedef struct {
    const uint64_t *w;
    size_t from, to, answer_from, answer_to;
    size_t line;
    uint64_t row_hash;
    bool is_text;
} leak_exchange;

ac_status ac_leak_report(ac_findings *f, const leak *k, const ac_row_file *rows, ac_err *err);

#endif
