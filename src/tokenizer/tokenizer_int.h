/* tokenizer/tokenizer_int.h - the parts of a tokenizer, between this room's files.
 *
 * The way of a text: added tokens are cut out (added.c); each stretch between them is normalised (normal.c),
 * cut into words (pretok.c) and each word is merged from single symbols up to tokens (bpe.c).
 * I1  A symbol is a token's id, or from n_tokens on a character that only occurs inside longer tokens.
 * I2  No merge gives a control or unknown token, so that words can never become one (T1). */
#ifndef AC_TOKENIZER_INT_H
#define AC_TOKENIZER_INT_H

#include "base/mem.h"
#include "formats/gguf.h"
#include "formats/tokspec.h"
#include "tokenizer/tokenizer.h"

#define AC_NO_SYMBOL UINT32_MAX

/* ---- Unicode, as the reference's regular expression engines see it ---- */

typedef enum { AC_CH_OTHER, AC_CH_LETTER, AC_CH_NUMBER, AC_CH_SPACE } ac_char_class;   /* \p{L} \p{N} \s */

/* Class of the character at p and its length; an invalid byte is OTHER of length 1. remaining >= 1. */
ac_char_class ac_char_class_at(const char *p, size_t remaining, size_t *len);
/* \p{P} or ASCII punctuation. */
bool ac_char_is_punctuation(const char *p, size_t remaining, size_t *len);
/* Appends text in normal form C; invalid bytes stay as they are. O(n log n). */
ac_status ac_normalize_nfc(ac_str *out, ac_view text, ac_err *err);
bool ac_needs_nfc(ac_view text);      /* false: certainly in normal form C already */

/* ---- words ---- */

typedef struct {
    ac_tok_pre pre;
    const char *s;
    size_t n, at;
    size_t part_end, word_end, digit_end;  /* of the coarser cuts that at lies in */
    bool digits;                           /* [at, digit_end) is a run of digits (Falcon) */
} ac_words;
ac_words ac_words_of(ac_tok_pre pre, ac_view text);
bool ac_words_next(ac_words *w, ac_view *word);

/* ---- merges ---- */

typedef struct {
    uint64_t *pair;        /* left << 32 | right; UINT64_MAX: free */
    uint32_t *rank, *to;
    size_t mask, n;
} ac_merge_table;
bool ac_merge_table_init(ac_merge_table *m, size_t capacity, ac_arena *a);
void ac_merge_table_set(ac_merge_table *m, uint32_t left, uint32_t right, uint32_t rank, uint32_t to);

typedef struct {
    uint32_t id, prev, next;
} ac_symbol;
typedef struct {           /* {0} is valid */
    ac_symbol *symbol;
    uint64_t *heap;        /* rank << 32 | index of the left symbol */
    size_t n, cap, heap_cap;
} ac_merge_work;
ac_status ac_merge_push(ac_merge_work *w, uint32_t id, ac_err *err);
/* Merges the n symbols in place; the result hangs together by next, from symbol 0, to UINT32_MAX. */
ac_status ac_merge_run(const ac_merge_table *m, ac_merge_work *w, ac_err *err);
void ac_merge_release(ac_merge_work *w);

/* ---- added tokens ---- */

typedef struct {
    uint32_t *child, *sibling;      /* node 0 is the root; 0: none */
    uint8_t *byte;
    int32_t *id;                    /* -1: no token ends here */
    uint32_t n_nodes, cap;
    bool first[256];
} ac_trie;
bool ac_trie_add(ac_trie *t, ac_view spelling, int32_t id, ac_arena *a);

typedef struct {
    size_t start, end;      /* with the white space that the token takes along */
    int32_t id;             /* -1: none */
} ac_added_match;

/* ---- the whole ---- */

struct ac_tokenizer {
    ac_arena arena;
    ac_gguf *gguf;
    ac_tokspec spec;
    ac_view *text;          /* what each token decodes to */
    ac_tokmap by_text;      /* every token; byte tokens by their name */
    ac_tokmap symbols;      /* ordinary tokens and I1's characters, by what stands in a normalised text */
    ac_merge_table merges;
    uint32_t byte_id[256];  /* byte-level: each byte's symbol. SentencePiece-style: byte tokens */
    bool lacks_bytes;       /* some byte_id is AC_NO_SYMBOL */
    bool no_cross_space;    /* no merge joins a character and a U+2581 after it: words end before one */
    ac_trie raw, normalized;
    char described[96];
};

/* First added token at or after from; control tokens only with AC_ENCODE_SPECIAL. */
ac_added_match ac_added_find(const ac_tokenizer *t, const ac_trie *trie, ac_view text, size_t from,
                             unsigned flags);
ac_status ac_tokenizer_build(ac_tokenizer *t, ac_err *err);

#endif
