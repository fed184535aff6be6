/* Keys that nothing reads. Most rows carry none, or a few like "id" and "source", so a row costs a handful of short
 * comparisons; what a key is taken for is decided once, where it is met first. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "data/data_int.h"
#include "data/unread.h"

#define NAME_MAX_BYTES 64

/* ---- what is read (convert.c) ---- */

static const char *const of_prompt[] = { "prompt", "completion", NULL };
static const char *const of_prompt_lists[] = { "prompt", "completion", "tools", NULL };
static const char *const of_messages[] = { "messages", "tools", NULL };
static const char *const of_sharegpt[] = { "conversations", "system", "tools", NULL };
static const char *const of_alpaca[] = { "instruction", "output", "input", "system", "history", NULL };
static const char *const of_text[] = { "text", NULL };
static const char *const of_preference[] = { "chosen", "rejected", "prompt", "messages", "conversations", "instruction",
                                             "input", "system", "tools", NULL };
static const char *const of_turn[] = { "role", "content", "name", "tool_calls", "train", "weight", "loss_weight",
                                       "train_detail", "training_detail", NULL };
static const char *const of_sharegpt_turn[] = { "from", "value", "train", "weight", "loss_weight", "train_detail",
                                                "training_detail", NULL };

static bool among(ac_view key, const char *const *names)
{
    for (; *names; names++)
        if (ac_view_eq_str(key, *names)) return true;
    return false;
}

static bool is_read(const ac_json *row, ac_view key, ac_row_format format)
{
    const ac_json *prompt;
    switch (format) {
    case AC_FORMAT_PROMPT_COMPLETION:
        prompt = ac_json_get(row, "prompt");
        return among(key, prompt && prompt->type == AC_JSON_ARRAY ? of_prompt_lists : of_prompt);
    case AC_FORMAT_MESSAGES: return among(key, of_messages);
    case AC_FORMAT_SHAREGPT: return among(key, of_sharegpt);
    case AC_FORMAT_ALPACA: return among(key, of_alpaca);
    case AC_FORMAT_TEXT: return among(key, of_text);
    case AC_FORMAT_PREFERENCE: return among(key, of_preference);
    case AC_FORMAT_KTO:
        return ac_view_eq_str(key, "label") || among(key, of_prompt_lists) || among(key, of_messages)
            || among(key, of_sharegpt) || among(key, of_alpaca);
    case AC_FORMAT_AUTO: break;
    }
    return true;
}

static bool says_nothing(const ac_json *v)
{
    switch (v->type) {
    case AC_JSON_NULL: return true;
    case AC_JSON_STRING: return ac_view_trim(v->text).len == 0;
    case AC_JSON_ARRAY:
    case AC_JSON_OBJECT: return v->child == NULL;
    case AC_JSON_BOOL:
    case AC_JSON_NUMBER: break;
    }
    return false;
}

/* ---- what a key was meant for ---- */

enum { IN_ROW = 1, IN_TURN = 2 };

static const char weighs[] = "every row weighs the same; leave rows out or repeat them, or give turns a \"weight\" of 0 or 1";
static const char marks[] = "\"train\": true or false in a turn says whether it is learnt";
static const char system_turn[] = "the model is not told; write it as a turn of role system";
static const char tool_list[] = "the model is not told of them; rows of messages or conversations may have \"tools\"";
static const char surround[] = "the model does not see it; write it into the prompt or a turn";
static const char thought[] = "it is not learnt; write it into the answer";
static const char media[] = "only text is learnt";

/* Names that other programs give an effect: a row that has one is not learnt as its author meant. */
static const struct {
    const char *name;
    int where;
    const char *why;
} effects[] = {
    { "weight", IN_ROW, weighs }, { "weights", IN_ROW | IN_TURN, weighs }, { "loss_weight", IN_ROW, weighs },
    { "sample_weight", IN_ROW | IN_TURN, weighs },
    { "train", IN_ROW, marks }, { "trainable", IN_ROW | IN_TURN, marks }, { "mask", IN_ROW | IN_TURN, marks },
    { "loss", IN_TURN, marks }, { "learn", IN_ROW | IN_TURN, marks }, { "train_detail", IN_ROW, marks },
    { "system", IN_ROW, system_turn }, { "system_prompt", IN_ROW, system_turn }, { "system_message", IN_ROW, system_turn },
    { "tools", IN_ROW, tool_list }, { "functions", IN_ROW, tool_list },
    { "function_call", IN_ROW | IN_TURN, "calls are read from \"tool_calls\" of an assistant's turn" },
    { "tool_calls", IN_ROW | IN_TURN, "calls are read from \"tool_calls\" of an assistant's turn" },
    { "input", IN_ROW, surround }, { "context", IN_ROW | IN_TURN, surround }, { "history", IN_ROW, surround },
    { "documents", IN_ROW, surround }, { "chat_template_kwargs", IN_ROW, "base.chat_format decides how turns are written" },
    { "reasoning", IN_ROW | IN_TURN, thought }, { "reasoning_content", IN_ROW | IN_TURN, thought },
    { "thinking", IN_ROW | IN_TURN, thought }, { "refusal", IN_TURN, thought },
    { "rejected", IN_ROW, "there is no training on preferences" }, { "chosen", IN_ROW, "there is no training on preferences" },
    { "image", IN_ROW | IN_TURN, media }, { "images", IN_ROW | IN_TURN, media }, { "video", IN_ROW | IN_TURN, media },
    { "videos", IN_ROW | IN_TURN, media }, { "audio", IN_ROW | IN_TURN, media }, { "audios", IN_ROW | IN_TURN, media },
};

static const char *effect_of(ac_view key, bool in_turn)
{
    for (size_t i = 0; i < AC_COUNTOF(effects); i++)
        if ((effects[i].where & (in_turn ? IN_TURN : IN_ROW)) && ac_view_eq_str(key, effects[i].name)) return effects[i].why;
    return NULL;
}

/* Sets often carry the same row in another format beside the one that is read. */
static bool is_other_form(ac_view key)
{
    return among(key, of_prompt) || among(key, of_messages) || among(key, of_text)
        || ac_view_eq_str(key, "conversations") || ac_view_eq_str(key, "instruction") || ac_view_eq_str(key, "output");
}

/* A name that is read, lacks here and is near, so that the key may be a slip; four letters allow one slip, six two. */
static const char *slip_of(ac_view key, const ac_json *object, const char *const *const *lists, size_t n)
{
    static const char *const words[] = { "next", "test", "level", "table", NULL };
    char low[NAME_MAX_BYTES];
    const char *best = NULL;
    unsigned least = key.len >= 6 ? 3 : 2;
    if (key.len < 4 || key.len > sizeof low || among(key, words)) return NULL;
    for (size_t i = 0; i < key.len; i++)
        low[i] = (char)(key.ptr[i] >= 'A' && key.ptr[i] <= 'Z' ? key.ptr[i] + 32 : key.ptr[i] == '-' ? '_' : key.ptr[i]);
    for (size_t i = 0; i < n; i++)
        for (const char *const *name = lists[i]; *name; name++) {
            if (strlen(*name) < 4 || ac_json_get(object, *name)) continue;
            const unsigned d = ac_edit_distance((ac_view){ low, key.len }, ac_view_of(*name), least);
            if (d >= least) continue;
            least = d;
            best = *name;
        }
    return best;
}

static void judge(ac_unread_key *k, ac_view key, const ac_json *object)
{
    static const char *const *const rows[] = { of_prompt, of_messages, of_sharegpt, of_alpaca, of_text };
    static const char *const *const turns[] = { of_turn, of_sharegpt_turn };
    k->why = effect_of(key, k->in_turn);
    if (!k->why && !k->in_turn && is_other_form(key)) k->other_form = true;
    else if (!k->why)
        k->near = k->in_turn ? slip_of(key, object, turns, AC_COUNTOF(turns)) : slip_of(key, object, rows, AC_COUNTOF(rows));
    k->severity = k->why || k->near ? AC_FIND_WARN : AC_FIND_NOTE;
}

/* ---- the list ---- */

static ac_unread_key *key_at(const ac_unread *u, ac_view name, bool in_turn)
{
    for (size_t i = 0; i < u->n; i++)
        if (u->key[i].in_turn == in_turn && ac_view_eq(u->key[i].name, name)) return &u->key[i];
    return NULL;
}

/* *out NULL with AC_OK: there are as many as are kept. */
static ac_status new_key(ac_unread *u, ac_view name, bool in_turn, ac_unread_key **out, ac_err *err)
{
    *out = NULL;
    if (u->n == AC_UNREAD_MAX) return AC_OK;
    if (!u->key && !(u->key = ac_arena_alloc_array(&u->arena, AC_UNREAD_MAX, sizeof *u->key)))
        return ac_fail_nomem(err, AC_UNREAD_MAX * sizeof *u->key);
    const char *copy = ac_arena_strndup(&u->arena, name.ptr, name.len);
    if (!copy) return ac_fail_nomem(err, name.len + 1);
    *out = &u->key[u->n++];
    **out = (ac_unread_key){ .name = { copy, name.len }, .in_turn = in_turn };
    return AC_OK;
}

static ac_status meet(ac_unread *u, const ac_json *object, const ac_json *v, bool in_turn, size_t line, ac_err *err)
{
    ac_unread_key *k;
    if (says_nothing(v)) return AC_OK;
    if (!(k = key_at(u, v->key, in_turn))) {
        const ac_status st = new_key(u, v->key, in_turn, &k, err);
        if (st) return st;
        if (!k) {
            u->n_others += u->other_row != u->n_rows;
            u->other_row = u->n_rows;
            return AC_OK;
        }
        k->first_line = line;
        judge(k, v->key, object);
    }
    k->n_rows += k->last_row != u->n_rows;
    k->last_row = u->n_rows;
    return AC_OK;
}

static ac_status turn(ac_unread *u, const ac_json *t, bool sharegpt, size_t line, ac_err *err)
{
    if (t->type != AC_JSON_OBJECT) return AC_OK;
    const char *const *known = sharegpt && ac_json_get(t, "from") ? of_sharegpt_turn : of_turn;
    ac_status st = AC_OK;
    for (const ac_json *v = t->child; v && !st; v = v->next)
        if (!among(v->key, known)) st = meet(u, t, v, true, line, err);
    return st;
}

ac_status ac_unread_row(ac_unread *u, const ac_json *row, ac_row_format format, size_t line, ac_err *err)
{
    static const char *const lists[] = { "prompt", "completion", "messages", "conversations", "chosen", "rejected", NULL };
    ac_status st = AC_OK;
    if (row->type != AC_JSON_OBJECT) return AC_OK;
    u->n_rows++;
    for (const ac_json *v = row->child; v && !st; v = v->next) {
        if (!is_read(row, v->key, format)) {
            st = meet(u, row, v, false, line, err);
            continue;
        }
        if (!among(v->key, lists)) continue;
        const bool sharegpt = ac_view_eq_str(v->key, "conversations") || format == AC_FORMAT_PREFERENCE;
        if (v->type == AC_JSON_OBJECT) st = turn(u, v, sharegpt, line, err);
        for (const ac_json *t = v->type == AC_JSON_ARRAY ? v->child : NULL; t && !st; t = t->next)
            st = turn(u, t, sharegpt, line, err);
    }
    return st;
}

ac_status ac_unread_merge(ac_unread *into, const ac_unread *part, ac_err *err)
{
    for (size_t i = 0; i < part->n; i++) {
        const ac_unread_key *x = &part->key[i];
        ac_unread_key *k = key_at(into, x->name, x->in_turn);
        if (!k) {
            const ac_status st = new_key(into, x->name, x->in_turn, &k, err);
            if (st) return st;
            if (!k) {
                into->n_others += x->n_rows;
                continue;
            }
            const ac_view name = k->name;
            *k = *x;
            k->name = name;
            k->n_rows = 0;
        }
        k->n_rows += x->n_rows;
    }
    into->n_others += part->n_others;
    return AC_OK;
}

/* ---- what is said ---- */

static ac_view shown(ac_view name)
{
    ac_view v = ac_view_slice(name, 0, NAME_MAX_BYTES);
    if (v.len < name.len)
        while (v.len && ((unsigned char)name.ptr[v.len] & 0xc0) == 0x80) v.len--;
    return v;
}

static ac_status report(ac_findings *f, const ac_unread_key *k, ac_row_format format, ac_err *err)
{
    const ac_view name = shown(k->name);
    char in[64], tail[256] = "";
    (void)snprintf(in, sizeof in, "%s%zu row%s", k->in_turn ? "turns of " : "", k->n_rows, ac_plural(k->n_rows));
    if (k->why) (void)snprintf(tail, sizeof tail, ": %s", k->why);
    else if (k->near) (void)snprintf(tail, sizeof tail, "; did you mean \"%s\"?", k->near);
    else if (k->other_form) (void)snprintf(tail, sizeof tail, ": the rows are read as %s", ac_row_format_name(format));
    return ac_finding_add(f, k->severity, "unread-key", ac_hash_bytes((uint64_t)k->in_turn + 1, k->name), k->first_line, 0,
                          (double)k->n_rows, err, "nothing reads the key \"" AC_VIEW_FMT "\" in %s, first in line %zu%s",
                          AC_VIEW_ARG(name), in, k->first_line, tail);
}

ac_status ac_unread_report(ac_findings *f, const ac_unread *u, ac_row_format format, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < u->n && !st; i++) st = report(f, &u->key[i], format, err);
    if (st || !u->n_others) return st;
    return ac_finding_add(f, AC_FIND_NOTE, "unread-key", u->n_others, 0, 0, (double)u->n_others, err,
                          "nothing reads more keys than these %d either, in up to %zu row%s", AC_UNREAD_MAX, u->n_others,
                          ac_plural(u->n_others));
}

void ac_unread_reset(ac_unread *u)
{
    ac_arena_reset(&u->arena);
    *u = (ac_unread){ .arena = u->arena };
}

void ac_unread_release(ac_unread *u)
{
    ac_arena_release(&u->arena);
    *u = (ac_unread){ 0 };
}
