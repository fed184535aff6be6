/* cli/embed.h - texts to vectors by the base model's own states (ac_model_embed), with progress. */
#ifndef AC_CLI_EMBED_H
#define AC_CLI_EMBED_H

#include "cli/load.h"

/* Longer texts are cut: what they are about is clear by then. */
#define AC_EMBED_TOKENS ((size_t)256)

/* n vectors of the model's width, in the arena; a text without a token becomes zeros. Model and tokenizer are open. cli
 * and what may be NULL: no progress. */
ac_status ac_embed_texts(float **out, ac_loaded *l, ac_cli *cli, const ac_view *text, size_t n, const char *what, ac_arena *a,
                         ac_err *err);

#endif
