/* leak_int.h - state of a leak check: leak.c streams rows and documents, leak_case.c prepares the cases,
 * leak_match.c compares, leak_chars.c does so by characters, leak_report.c writes down what was found. */
#ifndef AC_DATA_LEAK_INT_H
#define AC_DATA_LEAK_INT_H

#include "data/data_int.h"

#define LEAK_NEAR   ((size_t)5)     /* words in a run of the similarity */
#define LEAK_EIGHT  ((size_t)8)     /* in one of which most standing somewhere is worth a look */
#define LEAK_SPAN   ((size_t)13)    /* in one that is suspicious by itself */
#define LEAK_WHOLE  ((size_t)8)     /* a question of so many words inside something longer is no accident */
#define LEAK_WINDOW ((size_t)50)    /* characters */
#define LEAK_WARN   0.5
#define LEAK_FAIL   0.8
#define LEAK_SEEN   0.7             /* share of a question's runs of 8 words that stand somewhere */
#define LEAK_COMMON 5u              /* a run in so many different rows is the task's own wording */
#define LEAK_FRAME  (UINT32_MAX - 1)
#define LEAK_BLOOM  ((size_t)1 << 18)

typedef enum { LEAK_EXACT, LEAK_INSIDE, LEAK_PROMPT, LEAK_SIMILAR, LEAK_NGRAM, LEAK_CHARS, LEAK_KINDS } leak_kind;
enum { LEAK_BY_ASK, LEAK_BY_PROMPT, LEAK_BY_ANSWER, LEAK_BY_HEAD, LEAK_CHAINS };

typedef struct {
    size_t n;                  /* rows */
    size_t line, last_line;    /* of the best, of the last counted */
    size_t run;                /* longest common run of words with the best */
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
    uint32_t *chars;           /* of the prompt: letters and digits only, lower case */
    size_t n_chars;
    size_t n_grams;            /* distinct runs of LEAK_NEAR words that are not frame */
    uint32_t next[LEAK_CHAINS];
    leak_count fail[LEAK_KINDS], warn[LEAK_KINDS];
    size_t done_row;           /* the row in which it was found last, by any rule */
    bool answered;             /* some row gives the same answer */
    size_t answer_line;
} leak_case;

typedef struct {
    uint64_t gram;
    uint32_t item;
} leak_post;

typedef struct {
    size_t width, n;
    leak_post *post;           /* sorted by gram */
    ac_index index;            /* gram to its first post plus one, or LEAK_FRAME */
    size_t *seen_line;         /* at a gram's first post: line of the first row that has it, or 0 */
    uint64_t (*rows)[LEAK_COMMON];      /* likewise: hashes of different rows that have it */
    bool prompts;              /* of the prompts only, not of what went before */
} leak_grams;

typedef struct {
    ac_arena arena;
    size_t n;
    leak_case *item;
    ac_index asks, prompts, answers, heads;
    leak_grams near, eight, span, prompt_span, window;
    uint8_t *bloom;            /* bits of near's grams, then of window's */
    uint32_t *hits, *long_hits, *prompt_hits, *touched;
    uint32_t *char_run, *char_best;
    size_t *char_at;
    size_t n_touched;
    ac_words w;                /* of the row in hand */
    uint8_t *known;            /* at each word: does a run of near begin there? */
    size_t known_cap, longest_known;
    size_t row_number;
    ac_view clean_system;      /* the last system turn in which no run of a case stands */
    uint64_t *room;
    size_t n_room;
    size_t n_canary, canary_line;
    uint32_t *chars;           /* of the turn in hand */
    size_t chars_cap;
    size_t n_new_frames;       /* runs found common to many rows */
} leak;

/* A question of a row with what went before it, words [0, to) and the question itself [from, to). */
typedef struct {
    const uint64_t *w;
    size_t from, to, answer_from, answer_to;
    size_t line;
    uint64_t row_hash;
    bool is_text, is_document;
    ac_view text;              /* of the question, or of the text */
    const size_t *line_words;  /* document: words in front of each line */
    size_t n_lines;
} leak_exchange;

ac_status ac_leak_prepare(leak *k, const ac_leak_text *cases, size_t n, ac_err *err);
void      ac_leak_release(leak *k);
ac_status ac_leak_scratch(leak *k, size_t n, ac_err *err);
bool      ac_leak_is_frame(size_t group, size_t n_cases);
void      ac_leak_bloom_add(uint8_t *bloom, uint64_t gram);
static inline bool leak_bloom_has(const uint8_t *bloom, uint64_t gram)
{
    const size_t bit = (size_t)(gram >> 40) & (LEAK_BLOOM - 1);
    return bloom[bit >> 3] >> (bit & 7) & 1;
}

/* Which words of k->w begin a known run; and what all rules by words say of an exchange. */
ac_status ac_leak_mark_known(leak *k, ac_err *err);
ac_status ac_leak_exchange(leak *k, const leak_exchange *x, ac_err *err);
/* A case's whole question within words [from, to) of a turn; x: the exchange whose question that turn is, or one without
 * an answer. is_question: the turn is a user's. */
ac_status ac_leak_inside(leak *k, const leak_exchange *x, size_t from, size_t to, bool is_question, ac_err *err);
ac_status ac_leak_judge(leak *k, leak_case *c, const leak_exchange *x, leak_kind kind, double score, size_t at, bool may_fail,
                        ac_err *err);
void      ac_leak_count(leak *k, leak_case *c, leak_count *n, const leak_exchange *x, double score, size_t at);
/* The same template with another filling: nearly the same length, most words the same. */
ac_status ac_leak_is_mate(leak *k, const leak_case *c, const leak_exchange *x, bool *mate, ac_err *err);

/* Counts, as failures of likeness, the cases before the i-th to which x (the i-th) is near and no sibling. */
ac_status ac_leak_near_cases(leak *k, const leak_exchange *x, size_t i, ac_err *err);

size_t    ac_leak_chars_of(uint32_t *out, ac_view text);          /* out: room for text.len */
ac_status ac_leak_chars_index(leak *k, ac_err *err);
ac_status ac_leak_chars(leak *k, const leak_exchange *x, ac_err *err);

/* Failures and warnings of the cases; path names the rows. Counts start anew. */
ac_status ac_leak_report(ac_findings *f, leak *k, const char *path, bool is_document, ac_err *err);
/* Cases that ask the same, or nearly. */
ac_status ac_leak_twins(ac_findings *f, leak *k, ac_err *err);

#endif
