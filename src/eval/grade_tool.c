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
} calls;

static void add_call(calls *c, const ac_json *v)
{
    const ac_json *inner = ac_json_get(v, "function");
    if (inner && inner->type == AC_JSON_OBJECT) v = inner;
    const ac_json *name = ac_json_get(v, "name"), *arguments = ac_json_get(v, "arguments");
    if (!arguments) arguments = ac_json_get(v, "parameters");          /* Llama 3.1's word for it */
    if (v->type != AC_JSON_OBJECT || !name || name->type != AC_JSON_STRING || c->n == MOST_CALLS) {
        c->broken = true;
        return;
    }
    if (arguments && arguments->type == AC_JSON_STRING) {              /* OpenAI's: JSON in a string */
        const ac_json *parsed = NULL;
        if (ac_json_parse(&parsed, arguments->text, c->a, "arguments", 1, NULL, NULL)) c->broken = true;
        else arguments = parsed;
    }
    c->list[c->n++] = (call){ .name = name->text, .arguments = arguments };
}

static void add_value(calls *c, const ac_json *v)
{
    if (v->type != AC_JSON_ARRAY) add_call(c, v);
    else for (const ac_json *m = v->child; m; m = m->next) add_call(c, m);
}

static void read_blocks(calls *c, ac_view text, size_t at)
{
    const ac_view open = AC_VIEW("<tool_call>"), close = AC_VIEW("</tool_call>");
    while (at != SIZE_MAX) {
        const size_t from = at + open.len, to = ac_view_find(text, close, from);
        const ac_view inside = ac_view_trim(ac_view_slice(text, from, to == SIZE_MAX ? text.len : to));
        const ac_json *v = NULL;
        if (ac_json_parse(&v, inside, c->a, "answer", 1, NULL, NULL)) c->broken = true;
        else add_value(c, v);
        at = to == SIZE_MAX ? SIZE_MAX : ac_view_find(text, open, to);
    }
}

static void read_answer(calls *c, ac_view text)
{
    const size_t block = ac_view_find(text, AC_VIEW("<tool_call>"), 0);
    const ac_json *v;
    if (block != SIZE_MAX) {
        read_blocks(c, text, block);
        return;
    }
    for (size_t at = 0; (v = ac_grade_find_json(text, &at, c->a)) != NULL && !c->broken;) add_value(c, v);
}

static bool matches(const call *got, const ac_json *want)
{
    const ac_json *arguments = ac_json_get(want, "arguments");
    if (got->used || !ac_view_eq(got->name, ac_json_get(want, "name")->text)) return false;
    return !arguments || (got->arguments && ac_grade_same_json(arguments, got->arguments));
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
    read_answer(c, answer);
    const bool many = as->calls->type == AC_JSON_ARRAY;
    size_t wanted = 0;
    for (const ac_json *w = many ? as->calls->child : as->calls; w; w = many ? w->next : NULL, wanted++) {
        size_t i = 0;
        while (i < c->n && !matches(&c->list[i], w)) i++;
        if (i == c->n) {
            out->why = c->n ? miss(a, c, w) : ac_arena_printf(a, "tool-call: the answer calls nothing");
            return AC_OK;
        }
        c->list[i].used = true;
    }
    out->hold = c->n == wanted && !c->broken;
    out->why = out->hold ? "tool-call holds" : c->broken ? "tool-call: beside what was wanted stands something that is no call"
                                                          : ac_arena_printf(a, "tool-call: %zu calls, wanted %zu", c->n, wanted);
    return AC_OK;
}
