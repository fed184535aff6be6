/* tokenizer/chat.h - conversations to token ids, with the roles known for each token.
 *
 * C1  A format is recognised from the model's own template by marks that only it has; an unknown template is
 *     AC_EFORMAT and the message lists the values of `chat_format:`. No template is executed.
 * C2  Text of messages is encoded without special tokens; only the format's frame has them.
 * C3  For each token: which message it came from, and whether it is part of what that role said
 *     (content and the end-of-turn token of an assistant turn) or of the frame.
 * C4  Rendering a prefix of a conversation and asking for the answer gives a prefix of the rendering of the
 *     whole conversation, so that training and generation see the same ids: an answer is encoded apart from
 *     the frame before it. Two templates break this themselves and are followed: Qwen3 gives an answer's
 *     empty think block to the last answer only, and keeps thoughts there; Mistral's version 2 and 3 move
 *     the system text to the last question. */
#ifndef AC_TOKENIZER_CHAT_H
#define AC_TOKENIZER_CHAT_H

#include "tokenizer/tokenizer.h"

typedef enum { AC_ROLE_SYSTEM, AC_ROLE_USER, AC_ROLE_ASSISTANT, AC_ROLE_TOOL } ac_role;
const char *ac_role_name(ac_role r);
bool        ac_role_parse(ac_view name, ac_role *out);

typedef struct {
    ac_role role;
    ac_view content;
    ac_view tool_calls;    /* compact JSON array text, or none */
    ac_view name;
    int train;             /* -1: by the mask mode; 0 or 1: the row says so */
} ac_message;

typedef enum {
    AC_CHAT_CHATML,     /* plain ChatML: no default system turn */
    AC_CHAT_SMOLLM2,    /* ChatML; SmolLM2's default system turn when the conversation has none */
    AC_CHAT_LLAMA2, AC_CHAT_LLAMA3, AC_CHAT_QWEN2, AC_CHAT_QWEN3, AC_CHAT_MISTRAL, AC_CHAT_GEMMA,
    AC_CHAT_PHI3, AC_CHAT_ZEPHYR, AC_CHAT_PLAIN /* for models without a template: only by name */
} ac_chat_format;

typedef struct ac_chat ac_chat;

/* With override and a template of that format, what the template leaves open is taken from it.
 * override: a format's name ("chatml", "smollm2", "llama2", "llama3", "qwen2", "qwen3", "mistral", "gemma",
 * "phi3", "zephyr", "plain"), or NULL to recognise the model's template. Borrows the tokenizer. */
ac_status ac_chat_open(ac_chat **out, const ac_tokenizer *t, const char *override, ac_err *err);
void      ac_chat_close(ac_chat **c);
ac_chat_format ac_chat_format_of(const ac_chat *c);
const char *ac_chat_format_name(ac_chat_format f);

/* One entry a token, parallel to ids: message index (-1: frame of no message) and said = 1 for C3. */
typedef struct {
    ac_ids ids;
    int32_t *message;
    uint8_t *said;
    size_t cap;
} ac_rendered;                      /* {0} is valid; reset by each render */
void ac_rendered_release(ac_rendered *r);

/* add_generation: end with the frame that opens an assistant turn. Role order the format cannot express
 * is AC_EFORMAT. */
ac_status ac_chat_render(const ac_chat *c, const ac_message *msgs, size_t n, bool add_generation,
                         ac_rendered *out, ac_err *err);
/* Ids that end an assistant turn (end-of-turn, end-of-text). Borrowed. */
const int32_t *ac_chat_stop_ids(const ac_chat *c, size_t *n);

#endif
