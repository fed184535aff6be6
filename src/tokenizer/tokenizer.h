/* tokenizer/tokenizer.h - text to token ids and back, exactly as the model's makers do it.
 *
 * T1  Encoding user text never yields a control token: their spellings are encoded as ordinary text unless
 *     AC_ENCODE_SPECIAL is given.
 * T2  Time is O(n log n) in the text, also for one huge word; memory is bounded by a multiple of the text.
 * T3  Invalid UTF-8 is encoded byte by byte where the vocabulary can, each bad byte as U+FFFD otherwise.
 * Threads: a tokenizer is read-only after opening; calls may run side by side. */
#ifndef AC_TOKENIZER_TOKENIZER_H
#define AC_TOKENIZER_TOKENIZER_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

typedef struct ac_tokenizer ac_tokenizer;

typedef struct {           /* growing list of ids; {0} is valid */
    int32_t *id;
    size_t n, cap;
} ac_ids;
ac_status ac_ids_push(ac_ids *ids, int32_t id, ac_err *err);
void      ac_ids_reset(ac_ids *ids);
void      ac_ids_release(ac_ids *ids);

enum {
    AC_ENCODE_SPECIAL = 1,      /* spellings of control tokens become those tokens */
    AC_ENCODE_BOS = 2,          /* begin with BOS where the model's own setting adds one */
    AC_ENCODE_EOS = 4,
    AC_ENCODE_CONTINUE = 8      /* a piece in the middle of a text: no prefix space is put in front */
};

/* path: a GGUF file, a folder with tokenizer.json, or tokenizer.json itself. */
ac_status ac_tokenizer_open(ac_tokenizer **out, const char *path, ac_err *err);
void      ac_tokenizer_close(ac_tokenizer **t);

/* Appends to out. */
ac_status ac_tokenizer_encode(const ac_tokenizer *t, ac_view text, unsigned flags, ac_ids *out,
                              ac_err *err);
enum { AC_DECODE_SPECIAL = 1, AC_DECODE_KEEP_PREFIX_SPACE = 2 };
/* Appends bytes (which may end inside a UTF-8 sequence). Without AC_DECODE_SPECIAL control tokens are
 * left out. Ids out of range are AC_EARG. */
ac_status ac_tokenizer_decode(const ac_tokenizer *t, const int32_t *ids, size_t n, unsigned flags,
                              ac_str *out, ac_err *err);

size_t  ac_tokenizer_size(const ac_tokenizer *t);
int32_t ac_tokenizer_bos(const ac_tokenizer *t);     /* -1: none */
int32_t ac_tokenizer_eos(const ac_tokenizer *t);
bool    ac_tokenizer_is_control(const ac_tokenizer *t, int32_t id);
/* Id of the token spelled exactly so, control tokens included; -1 when there is none. */
int32_t ac_tokenizer_find(const ac_tokenizer *t, ac_view spelling);
ac_view ac_tokenizer_chat_template(const ac_tokenizer *t);
const char *ac_tokenizer_describe(const ac_tokenizer *t);   /* "byte-level BPE, 49152 tokens, smollm" */
/* SHA-256 over the canonical content (tokens, types, merges, settings): what the lock seals. */
#include "base/hash.h"
ac_status ac_tokenizer_hash(const ac_tokenizer *t, ac_sha256 *out, ac_err *err);

#endif
