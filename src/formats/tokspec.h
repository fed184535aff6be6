/* formats/tokspec.h - a tokenizer's description, read from tokenizer.json or from a GGUF.
 * Only known building blocks are accepted; anything else is refused by its name, never approximated.
 *
 * K1  ids are dense 0..n_tokens-1; merges refer to tokens that exist; every byte has a token (byte-level) or
 *     there are 256 byte tokens or an unknown token (SentencePiece-style).
 * K2  No pattern of a file is executed: a pre-tokeniser is recognised as one of the enum below. */
#ifndef AC_FORMATS_TOKSPEC_H
#define AC_FORMATS_TOKSPEC_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/mem.h"
#include "base/str.h"
#include "formats/gguf.h"

typedef enum {
    AC_TOK_BPE_BYTES,   /* byte-level BPE: tokens are stored in the byte-to-unicode alphabet of GPT-2 */
    AC_TOK_BPE_SPM      /* SentencePiece-style BPE: U+2581 for spaces, byte fallback, by score or merges */
} ac_tok_model;

typedef enum {
    AC_PRE_NONE, AC_PRE_GPT2, AC_PRE_SMOLLM, AC_PRE_LLAMA3, AC_PRE_QWEN2, AC_PRE_FALCON, AC_PRE_DEEPSEEK_LLM,
    AC_PRE_STARCODER
} ac_tok_pre;

typedef enum {
    AC_TOK_NORMAL = 1, AC_TOK_UNKNOWN = 2, AC_TOK_CONTROL = 3, AC_TOK_USER = 4, AC_TOK_UNUSED = 5,
    AC_TOK_BYTE = 6
} ac_tok_type;          /* the numbers of GGUF's token_type */

typedef struct {
    ac_tok_model model;
    ac_tok_pre pre;
    uint32_t n_tokens;
    ac_view *token;         /* as stored in the file */
    uint8_t *type;          /* ac_tok_type */
    float *score;           /* NULL where the file has none */
    uint32_t n_merges;
    uint32_t (*merge)[2];   /* left id, right id; rank = index */
    uint32_t *merge_to;     /* resulting id */
    bool ignore_merges;     /* a pre-token that is a whole token is taken as it is (Llama 3) */
    bool byte_fallback;
    bool add_prefix_space;  /* in front of the text (GPT-2 family) or U+2581 (SentencePiece) */
    bool nfc;               /* normalise to NFC first (Qwen) */
    bool add_bos, add_eos;  /* the file's own default for plain text */
    int32_t bos, eos, unk, pad, eot;  /* -1: none. eot: end of a chat turn where the file names one */
    ac_view chat_template;  /* {NULL,0}: none */
    ac_view source;         /* path, for messages */
} ac_tokspec;

/* Everything lives in the arena. path: a folder with tokenizer.json (tokenizer_config.json beside it is
 * read for the template and special tokens), or the json file itself. */
ac_status ac_tokspec_from_json(ac_tokspec *out, const char *path, ac_arena *a, ac_err *err);
/* Views borrow from the open GGUF, which must outlive the description. */
ac_status ac_tokspec_from_gguf(ac_tokspec *out, const ac_gguf *g, ac_arena *a, ac_err *err);

#endif
