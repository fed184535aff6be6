/* Tool calls, as the templates that have them write them: JSON with a space after each comma and colon. */
#include "formats/json.h"
#include "tokenizer/chat_int.h"

static void put_json(ac_pen *p, const ac_json *v)
{
    const bool object = v->type == AC_JSON_OBJECT;
    switch (v->type) {
    case AC_JSON_NULL: ac_pen_c(p, "null"); return;
    case AC_JSON_BOOL: ac_pen_c(p, v->boolean ? "true" : "false"); return;
    case AC_JSON_NUMBER: ac_pen_text(p, v->text); return;
    case AC_JSON_STRING: ac_chat_json_string(p, v->text); return;
    case AC_JSON_ARRAY:
    case AC_JSON_OBJECT: break;
    }
    ac_pen_c(p, object ? "{" : "[");
    for (const ac_json *c = v->child; c; c = c->next) {
        if (object) {
            ac_chat_json_string(p, c->key);
            ac_pen_c(p, ": ");
        }
        put_json(p, c);
        if (c->next) ac_pen_c(p, ", ");
    }
    ac_pen_c(p, object ? "}" : "]");
}

void ac_chat_json_string(ac_pen *p, ac_view text)
{
    ac_str quoted = { 0 };
    ac_json_quote(&quoted, text);
    if (!ac_str_ok(&quoted) && !p->st) p->st = ac_fail_nomem(p->err, text.len);
    ac_pen_text(p, ac_str_view(&quoted));
    ac_str_release(&quoted);
}

/* Name and arguments of a call, with or without {"function": ...} around them. */
static bool call_parts(const ac_json *call, const ac_json **name, const ac_json **arguments)
{
    const ac_json *inner = ac_json_get(call, "function");
    if (inner) call = inner;
    *name = ac_json_get(call, "name");
    *arguments = ac_json_get(call, "arguments");
    return *name && (*name)->type == AC_JSON_STRING && *arguments;
}

/* Parses the calls into an arena; NULL, with the pen's status set, when they are no list of calls. */
static const ac_json *parse_calls(ac_pen *p, ac_view calls, ac_arena *a)
{
    const ac_json *list = NULL, *name, *arguments;
    if (p->st) return NULL;
    p->st = ac_json_parse(&list, calls, a, "tool_calls", 1, NULL, p->err);
    if (p->st) return NULL;
    bool ok = list->type == AC_JSON_ARRAY && list->n > 0;
    for (const ac_json *c = ok ? list->child : NULL; c; c = c->next) ok = ok && call_parts(c, &name, &arguments);
    if (ok) return list;
    p->st = ac_fail(p->err, AC_EFORMAT, "message %d: tool_calls must be an array of calls with \"name\" and "
                    "\"arguments\"", (int)p->message);
    return NULL;
}

static void put_arguments(ac_pen *p, const ac_json *arguments)
{
    if (arguments->type == AC_JSON_STRING) ac_pen_text(p, arguments->text);   /* JSON in a string: as it is */
    else put_json(p, arguments);
}

void ac_chat_qwen_calls(ac_pen *p, ac_view calls, bool after_text)
{
    ac_arena a = { 0 };
    const ac_json *list = parse_calls(p, calls, &a);
    for (const ac_json *c = list ? list->child : NULL; c; c = c->next) {
        const ac_json *name, *arguments;
        if (!call_parts(c, &name, &arguments)) break;
        if (after_text || c != list->child) ac_pen_c(p, "\n");
        ac_pen_c(p, "<tool_call>\n{\"name\": \"");
        ac_pen_text(p, name->text);
        ac_pen_c(p, "\", \"arguments\": ");
        put_arguments(p, arguments);
        ac_pen_c(p, "}\n</tool_call>");
    }
    ac_arena_release(&a);
}

void ac_chat_llama_call(ac_pen *p, ac_view calls)
{
    ac_arena a = { 0 };
    const ac_json *list = parse_calls(p, calls, &a), *name, *arguments;
    if (list && list->n != 1) {
        p->st = ac_fail(p->err, AC_EFORMAT, "message %d has %u tool calls; the llama3 format has one a turn",
                        (int)p->message, list->n);
    } else if (list && call_parts(list->child, &name, &arguments)) {
        ac_pen_c(p, "{\"name\": \"");
        ac_pen_text(p, name->text);
        ac_pen_c(p, "\", \"parameters\": ");
        put_arguments(p, arguments);
        ac_pen_c(p, "}");
    }
    ac_arena_release(&a);
}
