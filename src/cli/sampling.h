/* cli/sampling.h - the options that generate and chat share, and text as it comes out token by token. */
#ifndef AC_CLI_SAMPLING_H
#define AC_CLI_SAMPLING_H

#include "cli/cli.h"
#include "cli/load.h"
#include "generate/generate.h"

typedef struct {
    int64_t max_tokens, top_k;
    double temperature, top_p, min_p;
    uint64_t seed;
} ac_sampling;

#define AC_SAMPLING_DEFAULT { .max_tokens = 256, .top_p = 1.0 }
#define AC_SAMPLING_OPTIONS(s) \
    AC_OPT_GROUP("Sampling"), \
    AC_OPT_INT('n', "max-tokens", &(s).max_tokens, 1, 1e6, "n", "tokens to answer with at most"), \
    AC_OPT_F64(0, "temperature", &(s).temperature, 0, 100, "x", "0: always the most likely token"), \
    AC_OPT_INT(0, "top-k", &(s).top_k, 0, 1e6, "n", "draw from the k most likely tokens; 0: from all"), \
    AC_OPT_F64(0, "top-p", &(s).top_p, 1e-6, 1, "x", "draw from the most likely tokens that have this share"), \
    AC_OPT_F64(0, "min-p", &(s).min_p, 0, 1, "x", \
               "leave out tokens less likely than this part of the most likely one"), \
    AC_OPT_U64(0, "seed", &(s).seed, "n", "of the random numbers; the same seed gives the same text")

/* Refuses options that would be ignored: drawing options without a temperature. */
ac_status ac_sampling_check(const ac_sampling *s, ac_err *err);
void      ac_sampling_apply(ac_gen_opts *o, const ac_sampling *s);
const char *ac_gen_end_name(ac_gen_end e);      /* "stop", "length", "context" */

/* Prints tokens as whole UTF-8 characters. */
typedef struct {
    ac_cli *cli;
    const ac_tokenizer *tokenizer;
    ac_str pending, out;
    bool keep_space;            /* the first token's prefix space belongs to the text */
    bool any, failed;
} ac_stream;
bool ac_stream_token(void *stream, size_t request, int32_t id);   /* an ac_gen_on_token */
void ac_stream_end(ac_stream *s);                                 /* prints what is left, releases */

/* The answer's text; keep_space as above. */
ac_status ac_answer_text(ac_str *out, const ac_tokenizer *t, const ac_ids *ids, bool keep_space, ac_err *err);

#endif
