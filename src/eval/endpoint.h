/* eval/endpoint.h - an arm that is somebody else's server: any that speaks OpenAI's chat completions.
 *
 * E1  The request is {"model", "messages", "temperature": 0, "top_p": 1, "max_tokens", "seed": 0, "stream": false}; the
 *     messages are the case's turns behind the contract's system turn, as every other arm gets them.
 * E2  A server owes nobody the same answer twice. Its column is shown beside the verdict and decides nothing.
 * E3  The key comes from the environment and is in no file, message or log. */
#ifndef AC_EVAL_ENDPOINT_H
#define AC_EVAL_ENDPOINT_H

#include "eval/arms.h"

typedef struct {
    const char *name;          /* "endpoint:NAME", the column */
    const char *url;           /* .../v1 or .../v1/chat/completions */
    const char *model;
    const char *key;           /* NULL: none */
    int64_t timeout_ms;        /* of one answer; 0: 120 s */
} ac_endpoint;

/* "NAME=URL,MODEL": cuts the text, which stays the caller's, into the arena. */
ac_status ac_endpoint_parse(ac_endpoint *out, const char *text, ac_arena *a, ac_err *err);
/* The body of E1 for a case. */
ac_status ac_endpoint_request(ac_str *out, const ac_endpoint *e, const ac_case *c, const char *system, size_t max_tokens,
                              ac_err *err);
/* The text of choices[0]; usage, where the server counts. AC_EFORMAT names what is missing. */
ac_status ac_endpoint_answer(ac_answer *out, ac_view body, const ac_endpoint *e, ac_arena *a, ac_err *err);
/* As ac_arm_run. The first case without an answer ends it. */
ac_status ac_endpoint_run(const ac_endpoint *e, const ac_arm_env *env, const ac_cases *cases, ac_arena *a,
                          ac_arm_result *out, ac_err *err);

#endif
