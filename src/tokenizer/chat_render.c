/* Conversations in the frame of each format (docs/chat-formats.md shows them). Two shapes cover them: turns,
 * each with its own opening and end, and [INST] pairs of question and answer. */
#include <string.h>

#include "tokenizer/chat_int.h"

#define SMOLLM2_SYSTEM "You are a helpful AI assistant named SmolLM, trained by Hugging Face"
#define QWEN25_SYSTEM  "You are Qwen, created by Alibaba Cloud. You are a helpful assistant."
#define QWEN2_SYSTEM   "You are a helpful assistant."
#define EMPTY_THINK    "<think>\n\n</think>\n\n"
/* The date is the template's own when it has no clock: a date of today would change ids from day to day. */
#define LLAMA31_DATES  "Cutting Knowledge Date: December 2023\nToday Date: 26 Jul 2024\n\n"

typedef struct {
    ac_pen p;
    const ac_chat_style *s;
    const ac_message *msg;
    size_t n;
    size_t last_query;        /* Qwen3: of the last user message; SIZE_MAX: none */
} scribe;

static ac_view content_of(const scribe *w, size_t i)
{
    const ac_view v = w->msg[i].content;
    return w->s->trim ? ac_chat_trim(v, true, true) : v;
}

static ac_status refuse(const scribe *w, size_t i, const char *what)
{
    return ac_fail(w->p.err, AC_EFORMAT, "message %zu (%s): the chat format %s %s", i + 1,
                   ac_role_name(w->msg[i].role), ac_chat_format_name(w->s->format), what);
}

/* ---- turns ---- */

static bool is_im(ac_chat_format f)
{
    return f == AC_CHAT_CHATML || f == AC_CHAT_SMOLLM2 || f == AC_CHAT_QWEN2 || f == AC_CHAT_QWEN3;
}

static void open_turn(scribe *w, const char *role)
{
    char bar[32] = "<|";
    ac_pen *p = &w->p;
    if (is_im(w->s->format)) {
        ac_pen_token(p, "<|im_start|>");
        ac_pen_c(p, role);
        ac_pen_c(p, "\n");
    } else if (w->s->format == AC_CHAT_LLAMA3) {
        ac_pen_token(p, "<|start_header_id|>");
        ac_pen_c(p, role);
        ac_pen_token(p, "<|end_header_id|>");
        ac_pen_c(p, "\n\n");
    } else if (w->s->format == AC_CHAT_GEMMA) {
        ac_pen_token(p, "<start_of_turn>");
        ac_pen_c(p, strcmp(role, "assistant") == 0 ? "model" : role);
        ac_pen_c(p, "\n");
    } else {
        strcat(bar, role);
        strcat(bar, "|>");
        ac_pen_token(p, bar);
        ac_pen_c(p, "\n");
    }
}

/* The end-of-turn token belongs to what an assistant said, the line break behind it does not (C3). */
static void end_turn(scribe *w)
{
    ac_pen *p = &w->p;
    ac_pen_id(p, w->p.c->stop[0]);
    ac_pen_at(p, p->message, 0);
    if (w->s->format != AC_CHAT_LLAMA3) ac_pen_c(p, "\n");
}

static void default_system(scribe *w)
{
    const char *text = NULL;
    if (w->msg[0].role == AC_ROLE_SYSTEM) return;
    if (w->s->format == AC_CHAT_SMOLLM2) text = SMOLLM2_SYSTEM;
    if (w->s->format == AC_CHAT_QWEN2) text = w->s->old_qwen ? QWEN2_SYSTEM : QWEN25_SYSTEM;
    if (w->s->format == AC_CHAT_LLAMA3 && w->s->dated) text = LLAMA31_DATES;
    if (!text) return;
    open_turn(w, "system");
    ac_pen_c(&w->p, text);
    end_turn(w);
}

/* Qwen3: what stands before and behind </think>, as the template splits it. */
static ac_view qwen3_thoughts(ac_view content, ac_view *answer)
{
    const ac_view open = AC_VIEW("<think>"), shut = AC_VIEW("</think>");
    const size_t first = ac_view_find(content, shut, 0);
    ac_view thoughts = { NULL, 0 };
    *answer = content;
    if (first == SIZE_MAX) return thoughts;
    thoughts = ac_view_slice(content, 0, first);
    for (size_t at = first; at != SIZE_MAX; at = ac_view_find(content, shut, at + shut.len))
        *answer = ac_view_slice(content, at + shut.len, content.len);
    for (size_t at = ac_view_find(thoughts, open, 0); at != SIZE_MAX; at = ac_view_find(thoughts, open, 0))
        thoughts = ac_view_slice(thoughts, at + open.len, thoughts.len);
    while (answer->len > 0 && answer->ptr[0] == '\n') *answer = ac_view_slice(*answer, 1, answer->len);
    while (thoughts.len > 0 && thoughts.ptr[0] == '\n') thoughts = ac_view_slice(thoughts, 1, thoughts.len);
    while (thoughts.len > 0 && thoughts.ptr[thoughts.len - 1] == '\n') thoughts.len--;
    return thoughts;
}

/* Only answers after the last question keep their thoughts; the last one gets an empty block where it has
 * none, which is the frame that asking for an answer ends with, too. */
static void qwen3_answer(scribe *w, size_t i)
{
    ac_pen *p = &w->p;
    ac_view answer;
    const ac_view thoughts = qwen3_thoughts(content_of(w, i), &answer);
    const bool current = w->last_query == SIZE_MAX ? false : i > w->last_query;
    const bool block = current && (i + 1 == w->n || thoughts.len > 0);
    while (block && answer.len > 0 && answer.ptr[0] == '\n') answer = ac_view_slice(answer, 1, answer.len);
    if (block && thoughts.len == 0) ac_pen_c(p, EMPTY_THINK);
    ac_pen_cut(p);
    ac_pen_at(p, (int32_t)i, 1);
    if (block && thoughts.len > 0) {
        ac_pen_c(p, "<think>\n");
        ac_pen_text(p, thoughts);
        ac_pen_c(p, "\n</think>\n\n");
    }
    ac_pen_text(p, answer);
    if (w->msg[i].tool_calls.len > 0) ac_chat_qwen_calls(p, w->msg[i].tool_calls, answer.len > 0);
}

static void assistant_turn(scribe *w, size_t i)
{
    ac_pen *p = &w->p;
    const ac_view content = content_of(w, i), calls = w->msg[i].tool_calls;
    const ac_chat_format f = w->s->format;
    open_turn(w, "assistant");
    if (f == AC_CHAT_QWEN3) {
        qwen3_answer(w, i);
        end_turn(w);
        return;
    }
    ac_pen_cut(p);                       /* C4: the answer's ids do not depend on the frame before it */
    ac_pen_at(p, (int32_t)i, 1);
    if (calls.len > 0 && f == AC_CHAT_LLAMA3 && w->s->dated) ac_chat_llama_call(p, calls);
    else ac_pen_text(p, content);
    if (calls.len > 0 && f == AC_CHAT_QWEN2) ac_chat_qwen_calls(p, calls, content.len > 0);
    end_turn(w);
}

/* Qwen: neighbouring tool results share one user turn. */
static void qwen_results(scribe *w, size_t i)
{
    ac_pen *p = &w->p;
    if (i == 0 || w->msg[i - 1].role != AC_ROLE_TOOL) {
        ac_pen_token(p, "<|im_start|>");
        ac_pen_c(p, "user");
    }
    ac_pen_c(p, "\n<tool_response>\n");
    ac_pen_text(p, content_of(w, i));
    ac_pen_c(p, "\n</tool_response>");
    if (i + 1 == w->n || w->msg[i + 1].role != AC_ROLE_TOOL) end_turn(w);
}

static ac_status check_turn(const scribe *w, size_t i)
{
    const ac_message *m = &w->msg[i];
    const ac_chat_format f = w->s->format;
    const bool qwen = f == AC_CHAT_QWEN2 || f == AC_CHAT_QWEN3, dated = f == AC_CHAT_LLAMA3 && w->s->dated;
    if (m->role == AC_ROLE_SYSTEM && w->s->no_system) return refuse(w, i, "has no system turn");
    if (m->role == AC_ROLE_TOOL && !qwen && !dated && f != AC_CHAT_CHATML && f != AC_CHAT_SMOLLM2)
        return refuse(w, i, "has no tool turn");
    if (m->tool_calls.len > 0 && (m->role != AC_ROLE_ASSISTANT || (!qwen && !dated)))
        return refuse(w, i, "has no place for tool_calls here");
    return AC_OK;
}

static void other_turn(scribe *w, size_t i)
{
    ac_pen *p = &w->p;
    const bool llama3 = w->s->format == AC_CHAT_LLAMA3, tool = w->msg[i].role == AC_ROLE_TOOL;
    if (tool && (w->s->format == AC_CHAT_QWEN2 || w->s->format == AC_CHAT_QWEN3)) {
        qwen_results(w, i);
        return;
    }
    open_turn(w, llama3 && tool ? "ipython" : ac_role_name(w->msg[i].role));
    if (llama3 && w->s->dated && i == 0 && w->msg[0].role == AC_ROLE_SYSTEM) ac_pen_c(p, LLAMA31_DATES);
    if (llama3 && tool) ac_chat_json_string(p, w->msg[i].content);
    else ac_pen_text(p, content_of(w, i));
    end_turn(w);
}

static void render_turns(scribe *w, bool add_generation)
{
    ac_pen *p = &w->p;
    w->last_query = SIZE_MAX;
    for (size_t i = 0; i < w->n; i++) {
        const ac_view c = w->msg[i].content;
        const bool result = ac_view_starts(c, AC_VIEW("<tool_response>")) &&
                            ac_view_ends(c, AC_VIEW("</tool_response>"));
        if (w->msg[i].role == AC_ROLE_USER && !result) w->last_query = i;
    }
    if (w->s->bos) ac_pen_id(p, ac_tokenizer_bos(p->c->t));
    default_system(w);
    for (size_t i = 0; !p->st && i < w->n; i++) {
        p->st = check_turn(w, i);
        if (p->st) return;
        ac_pen_at(p, (int32_t)i, 0);
        if (w->msg[i].role == AC_ROLE_ASSISTANT) assistant_turn(w, i);
        else other_turn(w, i);
    }
    ac_pen_at(p, -1, 0);
    if (add_generation) {
        open_turn(w, "assistant");
        if (w->s->format == AC_CHAT_QWEN3) ac_pen_c(p, EMPTY_THINK);
    } else if (w->s->final_eos) {
        ac_pen_id(p, ac_tokenizer_eos(p->c->t));
    }
}

/* ---- [INST] pairs, and Gemma's turns, which join the system text to the first question ---- */

/* After an optional system message, questions and answers take turns. */
static ac_status check_pairs(const scribe *w, bool add_generation)
{
    const size_t first = w->msg[0].role == AC_ROLE_SYSTEM;
    for (size_t i = first; i < w->n; i++) {
        const ac_role want = (i - first) % 2 == 0 ? AC_ROLE_USER : AC_ROLE_ASSISTANT;
        if (w->msg[i].tool_calls.len > 0) return refuse(w, i, "has no place for tool_calls");
        if (w->msg[i].role != want)
            return refuse(w, i, "takes user and assistant in turn, after at most one system message");
    }
    if (first && w->n == 1) return refuse(w, 0, "needs a user message after the system message");
    if (add_generation && w->msg[w->n - 1].role != AC_ROLE_USER)
        return refuse(w, w->n - 1, "can be asked for an answer only after a user message");
    if (first && (w->s->no_system || (w->s->format == AC_CHAT_MISTRAL && w->s->system_place == AC_SYS_NONE)))
        return refuse(w, 0, "has no system message in this model's template");
    return AC_OK;
}

static ac_view system_of(const scribe *w)
{
    if (w->msg[0].role != AC_ROLE_SYSTEM) return (ac_view){ NULL, 0 };
    const ac_view v = w->msg[0].content;
    const bool trim = w->s->trim_system || (w->s->format == AC_CHAT_MISTRAL && w->s->trim);
    return trim ? ac_chat_trim(v, true, true) : v;
}

static void say(scribe *w, size_t i, const char *before, const char *after)
{
    ac_pen *p = &w->p;
    ac_pen_cut(p);                                          /* C4 */
    ac_pen_at(p, (int32_t)i, 1);
    ac_pen_c(p, before);
    ac_pen_text(p, content_of(w, i));
    ac_pen_c(p, after);
    ac_pen_id(p, p->c->stop[0]);
    ac_pen_at(p, (int32_t)i, 0);
}

static void render_llama2(scribe *w)
{
    ac_pen *p = &w->p;
    const bool system = w->msg[0].role == AC_ROLE_SYSTEM;
    for (size_t i = system; i < w->n; i++) {
        ac_pen_at(p, (int32_t)i, 0);
        if (w->msg[i].role == AC_ROLE_ASSISTANT) {
            say(w, i, " ", " ");
            continue;
        }
        const bool joined = system && i == 1;
        ac_pen_id(p, ac_tokenizer_bos(p->c->t));
        ac_pen_token(p, "[INST]");
        ac_pen_c(p, " ");
        if (joined) {
            ac_pen_c(p, "<<SYS>>\n");
            ac_pen_text(p, system_of(w));
            ac_pen_c(p, "\n<</SYS>>\n\n");
        }
        ac_pen_text(p, ac_chat_trim(w->msg[i].content, !joined, true));   /* joined first, then trimmed */
        ac_pen_c(p, " ");
        ac_pen_token(p, "[/INST]");
    }
}

/* " [INST] " as text, the token, text: the brackets are one token where the vocabulary has it. */
static void inst_mark(ac_pen *p, const char *mark, const char *token)
{
    const size_t before = mark[0] == ' ', len = strlen(token);
    if (before) ac_pen_c(p, " ");
    ac_pen_token(p, token);
    ac_pen_c(p, mark + before + len);
}

static void mistral_question(scribe *w, size_t i, size_t last_user)
{
    ac_pen *p = &w->p;
    const bool system = w->msg[0].role == AC_ROLE_SYSTEM;
    const bool here = system && ((w->s->system_place == AC_SYS_FIRST_USER && i == 1) ||
                                 (w->s->system_place == AC_SYS_LAST_USER && i == last_user));
    inst_mark(p, w->s->open, "[INST]");
    if (here) {
        ac_pen_text(p, system_of(w));
        ac_pen_c(p, "\n\n");
    }
    ac_pen_text(p, content_of(w, i));
    inst_mark(p, w->s->close, "[/INST]");
}

static void render_mistral(scribe *w)
{
    ac_pen *p = &w->p;
    const bool system = w->msg[0].role == AC_ROLE_SYSTEM;
    size_t last_user = 0;
    for (size_t i = 0; i < w->n; i++)
        if (w->msg[i].role == AC_ROLE_USER) last_user = i;
    if (w->s->bos) ac_pen_id(p, ac_tokenizer_bos(p->c->t));
    if (system && w->s->system_place == AC_SYS_BEFORE) {
        ac_pen_text(p, system_of(w));
        ac_pen_c(p, "\n\n");
    } else if (system && w->s->system_place == AC_SYS_TAGS) {
        ac_pen_at(p, 0, 0);
        ac_pen_token(p, "[SYSTEM_PROMPT]");
        ac_pen_c(p, w->s->before_answer);
        ac_pen_text(p, system_of(w));
        ac_pen_token(p, "[/SYSTEM_PROMPT]");
    }
    for (size_t i = system; i < w->n; i++) {
        ac_pen_at(p, (int32_t)i, 0);
        if (w->msg[i].role == AC_ROLE_USER) {
            mistral_question(w, i, last_user);
        } else {
            say(w, i, w->s->before_answer, "");
            ac_pen_c(p, w->s->after_eos);
        }
    }
}

static void render_gemma(scribe *w, bool add_generation)
{
    ac_pen *p = &w->p;
    const bool system = w->msg[0].role == AC_ROLE_SYSTEM;
    if (w->s->bos) ac_pen_id(p, ac_tokenizer_bos(p->c->t));
    for (size_t i = system; i < w->n; i++) {
        ac_pen_at(p, (int32_t)i, 0);
        if (w->msg[i].role == AC_ROLE_ASSISTANT) {
            assistant_turn(w, i);
            continue;
        }
        const bool joined = system && i == 1;
        open_turn(w, "user");
        if (joined) {
            ac_pen_text(p, system_of(w));
            ac_pen_c(p, "\n\n");
        }
        ac_pen_text(p, ac_chat_trim(w->msg[i].content, !(joined && w->s->trim_system), true));
        end_turn(w);
    }
    ac_pen_at(p, -1, 0);
    if (add_generation) open_turn(w, "assistant");
}

/* ---- plain: for base models; a frame in words ---- */

static void render_plain(scribe *w, bool add_generation)
{
    static const char *const label[] = { "", "User: ", "Assistant:", "Tool: " };
    ac_pen *p = &w->p;
    if (w->s->bos) ac_pen_id(p, ac_tokenizer_bos(p->c->t));
    for (size_t i = 0; !p->st && i < w->n; i++) {
        const ac_role role = w->msg[i].role;
        if (w->msg[i].tool_calls.len > 0) {
            p->st = refuse(w, i, "has no place for tool_calls");
            return;
        }
        ac_pen_at(p, (int32_t)i, 0);
        ac_pen_c(p, label[role]);
        if (role == AC_ROLE_ASSISTANT) {
            say(w, i, " ", "");
            ac_pen_c(p, "\n");
            continue;
        }
        ac_pen_text(p, content_of(w, i));
        ac_pen_c(p, role == AC_ROLE_SYSTEM ? "\n\n" : "\n");
    }
    ac_pen_at(p, -1, 0);
    if (add_generation) ac_pen_c(p, label[AC_ROLE_ASSISTANT]);
}

ac_status ac_chat_render(const ac_chat *c, const ac_message *msgs, size_t n, bool add_generation,
                         ac_rendered *out, ac_err *err)
{
    scribe w = { .s = &c->style, .msg = msgs, .n = n };
    ac_pen *p = &w.p;
    const ac_chat_format f = c->style.format;
    const bool pairs = f == AC_CHAT_LLAMA2 || f == AC_CHAT_MISTRAL || f == AC_CHAT_GEMMA;
    *p = (ac_pen){ .c = c, .out = out, .fresh = true, .message = -1, .err = err };
    ac_ids_reset(&out->ids);
    if (n == 0 || n > INT32_MAX) return ac_fail(err, AC_EFORMAT, "a conversation of %zu messages", n);
    if (pairs) p->st = check_pairs(&w, add_generation);
    if (p->st) return p->st;
    if (f == AC_CHAT_LLAMA2) render_llama2(&w);
    else if (f == AC_CHAT_MISTRAL) render_mistral(&w);
    else if (f == AC_CHAT_GEMMA) render_gemma(&w, add_generation);
    else if (f == AC_CHAT_PLAIN) render_plain(&w, add_generation);
    else render_turns(&w, add_generation);
    ac_pen_cut(p);
    ac_str_release(&p->run);
    if (p->st) ac_ids_reset(&out->ids);
    return p->st;
}
