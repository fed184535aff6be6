/* formats/tokspec.h - a tokenizer's description, read from tokenizer.json or from a GGUF.
 * Only known building blocks are accepted; anything else is refused by its name, never approximated.
 *
 * K1  ids are dense 0..n_tokens-1 and spellings unique; merges refer to tokens that exist; every byte has a
 *     token, or U+FFFD or an unknown token can stand for it (byte-level; SmolLM2 lacks 21 bytes), or there
 *     are 256 byte tokens or an unknown token (SentencePiece-style).
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
    AC_PRE_NONE, AC_PRE_GPT2, AC_PRE_SMOLLM /* StarCoder's too */, AC_PRE_LLAMA3, AC_PRE_QWEN2, AC_PRE_FALCON
} ac_tok_pre;

/* Which stretches of text get a space (byte-level) or U+2581 (SentencePiece-style) in front. A stretch is what
 * lies between added tokens. The last two leave it away where the stretch begins with one already. */
typedef enum {
    AC_PREFIX_NONE, AC_PREFIX_ALWAYS, AC_PREFIX_UNLESS_SPACE, AC_PREFIX_FIRST_UNLESS_SPACE
} ac_tok_prefix;

typedef enum {
    AC_TOK_NORMAL = 1, AC_TOK_UNKNOWN = 2, AC_TOK_CONTROL = 3, AC_TOK_USER = 4, AC_TOK_UNUSED = 5,
    AC_TOK_BYTE = 6
} ac_tok_type;          /* the numbers of GGUF's token_type */

enum {                      /* of added tokens, which are found in the text before anything else */
    AC_TOKF_ADDED = 1,
    AC_TOKF_LSTRIP = 2,     /* takes the white space before it with it */
    AC_TOKF_RSTRIP = 4,     /* ... and after it */
    AC_TOKF_NORMALIZED = 8  /* looked for after normalisation */
};

typedef struct {
    ac_tok_model model;
    ac_tok_pre pre;
    uint32_t n_tokens;
    ac_view *token;         /* as stored in the file */
    uint8_t *type;          /* ac_tok_type */
    uint8_t *flags;         /* AC_TOKF_ */
    float *score;           /* NULL where the file has none */
    uint32_t n_merges;
    uint32_t (*merge)[2];   /* left id, right id; rank = index */
    uint32_t *merge_to;     /* resulting id */
    bool ignore_merges;     /* a pre-token that is a whole token is taken as it is (Llama 3) */
    bool byte_fallback;
    bool fuse_unk;          /* neighbouring unknown characters become one unknown token */
    bool split_spaces;      /* SentencePiece-style: no merge crosses the place before a U+2581 */
    ac_tok_prefix prefix;
    bool nfc;               /* normalise to NFC first (Qwen) */
    bool add_bos, add_eos;  /* the file's own default for plain text */
    int32_t bos, eos, unk, pad, eot;  /* -1: none. eot: end of a chat turn where the file names one */
    ac_view chat_template;  /* {NULL,0}: none */
    ac_view source;         /* path, for messages */
} ac_tokspec;

/* Everything lives in the arena. path: a folder with tokenizer.json (tokenizer_config.json and
 * chat_template.jinja beside it are read for the template and special tokens), the json file itself, or a
 * folder with GPT-2's vocab.json and merges.txt. */
ac_status ac_tokspec_from_json(ac_tokspec *out, const char *path, ac_arena *a, ac_err *err);
/* Views borrow from the open GGUF, which must outlive the description. */
ac_status ac_tokspec_from_gguf(ac_tokspec *out, const ac_gguf *g, ac_arena *a, ac_err *err);

/* Writes tokenizer.json and tokenizer_config.json into dir. Byte-level only: can_write says so (AC_EARG). */
ac_status ac_tokspec_write_folder(const ac_tokspec *s, const char *dir, ac_err *err);
ac_status ac_tokspec_can_write(const ac_tokspec *s, ac_err *err);

const char *ac_tok_pre_name(ac_tok_pre p);          /* "gpt2", "smollm", ... */
/* The byte a character of GPT-2's byte-to-unicode alphabet stands for; -1 when it is none. */
int ac_tok_byte_of_char(uint32_t cp);
/* The byte of a token spelled "<0x41>"; -1 when it is none. */
int ac_tok_byte_of_name(ac_view token);

/* Spelling to id, borrowing the spellings. */
typedef struct {
    ac_view *key;
    uint32_t *value;
    size_t mask, n;
} ac_tokmap;
bool ac_tokmap_init(ac_tokmap *m, size_t capacity, ac_arena *a);        /* false: out of memory */
bool ac_tokmap_put(ac_tokmap *m, ac_view key, uint32_t value);          /* false: it is there already */
bool ac_tokmap_get(const ac_tokmap *m, ac_view key, uint32_t *value);

#endif
