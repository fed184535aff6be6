/* data/survey.h - every row of every file, in bounded memory: what `accord data check` knows (docs/data.md).
 *
 * S1  Files are streamed in blocks over the pool; what is kept of a row is a record of 80 bytes. Nothing in the result
 *     depends on the number of threads.
 * S2  Near duplicates are exact: two rows are near when the sets of their runs of 5 words have a Jaccard index of at
 *     least 0.8, or when their words are the same; no pair is missed (near.c says how). Groups are what hangs together.
 * S3  A bad row is a finding, "bad-row", and the rest is still looked at; what cannot be read as a file of rows at all
 *     fails the call.
 * S4  Of each kind at most `keep` findings are kept, the first ones; all are counted. */
#ifndef AC_DATA_SURVEY_H
#define AC_DATA_SURVEY_H

#include "base/pool.h"
#include "data/data.h"
#include "data/scan.h"

typedef enum { AC_SPLIT_NONE, AC_SPLIT_TRAIN, AC_SPLIT_VALID, AC_SPLIT_TEST } ac_split;
const char *ac_split_name(ac_split s);
/* By the file's name: train*, valid*, val*, dev*, eval*, test*. */
ac_split    ac_split_of(const char *path);

#define AC_LENGTH_BINS 32
typedef struct {
    size_t n;
    uint32_t min, median, p95, max;
    size_t bin[AC_LENGTH_BINS];     /* bin 0: empty; bin i: from 2^(i-1) to 2^i - 1 */
} ac_lengths;

typedef struct {
    const char *path;
    ac_split split;
    ac_row_format format;
    uint64_t bytes;
    ac_sha256 hash;
    size_t n_rows, n_bad, first_bad;        /* rows that were read; lines that were not */
    uint64_t n_tokens, n_targets;           /* words without a tokenizer */
    ac_lengths length;
    size_t n_zero_target, n_long;
    size_t n_copies;                        /* rows that are an earlier row of the file, byte for byte */
    size_t n_near_groups, n_near;           /* groups of near duplicates, and their rows; copies counted once */
    size_t n_asked_again, n_asked_again_bytes, n_other_answer;   /* rows that ask what an earlier one asks */
    size_t n_same_pair;                     /* preference: chosen == rejected */
    size_t n_label[2];                      /* KTO */
    size_t n_unread;                        /* keys that nothing reads */
    const ac_unread_key *unread;
} ac_survey_file;

/* Rows of file b that stand in file a. Distinct ones are counted by their bytes. */
typedef struct {
    size_t a, b;
    size_t pairs_words, pairs_bytes, pairs_distinct;             /* question and answer */
    size_t prompts_words, prompts_bytes, prompts_distinct;       /* the question, whatever the answer */
    size_t near;                                                 /* hang together by near duplicates, not in pairs */
} ac_survey_overlap;

typedef struct {
    const char *kind;
    ac_severity severity;
    size_t n, kept;
} ac_survey_count;

typedef struct {
    const char *path;
    ac_split split;
} ac_survey_input;

typedef struct {
    const ac_tokenizer *tok;       /* NULL: lengths in words */
    const ac_chat *chat;           /* NULL: text rows only can be turned into tokens */
    ac_data_opts data;             /* max_len 0: any length */
    const ac_scanner *scanner;     /* NULL: secrets and personal data are not looked for */
    bool near;
    size_t keep;                   /* 0: 1000 */
    ac_pool *pool;                 /* may be NULL */
    const ac_sink *sink;
} ac_survey_opts;

typedef struct {
    ac_findings found;             /* path_a, path_b are set */
    size_t n_files;
    ac_survey_file *file;
    size_t n_overlaps;
    ac_survey_overlap *overlap;
    size_t n_counts;
    ac_survey_count *count;
    size_t by[3];                  /* findings of each severity */
    ac_err first_bad;              /* "" when every row could be read */
    bool has_tokens;
    ac_arena arena;
} ac_survey;

/* Borrows inputs during the call and their paths as long as the result lives. */
ac_status ac_survey_run(ac_survey *out, const ac_survey_input *in, size_t n, const ac_survey_opts *o, ac_err *err);
void      ac_survey_release(ac_survey *s);

/* ---- what is learnt, row by row ---- */

typedef struct {
    const ac_row *row;
    const uint8_t *takes;          /* one a message: its words are learnt */
    const int32_t *ids;            /* NULL without a tokenizer */
    const uint8_t *target;
    size_t n, n_target;
} ac_mask_row;
typedef ac_status ac_mask_fn(void *ctx, const ac_mask_row *r, ac_err *err);
/* The first n rows of a file that can be read; all are valid during the call only. */
ac_status ac_mask_walk(const char *path, ac_row_format format, size_t n, const ac_survey_opts *o, ac_mask_fn *fn,
                       void *ctx, ac_err *err);

/* ---- splitting ---- */

typedef enum { AC_SPLIT_BY_PROMPT, AC_SPLIT_BY_NONE, AC_SPLIT_BY_KEY } ac_split_by;
typedef struct {
    ac_split_by by;
    const char *key;               /* BY_KEY: a key of the row's object; rows without it are refused */
    bool near;                     /* near duplicates stay together */
    double valid, test;            /* shares of the rows */
    uint64_t seed;
    ac_pool *pool;
    const ac_sink *sink;
} ac_split_opts;
typedef struct {
    size_t rows, groups;
    ac_sha256 hash;
    uint64_t bytes;
} ac_split_part;
typedef struct {
    ac_row_format format;
    size_t n_rows, n_groups, largest_group;
    ac_split_part part[4];         /* by ac_split; [0] is not used */
    size_t n_files;
    ac_survey_file *file;
    ac_arena arena;
} ac_split_result;
/* Writes <dir>/train.jsonl, valid.jsonl and test.jsonl (the last two where a share is asked for). A file that is there
 * already is AC_ECREATE. The same rows, options and seed give the same bytes. */
ac_status ac_split_write(ac_split_result *out, const char *const *paths, size_t n, const char *dir,
                         const ac_split_opts *o, ac_err *err);
void      ac_split_result_release(ac_split_result *r);

#endif
