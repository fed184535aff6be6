/* tool-call: the calls in an answer against those that a case wants, by name and arguments as JSON. A call stands in a
 * <tool_call> block (Qwen, Hermes), or the answer holds it as JSON, alone, in a list, or in OpenAI's {"function": ...}. */
#include "eval/grade_int.h"

#include <string.h>

#define MOST_CALLS 64

typedef struct {
    ac_view name;
    const ac_json *arguments;       /* NULL: none were given */
    bool used;
} call;

typedef struct {
    call list[MOST_CALLS];
    size_t n;
    bool broken;                    /* a block that is no call, or more than can be held */
    ac_arena *a;
    ac_err *err;
} calls;

static ac_status add_call(calls *c, const ac_json *v)
{
    const ac_json *inner = ac_json_get(v, "function");
    if (inner && inner->type == AC_JSON_OBJECT) v = inner;
    const ac_json *name = ac_json_get(v, "name"), *arguments = ac_json_get(v, "arguments");
    if (!arguments) arguments = ac_json_get(v, "parameters");          /* Llama 3.1's word for it */
    if (v->type != AC_JSON_OBJECT || !name || name->type != AC_JSON_STRING || c->n == MOST_CALLS) {
        c->broken = true;
        return AC_OK;
    }
    if (arguments && arguments->type == AC_JSON_STRING) {              /* OpenAI's: JSON in a string */
        const ac_json *parsed = NULL;
        const ac_status st = ac_grade_parse_json(&parsed, arguments->text, c->a, c->err);
        if (st) return st;
        if (!parsed) c->broken = true;
        else arguments = parsed;
    }
    c->list[c->n++] = (call){ .name = name->text, .arguments = arguments };
    return AC_OK;
}

static ac_status add_value(calls *c, const ac_json *v)
{
    ac_status st = AC_OK;
    if (v->type != AC_JSON_ARRAY) return add_call(c, v);
    for (const ac_json *m = v->child; m && !st; m = m->next) st = add_call(c, m);
    return st;
}

static ac_status read_blocks(calls *c, ac_view text, size_t at)
{
    const ac_view open = AC_VIEW("<tool_call>"), close = AC_VIEW("</tool_call>");
    while (at != SIZE_MAX) {
        const size_t from = at + open.len, to = ac_view_find(text, close, from);
        const ac_view inside = ac_view_trim(ac_view_slice(text, from, to == SIZE_MAX ? text.len : to));
        const ac_json *v = NULL;
        ac_status st = ac_grade_parse_json(&v, inside, c->a, c->err);
        if (!st && v) st = add_value(c, v);
        if (st) return st;
        c->broken |= !v;
        at = to == SIZE_MAX ? SIZE_MAX : ac_view_find(text, open, to);
    }
    return AC_OK;
}

static ac_status read_answer(calls *c, ac_view text)
{
    const size_t block = ac_view_find(text, AC_VIEW("<tool_call>"), 0);
    const ac_json *v = NULL;
    if (block != SIZE_MAX) return read_blocks(c, text, block);
    size_t at = 0;
    ac_status st = ac_grade_find_json(&v, text, &at, c->a, c->err);
    while (!st && v && !c->broken) {
        st = add_value(c, v);
        if (!st) st = ac_grade_find_json(&v, text, &at, c->a, c->err);
    }
    return st;
}

static ac_status matches(bool *out, const call *got, const ac_json *want, ac_err *err)
{
    const ac_json *arguments = ac_json_get(want, "arguments");
    *out = !got->used && ac_view_eq(got->name, ac_json_get(want, "name")->text) && (!arguments || got->arguments);
    return *out && arguments ? ac_grade_same_json(out, arguments, got->arguments, err) : AC_OK;
}

/* The first call that is wanted so and not taken yet; c->n: there is none. */
static ac_status take(calls *c, const ac_json *want, size_t *at)
{
    bool fits = false;
    ac_status st = AC_OK;
    for (*at = 0; *at < c->n; ++*at) {
        st = matches(&fits, &c->list[*at], want, c->err);
        if (st || fits) break;
    }
    if (fits && !st) c->list[*at].used = true;
    return st;
}

static const char *miss(ac_arena *a, const calls *c, const ac_json *want)
{
    const ac_view name = ac_view_slice(ac_json_get(want, "name")->text, 0, 60);
    bool named = false;
    for (size_t i = 0; i < c->n; i++) named |= ac_view_eq(c->list[i].name, ac_json_get(want, "name")->text);
    return ac_arena_printf(a, named ? "tool-call: \"" AC_VIEW_FMT "\" is called with other arguments"
                                    : "tool-call: \"" AC_VIEW_FMT "\" is not called", AC_VIEW_ARG(name));
}

ac_status ac_grade_tool_call(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    calls *c = ac_arena_alloc(a, sizeof *c);
    if (!c) return ac_fail_nomem(err, sizeof *c);
    c->a = a;
    c->err = err;
    ac_status st = read_answer(c, answer);
    const bool many = as->calls->type == AC_JSON_ARRAY;
    size_t wanted = 0;
    for (const ac_json *w = many ? as->calls->child : as->calls; w && !st; w = many ? w->next : NULL, wanted++) {
        size_t i = 0;
        st = take(c, w, &i);
        if (!st && i == c->n) {
            out->why = c->n ? miss(a, c, w) : ac_arena_printf(a, "tool-call: the answer calls nothing");
            return AC_OK;
        }
    }
    if (st) return st;
    out->hold = c->n == wanted && !c->broken;
    out->why = out->hold ? "tool-call holds" : c->broken ? "tool-call: beside what was wanted stands something that is no call"
                                                          : ac_arena_printf(a, "tool-call: %zu calls, wanted %zu", c->n, wanted);
    return AC_OK;
}
