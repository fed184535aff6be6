/* eval/arms.h - what answers the cases: base, rag, tuned, tuned+rag, all with the same decoding.
 *
 * A1  Decoding is greedy with the sealed max_tokens; an arm differs from another only in adapter and passages.
 * A2  The rag arms search with the case's last user turn (with the user turn before it for follow-ups), and put
 *     the passages into the last user turn; the system turn is never touched.
 * A4  Perplexity of an answer is measured where an assertion asks for it, or where the environment does: over the answer's
 *     tokens, given the prompt that it had. That of a reference is over what training would learn of it: its tokens and the
 *     end of the turn.
 * A3  An answer is the decoded text up to the stop token, control tokens left out. */
#ifndef AC_EVAL_ARMS_H
#define AC_EVAL_ARMS_H

#include "base/err.h"
#include "base/event.h"
#include "base/mem.h"
#include "eval/cases.h"
#include "eval/grade.h"
#include "generate/generate.h"
#include "model/adapter.h"
#include "model/model.h"
#include "rag/rag.h"
#include "tokenizer/chat.h"
#include "tokenizer/tokenizer.h"

typedef enum { AC_ARM_BASE, AC_ARM_RAG, AC_ARM_TUNED, AC_ARM_TUNED_RAG, AC_ARM_COUNT,
               AC_ARM_ENDPOINT = AC_ARM_COUNT /* eval/endpoint.h: has a label of its own */ } ac_arm;
const char *ac_arm_name(ac_arm a);                /* "tuned+rag" */
bool        ac_arm_parse(ac_view name, ac_arm *out);

typedef struct {
    ac_view text;
    bool pass;
    ac_view why;                 /* the grader's line */
    size_t n_prompt, n_tokens;
    bool cut;                    /* ended at max_tokens */
    double perplexity;           /* of the answer's tokens by the arm itself; 0: not measured */
    double reference_nll;        /* of the case's reference and its end of turn, summed; read when reference_tokens > 0 */
    size_t reference_tokens;
    size_t n_passages;
    const ac_passage *passage;   /* what the rag arms put in front; borrowed from the index */
    ac_rag_cites cites;          /* what the answer cites of them */
} ac_answer;

typedef struct {
    ac_arm arm;
    const char *label;           /* of an endpoint; NULL: the arm's own name */
    size_t n;
    ac_answer *answer;           /* one a case, in the cases' order */
    size_t n_pass, n_pass_class[AC_CLASS_COUNT];
    uint64_t prompt_tokens, answer_tokens;
    double seconds;
} ac_arm_result;

typedef struct {
    ac_model *model;
    const ac_tokenizer *tokenizer;
    const ac_chat *chat;
    const ac_adapter *adapter;   /* of the tuned arms; may be NULL when none of them is asked for */
    ac_rag *rag;                 /* of the rag arms; likewise */
    const char *system;          /* put in front of cases that have no system turn; NULL: none */
    /* The vector of a question, when the index is dense; else unused. */
    ac_status (*embed)(void *ctx, ac_view text, const float **out, ac_err *err);
    void *embed_ctx;
    size_t max_tokens;
    bool perplexity;             /* measure that of references (a column, never a verdict) and answers */
    ac_grade_ctx *grader;
    const ac_sink *sink;
} ac_arm_env;

const char *ac_arm_label(const ac_arm_result *r);
/* exp of the mean over all references' tokens; 0: not measured. */
double      ac_arm_reference_perplexity(const ac_arm_result *r);
/* Everything in *out lives in the arena. A case whose prompt and answer exceed the context is AC_EFORMAT and
 * named. */
ac_status ac_arm_run(const ac_arm_env *env, ac_arm arm, const ac_cases *cases, ac_arena *a, ac_arm_result *out,
                     ac_err *err);

/* The case whose prompt is longest in this arm, and its tokens: what freeze holds against the context. Of env only tokenizer,
 * chat, system and rag (with embed where it is dense) are asked. */
ac_status ac_arm_longest(const ac_arm_env *env, ac_arm arm, const ac_cases *cases, size_t *which, size_t *tokens, ac_err *err);

#endif
