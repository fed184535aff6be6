/* data_int.h - words, hash index and finding builder shared by this room's checks. */
#ifndef AC_DATA_DATA_INT_H
#define AC_DATA_DATA_INT_H

#include "data/data.h"
#include "formats/json.h"

/* ---- words (docs/data.md, "Words") -------------------------------------------------------------------
 * A word is a 64-bit hash of its case-folded, compatibility-decomposed letters; bit 0 says that a digit is
 * in it. Two texts are "the same" when their words are. The hash is fixed: ids of findings build on it. */
typedef struct {
    uint64_t *word;
    size_t n, cap;
} ac_words;
ac_status ac_words_add(ac_words *w, ac_view text, ac_err *err);   /* appends */
void      ac_words_release(ac_words *w);

#define AC_WORD_HAS_DIGIT(w) (((w) & 1) != 0)

uint64_t ac_mix64(uint64_t x);
uint64_t ac_hash_bytes(uint64_t h, ac_view v);                    /* stable across versions */
/* Hash of the words [from, to): order matters. */
uint64_t ac_words_hash(const uint64_t *w, size_t from, size_t to);
/* Distinct hashes of runs of n words, sorted; room must hold count words. Returns how many. */
size_t   ac_words_grams(uint64_t *room, const uint64_t *w, size_t count, size_t n);
/* Distinct words themselves (their digit bits kept), sorted; room as above. */
size_t   ac_words_set(uint64_t *room, const uint64_t *w, size_t count);
void     ac_sort_u64(uint64_t *v, size_t n);
bool     ac_sorted_has(const uint64_t *v, size_t n, uint64_t x);

/* ---- index: 64-bit key to 32-bit value, which must not be 0 ---- */
typedef struct {
    uint64_t *key;
    uint32_t *val;
    size_t n, cap;              /* cap: a power of two, or 0 */
} ac_index;
/* The value's place for key, made with value UINT32_MAX when it is new; NULL: out of memory. */
uint32_t *ac_index_at(ac_index *x, uint64_t key);
uint32_t *ac_index_find(const ac_index *x, uint64_t key);         /* NULL: absent */
void      ac_index_release(ac_index *x);

/* ---- findings ---- */
/* kind must be a literal. identity makes the id: kind + 8 hex digits. */
ac_status ac_finding_add(ac_findings *f, ac_severity sev, const char *kind, uint64_t identity,
                         size_t line_a, size_t line_b, double score, ac_err *err, const char *fmt, ...)
    AC_PRINTF(9, 10);

/* Appends a copy of x. */
ac_status ac_finding_copy(ac_findings *f, const ac_finding *x, ac_err *err);

/* ---- one row's source value (rows.c gives, convert.c takes) ---- */
typedef struct {
    const char *path;
    ac_view text;               /* what offsets of nodes count from */
    size_t first_line;          /* line number of text's first line */
    size_t first_column;        /* where text begins in it; 0: 1 */
    bool borrow;                /* strings of the tree outlive the row: nothing is copied */
} ac_row_place;
/* AC_EFORMAT with "path:line:column: ..." */
ac_status ac_row_bad(const ac_row_place *p, const ac_json *at, ac_err *err, const char *fmt, ...)
    AC_PRINTF(4, 5);
/* Fills row->message from one object; strings go into a (those inside text are borrowed). */
ac_status ac_row_convert(ac_row *row, const ac_json *v, ac_row_format format, const ac_row_place *p,
                         ac_arena *a, ac_err *err);
/* Bit 1 << format for each format whose keys the object has. */
unsigned  ac_row_candidates(const ac_json *v);
#define AC_ROW_NOT_LEARNT (1u << AC_FORMAT_PREFERENCE | 1u << AC_FORMAT_KTO)
#define AC_ROW_MAX_BYTES ((size_t)16 << 20)
#define AC_ROWS_WANTED "messages, prompt + completion, text, instruction + output, or conversations"
/* Says what an object with no candidates is. */
ac_status ac_row_unknown(const ac_row_place *p, const ac_json *v, ac_err *err);
/* Refuses compressed and UTF-16 files by name, from their first bytes. */
ac_status ac_rows_bytes_ok(const char *path, ac_view t, ac_err *err);


/* ---- a row as tokens (dataset.c) ---- */
typedef struct {
    const ac_tokenizer *tok;
    const ac_chat *chat;        /* NULL: text rows only */
    const ac_data_opts *opts;
    ac_rendered text;           /* of the row coded last */
    uint8_t *target;            /* parallel to text.ids; the first is 0 */
    size_t target_cap;
} ac_row_coder;
ac_status ac_row_code(ac_row_coder *c, const ac_row *r, ac_row_format format, const char *path, ac_err *err);
void      ac_row_coder_release(ac_row_coder *c);
size_t    ac_row_last_answer(const ac_row *r);                    /* SIZE_MAX: none */
/* Does the mask take what this turn says? The row's own word goes first. */
bool      ac_row_takes(const ac_row *r, size_t i, size_t last_answer, ac_mask mask);

/* ---- one row by itself (check.c) ---- */
uint64_t  ac_row_hash(const ac_row *r);                            /* of all turns, byte for byte */
ac_status ac_row_faults(ac_findings *out, const ac_row *r, ac_row_format format, ac_err *err);

#endif
