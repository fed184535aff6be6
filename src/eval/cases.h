/* eval/cases.h - evaluation cases: reading, checking, counting classes.
 *
 * C1  One JSON object a line: {"id","class","turns":[{role,content}..] or "input", "ideal":s|[s] or
 *     "assert":[{"type","value","threshold"}..], "cluster","tags"}. OpenAI-evals rows ("input" a list, "ideal")
 *     and Inspect rows ("input","target","metadata") load unchanged; without an id a case is called line-N, without
 *     a class it is success. A first line {"canary": "..."} names the file's canary.
 * C2  ids are unique; class is success, refusal or edge; each case has at least one grader: without "assert",
 *     a refusal case is judged by is-refusal and any other by equality with one of its ideals.
 * C3  An assertion that cannot fail (weight 0, threshold 0, an empty value) is refused. */
#ifndef AC_EVAL_CASES_H
#define AC_EVAL_CASES_H

#include <stdbool.h>
#include "base/err.h"
#include "base/hash.h"
#include "base/mem.h"
#include "base/str.h"
#include "formats/json.h"
#include "tokenizer/chat.h"

typedef enum { AC_CLASS_SUCCESS, AC_CLASS_REFUSAL, AC_CLASS_EDGE, AC_CLASS_COUNT } ac_class;
const char *ac_class_name(ac_class c);

typedef enum {
    AC_GRADE_EQUALS, AC_GRADE_CONTAINS, AC_GRADE_ICONTAINS, AC_GRADE_CONTAINS_ANY, AC_GRADE_CONTAINS_ALL,
    AC_GRADE_STARTS_WITH, AC_GRADE_REGEX, AC_GRADE_NUMERIC, AC_GRADE_IS_JSON, AC_GRADE_SQL_EQUAL,
    AC_GRADE_IS_REFUSAL, AC_GRADE_F1, AC_GRADE_CONTAINS_JSON, AC_GRADE_CITATION, AC_GRADE_LEVENSHTEIN,
    AC_GRADE_ROUGE_L, AC_GRADE_ROUGE_N, AC_GRADE_TOOL_CALL, AC_GRADE_PERPLEXITY, AC_GRADE_COUNT
} ac_grader;
const char *ac_grader_name(ac_grader g);

typedef struct {
    ac_grader type;
    bool negate;               /* "not-..." */
    size_t n_values;
    ac_view *value;
    const ac_json *schema;     /* is-json, contains-json: the value when it is an object; or NULL */
    const ac_json *calls;      /* tool-call: an object with a name, or a list of them */
    double threshold;          /* numeric: tolerance (0 unless given); f1, rouge: least score; levenshtein: most edits;
                                  perplexity: the most */
    unsigned n_gram;           /* rouge-n */
} ac_assert;

typedef struct {
    ac_view id;
    ac_class cls;
    size_t line;
    size_t n_turns;
    ac_message *turn;          /* ends with the user's turn that is to be answered */
    size_t n_asserts;
    ac_assert *assert_;        /* all must hold */
    ac_view tools;             /* compact JSON of the tools that may be called; none where there are none */
    ac_view ideal;             /* first reference answer; none where there is none */
    ac_view cluster;           /* {NULL,0}: its own */
} ac_case;

typedef struct {
    ac_arena arena;
    size_t n;
    ac_case *item;
    size_t n_class[AC_CLASS_COUNT];
    ac_view canary;
    ac_sha256 hash;            /* of the file's bytes; of a sealed file, of what is sealed in it */
    char *path;
    bool sealed;               /* the file lies encrypted, so nothing of its text may be written out */
} ac_cases;

ac_status ac_cases_read(ac_cases *out, const char *path, ac_err *err);
void      ac_cases_release(ac_cases *c);

#endif
