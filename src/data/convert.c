/* One JSON object to messages, for each format (docs/data.md has the table). */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "data/data_int.h"

typedef struct {
    const ac_row_place *p;
    ac_arena *a;
    ac_row *row;
    size_t cap;
    ac_err *err;
} builder;

static ac_status nomem(const builder *b, size_t bytes)
{
    return ac_fail_nomem(b->err, bytes);
}

/* Strings inside the file's text are borrowed; decoded ones live in the caller's scratch and are copied. */
static ac_status keep(const builder *b, ac_view v, ac_view *out)
{
    if (v.len == 0) {
        *out = AC_VIEW("");
        return AC_OK;
    }
    if (b->p->borrow || (v.ptr >= b->p->text.ptr && v.ptr + v.len <= b->p->text.ptr + b->p->text.len)) {
        *out = v;
        return AC_OK;
    }
    const char *copy = ac_arena_strndup(b->a, v.ptr, v.len);
    if (!copy) return nomem(b, v.len + 1);
    *out = (ac_view){ copy, v.len };
    return AC_OK;
}

static ac_status text_ok(const builder *b, const ac_json *v, const char *what)
{
    if (v->type != AC_JSON_STRING)
        return ac_row_bad(b->p, v, b->err, "%s must be a string, found %s; fix the row", what,
                          ac_json_type_name(v->type));
    if (v->text.len && memchr(v->text.ptr, '\0', v->text.len))
        return ac_row_bad(b->p, v, b->err, "%s holds a NUL character (\\u0000); expected text; remove it", what);
    return AC_OK;
}

static ac_status take_text(const builder *b, const ac_json *v, const char *what, ac_view *out)
{
    const ac_status st = text_ok(b, v, what);
    return st ? st : keep(b, v->text, out);
}

static const ac_json *want(const builder *b, const ac_json *o, const char *key, ac_status *st)
{
    const ac_json *v = ac_json_get(o, key);
    if (!v) *st = ac_row_bad(b->p, o, b->err, "\"%s\" is missing; expected it as in the other rows", key);
    return v;
}

static ac_message *add(builder *b, ac_role role, ac_view content)
{
    ac_row *r = b->row;
    if (r->n_messages == b->cap) {
        const size_t cap = b->cap ? b->cap * 2 : 4;
        ac_message *m = ac_arena_alloc_array(b->a, cap, sizeof *m);
        if (!m) return NULL;
        if (r->n_messages) memcpy(m, r->message, r->n_messages * sizeof *m);
        r->message = m;
        b->cap = cap;
    }
    ac_message *m = &r->message[r->n_messages++];
    *m = (ac_message){ .role = role, .content = content, .train = -1 };
    return m;
}

static ac_status add_text(builder *b, ac_role role, const ac_json *v, const char *what, int train)
{
    ac_view text = { 0 };
    const ac_status st = take_text(b, v, what, &text);
    if (st) return st;
    ac_message *m = add(b, role, text);
    if (!m) return nomem(b, sizeof *m);
    m->train = train;
    return AC_OK;
}

/* Compact JSON of a value, in the arena. */
static ac_status as_json(const builder *b, const char *open, const ac_json *v, const char *close, ac_view *out)
{
    ac_str s = { 0 };
    ac_str_append_c(&s, open);
    ac_json_write(&s, v);
    ac_str_append_c(&s, close);
    ac_status st = AC_OK;
    if (!ac_str_ok(&s)) st = nomem(b, s.len);
    else {
        const char *copy = ac_arena_strndup(b->a, ac_str_c(&s), s.len);
        if (copy) *out = (ac_view){ copy, s.len };
        else st = nomem(b, s.len + 1);
    }
    ac_str_release(&s);
    return st;
}

/* ---- messages ---- */

/* OpenAI's content parts: only text is text. */
static ac_status take_parts(const builder *b, const ac_json *list, ac_view *out)
{
    ac_str s = { 0 };
    ac_status st = AC_OK;
    for (const ac_json *part = list->child; part && !st; part = part->next) {
        const ac_json *type = ac_json_get(part, "type");
        if (!type || type->type != AC_JSON_STRING || !ac_view_eq_str(type->text, "text")) {
            const ac_view name = type && type->type == AC_JSON_STRING ? type->text : AC_VIEW("none");
            st = ac_row_bad(b->p, part, b->err, "content part of type " AC_VIEW_FMT
                            "; expected only {\"type\":\"text\",\"text\":...}; remove the row or put it in words",
                            AC_VIEW_ARG(name));
            break;
        }
        const ac_json *text = ac_json_get(part, "text");
        if (!text) text = ac_json_get(part, "value");
        if (!text) st = ac_row_bad(b->p, part, b->err, "content part has no \"text\"; expected a string");
        if (!st) st = text_ok(b, text, "\"text\"");
        if (!st) ac_str_append(&s, text->text);
    }
    if (!st && !ac_str_ok(&s)) st = nomem(b, s.len);
    if (!st) {
        const char *copy = ac_arena_strndup(b->a, ac_str_c(&s), s.len);
        if (copy) *out = (ac_view){ copy, s.len };
        else st = nomem(b, s.len + 1);
    }
    ac_str_release(&s);
    return st;
}

static ac_status take_content(const builder *b, const ac_json *m, const ac_json *calls, ac_view *out)
{
    const ac_json *v = ac_json_get(m, "content");
    if ((!v || v->type == AC_JSON_NULL) && calls) {
        *out = AC_VIEW("");
        return AC_OK;
    }
    if (!v) return ac_row_bad(b->p, m, b->err, "\"content\" is missing; expected a string");
    if (v->type == AC_JSON_ARRAY) return take_parts(b, v, out);
    if (v->type == AC_JSON_NULL)
        return ac_row_bad(b->p, v, b->err, "\"content\" is null; expected a string, or \"tool_calls\" beside it");
    return take_text(b, v, "\"content\"", out);
}

static ac_status only_answers(const builder *b, const ac_json *m, ac_role role, int train)
{
    if (train <= 0 || role == AC_ROLE_ASSISTANT) return AC_OK;
    return ac_row_bad(b->p, m, b->err, "a %s turn is marked to be learnt; only assistant turns can be; remove the "
                      "mark, or set data.mask to none to learn all text", ac_role_name(role));
}

/* OpenAI's weight, axolotl's train, LLaMA-Factory's loss_weight: the row's own word on what to learn. */
static ac_status take_train(const builder *b, const ac_json *m, int *out)
{
    static const char *const number[] = { "weight", "loss_weight" };
    static const char *const finer[] = { "train_detail", "training_detail" };
    const ac_json *v = ac_json_get(m, "train");
    *out = -1;
    if (v && v->type == AC_JSON_BOOL) *out = v->boolean ? 1 : 0;
    else if (v && v->type != AC_JSON_NULL)
        return ac_row_bad(b->p, v, b->err, "\"train\" must be true or false, found %s", ac_json_type_name(v->type));
    for (size_t i = 0; i < AC_COUNTOF(number); i++) {
        if (!(v = ac_json_get(m, number[i])) || v->type == AC_JSON_NULL) continue;
        if (v->type != AC_JSON_NUMBER || (v->number != 0.0 && v->number != 1.0))
            return ac_row_bad(b->p, v, b->err, "\"%s\" must be 0 or 1; fractions are not supported", number[i]);
        const int says = v->number != 0.0;
        if (*out >= 0 && *out != says)
            return ac_row_bad(b->p, v, b->err, "\"%s\" and another key disagree on whether to learn this turn; "
                              "keep one", number[i]);
        *out = says;
    }
    for (size_t i = 0; i < AC_COUNTOF(finer); i++)
        if ((v = ac_json_get(m, finer[i])) && v->type != AC_JSON_NULL)
            return ac_row_bad(b->p, v, b->err, "\"%s\" is not supported and would be ignored; split the turn or "
                              "use \"train\"", finer[i]);
    return AC_OK;
}

static ac_status add_message(builder *b, const ac_json *m)
{
    if (m->type != AC_JSON_OBJECT)
        return ac_row_bad(b->p, m, b->err, "a message must be an object, found %s", ac_json_type_name(m->type));
    ac_status st = AC_OK;
    const ac_json *role = want(b, m, "role", &st);
    if (!st) st = text_ok(b, role, "\"role\"");
    if (st) return st;
    ac_role r;
    if (!ac_role_parse(role->text, &r))
        return ac_row_bad(b->p, role, b->err, "\"role\" is \"" AC_VIEW_FMT "\"; expected system, user, assistant or "
                          "tool", AC_VIEW_ARG(role->text));
    const ac_json *calls = ac_json_get(m, "tool_calls");
    if (calls && (calls->type == AC_JSON_NULL || (calls->type == AC_JSON_ARRAY && calls->n == 0))) calls = NULL;
    if (calls && calls->type != AC_JSON_ARRAY)
        return ac_row_bad(b->p, calls, b->err, "\"tool_calls\" must be a list, found %s",
                          ac_json_type_name(calls->type));
    if (calls && r != AC_ROLE_ASSISTANT)
        return ac_row_bad(b->p, calls, b->err, "\"tool_calls\" in a turn of role " AC_VIEW_FMT
                          "; only assistant turns call tools", AC_VIEW_ARG(role->text));
    ac_view content = { 0 }, call_text = { 0 }, name_text = { 0 };
    int train = -1;
    const ac_json *name = ac_json_get(m, "name");
    st = take_content(b, m, calls, &content);
    if (!st && calls) st = as_json(b, "", calls, "", &call_text);
    if (!st && name && name->type != AC_JSON_NULL) st = take_text(b, name, "\"name\"", &name_text);
    if (!st) st = take_train(b, m, &train);
    if (!st) st = only_answers(b, m, r, train);
    if (st) return st;
    ac_message *out = add(b, r, content);
    if (!out) return nomem(b, sizeof *out);
    out->tool_calls = call_text;
    out->name = name_text;
    out->train = train;
    return AC_OK;
}

static ac_status add_messages(builder *b, const ac_json *list, const char *what)
{
    if (list->type != AC_JSON_ARRAY || list->n == 0)
        return ac_row_bad(b->p, list, b->err, "\"%s\" must be a list of at least one message, found %s", what,
                          list->type == AC_JSON_ARRAY ? "an empty list" : ac_json_type_name(list->type));
    ac_status st = AC_OK;
    for (const ac_json *m = list->child; m && !st; m = m->next) st = add_message(b, m);
    return st;
}

/* Tool descriptions go into the system turn as text: their JSON under the line "# Tools". */
static ac_status add_tools(builder *b, const ac_json *v)
{
    if (!v || v->type == AC_JSON_NULL || (v->type == AC_JSON_ARRAY && v->n == 0)
        || (v->type == AC_JSON_STRING && v->text.len == 0))
        return AC_OK;
    if (v->type != AC_JSON_ARRAY && v->type != AC_JSON_STRING)
        return ac_row_bad(b->p, v, b->err, "\"tools\" must be a list, or its JSON as a string, found %s",
                          ac_json_type_name(v->type));
    ac_status st = v->type == AC_JSON_STRING ? text_ok(b, v, "\"tools\"") : AC_OK;
    if (st) return st;
    ac_row *r = b->row;
    const bool has_system = r->n_messages && r->message[0].role == AC_ROLE_SYSTEM;
    ac_str s = { 0 };
    if (has_system && r->message[0].content.len) {
        ac_str_append(&s, r->message[0].content);
        ac_str_append_c(&s, "\n\n");
    }
    ac_str_append_c(&s, "# Tools\n");
    if (v->type == AC_JSON_STRING) ac_str_append(&s, v->text);
    else ac_json_write(&s, v);
    const char *copy = ac_str_ok(&s) ? ac_arena_strndup(b->a, ac_str_c(&s), s.len) : NULL;
    const ac_view text = { copy, s.len };
    ac_str_release(&s);
    if (!copy) return nomem(b, text.len);
    if (has_system) {
        r->message[0].content = text;
        return AC_OK;
    }
    if (!add(b, AC_ROLE_SYSTEM, text)) return nomem(b, sizeof(ac_message));
    const ac_message sys = r->message[r->n_messages - 1];
    memmove(r->message + 1, r->message, (r->n_messages - 1) * sizeof *r->message);
    r->message[0] = sys;
    return AC_OK;
}

/* ---- the other formats ---- */

static ac_status prompt_completion(builder *b, const ac_json *v)
{
    ac_status st = AC_OK;
    const ac_json *prompt = want(b, v, "prompt", &st);
    const ac_json *completion = prompt ? want(b, v, "completion", &st) : NULL;
    if (st) return st;
    const bool lists = prompt->type == AC_JSON_ARRAY;
    if (lists != (completion->type == AC_JSON_ARRAY))
        return ac_row_bad(b->p, completion, b->err, "\"prompt\" is %s and \"completion\" is %s; expected two strings "
                          "or two message lists", ac_json_type_name(prompt->type),
                          ac_json_type_name(completion->type));
    if (!lists) {
        st = add_text(b, AC_ROLE_USER, prompt, "\"prompt\"", -1);
        return st ? st : add_text(b, AC_ROLE_ASSISTANT, completion, "\"completion\"", -1);
    }
    st = add_messages(b, prompt, "prompt");
    const size_t n_prompt = b->row->n_messages;
    for (size_t i = 0; i < n_prompt; i++)            /* TRL: only the completion is learnt */
        if (b->row->message[i].train < 0) b->row->message[i].train = 0;
    if (!st) st = add_messages(b, completion, "completion");
    return st ? st : add_tools(b, ac_json_get(v, "tools"));
}

static ac_status alpaca_history(builder *b, const ac_json *h)
{
    if (h->type != AC_JSON_ARRAY)
        return ac_row_bad(b->p, h, b->err, "\"history\" must be a list of [question, answer] pairs");
    ac_status st = AC_OK;
    for (const ac_json *turn = h->child; turn && !st; turn = turn->next) {
        if (turn->type != AC_JSON_ARRAY || turn->n != 2)
            return ac_row_bad(b->p, turn, b->err, "\"history\" must be a list of [question, answer] pairs");
        st = add_text(b, AC_ROLE_USER, turn->child, "\"history\" question", -1);
        if (!st) st = add_text(b, AC_ROLE_ASSISTANT, turn->child->next, "\"history\" answer", -1);
    }
    return st;
}

static ac_status alpaca(builder *b, const ac_json *v)
{
    ac_status st = AC_OK;
    const ac_json *instruction = want(b, v, "instruction", &st);
    const ac_json *output = instruction ? want(b, v, "output", &st) : NULL;
    if (st) return st;
    const ac_json *system = ac_json_get(v, "system"), *input = ac_json_get(v, "input");
    const ac_json *history = ac_json_get(v, "history");
    if (system && system->type != AC_JSON_NULL) {
        st = text_ok(b, system, "\"system\"");
        if (!st && system->text.len) st = add_text(b, AC_ROLE_SYSTEM, system, "\"system\"", -1);
    }
    if (!st && history && history->type != AC_JSON_NULL) st = alpaca_history(b, history);
    if (!st) st = text_ok(b, instruction, "\"instruction\"");
    if (!st && input && input->type != AC_JSON_NULL) st = text_ok(b, input, "\"input\"");
    else input = NULL;
    if (st) return st;
    if (!input || input->text.len == 0) st = add_text(b, AC_ROLE_USER, instruction, "\"instruction\"", -1);
    else {
        const char *both = ac_arena_printf(b->a, AC_VIEW_FMT "\n" AC_VIEW_FMT, AC_VIEW_ARG(instruction->text),
                                           AC_VIEW_ARG(input->text));
        if (!both || !add(b, AC_ROLE_USER, ac_view_of(both))) return nomem(b, instruction->text.len);
    }
    return st ? st : add_text(b, AC_ROLE_ASSISTANT, output, "\"output\"", -1);
}

static bool sharegpt_role(ac_view from, ac_role *out)
{
    static const struct {
        const char *from;
        ac_role role;
    } known[] = {
        { "human", AC_ROLE_USER }, { "user", AC_ROLE_USER }, { "gpt", AC_ROLE_ASSISTANT },
        { "chatgpt", AC_ROLE_ASSISTANT }, { "assistant", AC_ROLE_ASSISTANT }, { "model", AC_ROLE_ASSISTANT },
        { "system", AC_ROLE_SYSTEM }, { "function_call", AC_ROLE_ASSISTANT }, { "observation", AC_ROLE_TOOL },
        { "tool", AC_ROLE_TOOL },
    };
    for (size_t i = 0; i < AC_COUNTOF(known); i++)
        if (ac_view_eq_str(from, known[i].from)) {
            *out = known[i].role;
            return true;
        }
    return false;
}

static ac_status sharegpt_turn(builder *b, const ac_json *turn)
{
    if (turn->type != AC_JSON_OBJECT)
        return ac_row_bad(b->p, turn, b->err, "a turn must be an object, found %s", ac_json_type_name(turn->type));
    if (!ac_json_get(turn, "from") && ac_json_get(turn, "role")) return add_message(b, turn);
    ac_status st = AC_OK;
    const ac_json *from = want(b, turn, "from", &st);
    const ac_json *value = from ? want(b, turn, "value", &st) : NULL;
    if (!st) st = text_ok(b, from, "\"from\"");
    if (st) return st;
    ac_role role;
    if (!sharegpt_role(from->text, &role))
        return ac_row_bad(b->p, from, b->err, "\"from\" is \"" AC_VIEW_FMT "\"; expected human, gpt, system, "
                          "function_call, observation or tool", AC_VIEW_ARG(from->text));
    int train = -1;
    st = take_train(b, turn, &train);
    if (!st) st = only_answers(b, turn, role, train);
    return st ? st : add_text(b, role, value, "\"value\"", train);
}

static ac_status sharegpt(builder *b, const ac_json *v)
{
    ac_status st = AC_OK;
    const ac_json *list = want(b, v, "conversations", &st), *system = ac_json_get(v, "system");
    if (st) return st;
    if (system && system->type != AC_JSON_NULL) {
        st = text_ok(b, system, "\"system\"");
        if (!st && system->text.len) st = add_text(b, AC_ROLE_SYSTEM, system, "\"system\"", -1);
    }
    if (!st && (list->type != AC_JSON_ARRAY || list->n == 0))
        st = ac_row_bad(b->p, list, b->err, "\"conversations\" must be a list of at least one turn");
    for (const ac_json *turn = st ? NULL : list->child; turn && !st; turn = turn->next)
        st = sharegpt_turn(b, turn);
    return st ? st : add_tools(b, ac_json_get(v, "tools"));
}

/* ---- rows that are checked and not learnt ---- */

/* An answer: a string, one message, or a list of messages (TRL: with the prompt in front where there is none). */
static ac_status add_answer(builder *b, const ac_json *v, const char *what)
{
    if (v->type == AC_JSON_ARRAY) return add_messages(b, v, what);
    if (v->type == AC_JSON_OBJECT) return sharegpt_turn(b, v);
    char quoted[32];
    (void)snprintf(quoted, sizeof quoted, "\"%s\"", what);
    return add_text(b, AC_ROLE_ASSISTANT, v, quoted, -1);
}

static ac_status add_prompt(builder *b, const ac_json *v)
{
    const ac_json *p = ac_json_get(v, "prompt");
    ac_status st = AC_OK;
    if (p && p->type == AC_JSON_ARRAY) return add_messages(b, p, "prompt");
    if (p) return add_text(b, AC_ROLE_USER, p, "\"prompt\"", -1);
    if ((p = ac_json_get(v, "messages"))) return add_messages(b, p, "messages");
    if (ac_json_get(v, "conversations")) return sharegpt(b, v);
    if (!ac_json_get(v, "instruction")) return AC_OK;            /* the answers carry it */
    const ac_json *instruction = ac_json_get(v, "instruction"), *input = ac_json_get(v, "input");
    st = text_ok(b, instruction, "\"instruction\"");
    if (!st && input && input->type != AC_JSON_NULL) st = text_ok(b, input, "\"input\"");
    if (st) return st;
    if (!input || input->type == AC_JSON_NULL || !input->text.len)
        return add_text(b, AC_ROLE_USER, instruction, "\"instruction\"", -1);
    const char *both = ac_arena_printf(b->a, AC_VIEW_FMT "\n" AC_VIEW_FMT, AC_VIEW_ARG(instruction->text),
                                       AC_VIEW_ARG(input->text));
    return both && add(b, AC_ROLE_USER, ac_view_of(both)) ? AC_OK : nomem(b, instruction->text.len);
}

static ac_status preference(builder *b, const ac_json *v)
{
    ac_status st = AC_OK;
    const ac_json *chosen = want(b, v, "chosen", &st), *rejected = chosen ? want(b, v, "rejected", &st) : NULL;
    if (st || !rejected) return st;
    if (chosen->type != rejected->type)
        return ac_row_bad(b->p, rejected, b->err, "\"chosen\" is %s and \"rejected\" is %s; expected two of a kind",
                          ac_json_type_name(chosen->type), ac_json_type_name(rejected->type));
    if (!ac_json_get(v, "prompt") && !ac_json_get(v, "messages") && !ac_json_get(v, "conversations")
        && !ac_json_get(v, "instruction") && chosen->type == AC_JSON_STRING)
        return ac_row_bad(b->p, v, b->err, "\"prompt\" is missing; expected it beside \"chosen\" and \"rejected\"");
    if ((st = add_prompt(b, v)) || (st = add_answer(b, chosen, "chosen"))) return st;
    if ((st = add_tools(b, ac_json_get(v, "tools")))) return st;
    ac_row other = { 0 };
    builder c = { .p = b->p, .a = b->a, .row = &other, .err = b->err };
    st = add_answer(&c, rejected, "rejected");
    b->row->rejected = other.message;
    b->row->n_rejected = other.n_messages;
    return st;
}

static ac_status kto(builder *b, const ac_json *v)
{
    ac_status st = AC_OK;
    const ac_json *label = want(b, v, "label", &st);
    if (st) return st;
    if (label->type != AC_JSON_BOOL)
        return ac_row_bad(b->p, label, b->err, "\"label\" must be true or false, found %s",
                          ac_json_type_name(label->type));
    b->row->label = label->boolean ? 1 : 0;
    if (ac_json_get(v, "prompt") && ac_json_get(v, "completion")) return prompt_completion(b, v);
    if (ac_json_get(v, "conversations")) return sharegpt(b, v);
    if (ac_json_get(v, "instruction")) return alpaca(b, v);
    const ac_json *list = want(b, v, "messages", &st);
    return st ? st : add_messages(b, list, "messages");
}

ac_status ac_row_convert(ac_row *row, const ac_json *v, ac_row_format format, const ac_row_place *p,
                         ac_arena *a, ac_err *err)
{
    builder b = { .p = p, .a = a, .row = row, .err = err };
    row->n_messages = row->n_rejected = 0;
    row->message = row->rejected = NULL;
    row->label = -1;
    ac_status st = AC_OK;
    const ac_json *first;
    switch (format) {
    case AC_FORMAT_MESSAGES:
        if (!(first = want(&b, v, "messages", &st))) return st;
        st = add_messages(&b, first, "messages");
        return st ? st : add_tools(&b, ac_json_get(v, "tools"));
    case AC_FORMAT_PROMPT_COMPLETION: return prompt_completion(&b, v);
    case AC_FORMAT_ALPACA: return alpaca(&b, v);
    case AC_FORMAT_SHAREGPT: return sharegpt(&b, v);
    case AC_FORMAT_PREFERENCE: return preference(&b, v);
    case AC_FORMAT_KTO: return kto(&b, v);
    case AC_FORMAT_TEXT:
    case AC_FORMAT_AUTO: break;
    }
    if (!(first = want(&b, v, "text", &st))) return st;
    return add_text(&b, AC_ROLE_ASSISTANT, first, "\"text\"", -1);
}

/* ---- which formats an object could be ---- */

static bool is_type(const ac_json *v, const char *key, ac_json_type t)
{
    const ac_json *c = ac_json_get(v, key);
    return c && c->type == t;
}

unsigned ac_row_candidates(const ac_json *v)
{
    if (v->type != AC_JSON_OBJECT) return 0;
    unsigned set = 0;
    if (ac_json_get(v, "prompt") && ac_json_get(v, "completion")) set |= 1u << AC_FORMAT_PROMPT_COMPLETION;
    if (ac_json_get(v, "messages")) set |= 1u << AC_FORMAT_MESSAGES;
    if (ac_json_get(v, "conversations")) set |= 1u << AC_FORMAT_SHAREGPT;
    if (ac_json_get(v, "instruction") && ac_json_get(v, "output")) set |= 1u << AC_FORMAT_ALPACA;
    if (ac_json_get(v, "text")) set |= 1u << AC_FORMAT_TEXT;
    /* These hold an answer to be avoided: learning them as answers would be wrong, so they are nothing else. */
    if (ac_json_get(v, "chosen") && ac_json_get(v, "rejected")) return 1u << AC_FORMAT_PREFERENCE;
    if (is_type(v, "label", AC_JSON_BOOL) && (set & ~(1u << AC_FORMAT_TEXT))) return 1u << AC_FORMAT_KTO;
    return set;
}
