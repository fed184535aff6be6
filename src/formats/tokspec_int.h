/* formats/tokspec_int.h - what the two readers of tokenizer descriptions share. */
#ifndef AC_FORMATS_TOKSPEC_INT_H
#define AC_FORMATS_TOKSPEC_INT_H

#include "formats/json.h"
#include "formats/tokspec.h"

typedef struct {
    ac_tokspec *s;
    ac_arena *a;            /* what stays */
    ac_arena *tmp;          /* what is dropped after reading */
    ac_tokmap map;          /* spelling to id */
    const char *name;       /* the file, for messages */
    uint32_t model_unk;     /* id of the BPE model's own unknown token; UINT32_MAX: none */
} ac_spec_build;

/* n tokens of type NORMAL, spelled {NULL,0}, and a map for them. */
ac_status ac_spec_alloc_tokens(ac_spec_build *b, size_t n, ac_err *err);
/* Sets token id's spelling (borrowed) and enters it in the map; refuses duplicates. */
ac_status ac_spec_set_token(ac_spec_build *b, uint32_t id, ac_view spelling, ac_err *err);
ac_status ac_spec_alloc_merges(ac_spec_build *b, size_t n, ac_err *err);
ac_status ac_spec_set_merge(ac_spec_build *b, uint32_t rank, ac_view left, ac_view right, ac_err *err);
/* "left right", parted by the first space after the first byte, which must be the only one. */
ac_status ac_spec_set_merge_line(ac_spec_build *b, uint32_t rank, ac_view line, ac_err *err);
/* K1, and the types that follow from the rest. */
ac_status ac_spec_finish(ac_spec_build *b, ac_err *err);
/* Tokens that only a frame may set although their file does not call them special. */
bool ac_spec_looks_special(ac_view spelling);

/* normalizer, pre_tokenizer, decoder of a tokenizer.json: sets model, pre, prefix, nfc, split_spaces. */
ac_status ac_spec_read_pipeline(ac_spec_build *b, const ac_json *root, ac_err *err);
ac_status ac_spec_read_post(ac_spec_build *b, const ac_json *root, ac_err *err);
/* The files beside tokenizer.json in dir. */
ac_status ac_spec_read_config(ac_spec_build *b, const char *dir, ac_err *err);

/* The regular expression of a pre-tokeniser as its files spell it; NULL where it is none. */
const char *ac_spec_regex(ac_tok_pre pre);

#endif
