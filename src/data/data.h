/* data/data.h - training rows: reading, checking, masks, duplicates.
 *
 * R1  The format is decided once a file from all its rows, and every row is checked before anything else
 *     happens; the first bad row is named with its line and column.
 * R2  A row with no supervised token is refused with its line number (T3); a row longer than the context is
 *     refused unless on_long says otherwise, and is then counted (T5).
 * R3  Samples keep the file's order; their ids and masks are what the model will see. */
#ifndef AC_DATA_DATA_H
#define AC_DATA_DATA_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/event.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

typedef enum { AC_MASK_ALL_TURNS /* "assistant" */, AC_MASK_LAST /* "last" */, AC_MASK_NONE /* "none" */ } ac_mask;
typedef enum { AC_LONG_REFUSE, AC_LONG_TRUNCATE, AC_LONG_DROP } ac_on_long;
typedef enum {
    AC_FORMAT_AUTO, AC_FORMAT_MESSAGES, AC_FORMAT_PROMPT_COMPLETION, AC_FORMAT_TEXT, AC_FORMAT_ALPACA,
    AC_FORMAT_SHAREGPT,
    AC_FORMAT_PREFERENCE, AC_FORMAT_KTO     /* recognised and checked; training refuses them by name */
} ac_row_format;
const char *ac_row_format_name(ac_row_format f);
typedef enum { AC_FIND_NOTE, AC_FIND_WARN, AC_FIND_FAIL } ac_severity;

typedef struct {
    size_t line;               /* in the file, from 1 */
    size_t n_messages;
    ac_message *message;       /* views into the arena; prompt/completion become user/assistant turns;
                                  text rows have one message of role assistant and format TEXT;
                                  preference rows end in the chosen answer */
    size_t n_rejected;         /* PREFERENCE: the answer to be avoided */
    ac_message *rejected;
    int label;                 /* KTO: 0 or 1; else -1 */
} ac_row;

/* A key of rows, or of their turns, that nothing reads (data/unread.h). */
typedef struct {
    ac_view name;
    bool in_turn, other_form;
    ac_severity severity;
    const char *near, *why;    /* the name that may be meant, or what the key does elsewhere; may be NULL */
    size_t n_rows, first_line, last_row;
} ac_unread_key;
typedef struct {
    ac_arena arena;
    size_t n;
    ac_unread_key *key;
    size_t n_rows, n_others, other_row;    /* n_others: rows with keys beyond those that are kept */
} ac_unread;

typedef struct {
    ac_arena arena;
    ac_row_format format;
    size_t n;
    ac_row *row;
    ac_sha256 hash;            /* of the file's bytes */
    char *path;
    ac_unread unread;
} ac_row_file;
ac_status ac_rows_read(ac_row_file *out, const char *path, ac_row_format format, ac_err *err);
void      ac_rows_release(ac_row_file *f);

typedef struct {
    const int32_t *ids;
    const uint8_t *target;     /* 1: supervised; never on the first token */
    size_t n, n_target;
    size_t line;
} ac_sample;

typedef struct {
    ac_arena arena;
    size_t n;
    ac_sample *sample;
    size_t n_tokens, n_targets, max_len;
    size_t n_truncated, n_dropped;
} ac_dataset;

typedef struct {
    ac_mask mask;
    size_t max_len;            /* tokens */
    ac_on_long on_long;
    bool text_eos;             /* end plain text rows with the end-of-text token, as training wants; without it a
                                  text row is exactly the tokenizer's own encoding */
} ac_data_opts;
/* chat may be NULL for text rows only. */
ac_status ac_dataset_build(ac_dataset *out, const ac_row_file *rows, const ac_tokenizer *tok,
                           const ac_chat *chat, const ac_data_opts *opts, const ac_sink *sink, ac_err *err);
void      ac_dataset_release(ac_dataset *d);

/* ---- checks ---------------------------------------------------------------------------------------- */

typedef struct {
    ac_severity severity;
    const char *kind;          /* "duplicate", "leak-exact", "leak-ngram", "conflict", "unicode", ... */
    const char *id;            /* stable id for --accept-leak: kind + short hash of both sides */
    size_t line_a, line_b;     /* rows or case numbers; 0: none */
    double score;
    const char *text;          /* one sentence */
    const char *path_a, *path_b;   /* files of the lines; NULL: the list's owner knows */
} ac_finding;
typedef struct {
    ac_arena arena;
    size_t n;
    ac_finding *finding;
} ac_findings;
void ac_findings_release(ac_findings *f);

/* Keys that nothing reads, exact duplicate rows, same prompt with different answers, empty turns, suspicious Unicode. */
ac_status ac_rows_check(ac_findings *out, const ac_row_file *rows, ac_err *err);

/* Validation rows that stand in the training rows too: "train-valid" (question and answer; fails) and
 * "train-valid-prompt" (question only; warns), each one finding with the count as its score. */
ac_status ac_rows_overlap(ac_findings *out, const ac_row_file *train, const ac_row_file *valid, ac_err *err);

/* Leak check of one text against rows: what eval gives for a case. */
typedef struct {
    const char *id;            /* case id */
    ac_view prompt;            /* the last user turn */
    ac_view context;           /* earlier user, assistant and tool turns joined by a newline, or none; no
                                  system turn: rows are compared without theirs */
    ac_view answer;            /* ideal or reference, may be none */
} ac_leak_text;
/* docs/data.md, "Leaks", has the rules: the same words, the whole question inside something longer, near in question and
 * answer, 13 words in a row in other surroundings, most of the characters in a row (fail); what is weaker (warns); the
 * same question twice among the cases (fails), nearly the same (warns). A canary (may be NULL) found in any row fails.
 * line_a: number of the case from 1; line_b: the row's line. */
ac_status ac_leak_check(ac_findings *out, const ac_leak_text *cases, size_t n_cases,
                        const ac_row_file *rows, const char *canary, ac_err *err);

/* Adds to what ac_leak_check found: "similar-alike" (warns) for what it would find if letters of other scripts that look like Latin
 * ones were Latin. */
ac_status ac_leak_alike(ac_findings *f, const ac_leak_text *cases, size_t n_cases, const ac_row_file *rows, ac_err *err);

/* The same against documents, which may hold answers but not questions; path_b, line_b: the document (its path borrowed). */
typedef struct {
    const char *path;
    ac_view text;
} ac_leak_document;
ac_status ac_leak_documents(ac_findings *out, const ac_leak_text *cases, size_t n_cases, const ac_leak_document *docs,
                            size_t n_docs, const char *canary, ac_err *err);

#endif
