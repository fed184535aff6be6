#include "eval/endpoint.h"

#include <math.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "formats/json.h"
#include "net/http.h"

ac_status ac_endpoint_parse(ac_endpoint *out, const char *text, ac_arena *a, ac_err *err)
{
    const ac_view v = ac_view_of(text);
    const size_t eq = ac_view_find(v, AC_VIEW("="), 0);
    size_t comma = SIZE_MAX;
    for (size_t i = eq == SIZE_MAX ? v.len : eq; i < v.len; i++)
        if (v.ptr[i] == ',') comma = i;                     /* the last one: a URL may hold commas */
    const ac_view name = ac_view_slice(v, 0, eq), url = ac_view_slice(v, eq + 1, comma), model = ac_view_slice(v, comma + 1, v.len);
    if (eq == SIZE_MAX || comma == SIZE_MAX || !ac_path_component_ok(name) || !model.len
        || !(ac_view_starts(url, AC_VIEW("http://")) || ac_view_starts(url, AC_VIEW("https://"))))
        return ac_fail(err, AC_EARG, "endpoint \"%.200s\": expected NAME=URL,MODEL, as in "
                       "local=http://127.0.0.1:8080/v1,my-model", text);
    if (ac_view_find(url, AC_VIEW("@"), 0) != SIZE_MAX)
        return ac_fail(err, AC_EARG, "endpoint \"" AC_VIEW_FMT "\": put no key or password into its address; ACCORD_ENDPOINT_KEY "
                       "in the environment holds it", AC_VIEW_ARG(name));
    const bool whole = ac_view_ends(url, AC_VIEW("/chat/completions"));
    const bool slash = ac_view_ends(url, AC_VIEW("/"));
    out->name = ac_arena_printf(a, "endpoint:" AC_VIEW_FMT, AC_VIEW_ARG(name));
    out->url = ac_arena_printf(a, AC_VIEW_FMT "%s", AC_VIEW_ARG(url), whole ? "" : slash ? "chat/completions" : "/chat/completions");
    out->model = ac_arena_strndup(a, model.ptr, model.len);
    return out->name && out->url && out->model ? AC_OK : ac_fail_nomem(err, v.len);
}

static void message(ac_jw *w, const char *role, const ac_message *m, ac_view content)
{
    ac_jw_object(w, NULL);
    ac_jw_cstr(w, "role", role);
    ac_jw_str(w, "content", content);
    if (m && m->name.len) ac_jw_str(w, "name", m->name);
    if (m && m->tool_calls.len) ac_jw_json(w, "tool_calls", m->tool_calls);
    ac_jw_end_object(w);
}

ac_status ac_endpoint_request(ac_str *out, const ac_endpoint *e, const ac_case *c, const char *system, size_t max_tokens,
                              ac_err *err)
{
    ac_jw w;
    ac_jw_init(&w, out, false);
    ac_jw_object(&w, NULL);
    ac_jw_cstr(&w, "model", e->model);
    ac_jw_array(&w, "messages");
    if (system && c->turn[0].role != AC_ROLE_SYSTEM) message(&w, "system", NULL, ac_view_of(system));
    for (size_t i = 0; i < c->n_turns; i++) message(&w, ac_role_name(c->turn[i].role), &c->turn[i], c->turn[i].content);
    ac_jw_end_array(&w);
    if (c->tools.len) ac_jw_json(&w, "tools", c->tools);
    ac_jw_i64(&w, "temperature", 0);
    ac_jw_i64(&w, "top_p", 1);
    ac_jw_u64(&w, "max_tokens", max_tokens);
    ac_jw_i64(&w, "seed", 0);
    ac_jw_bool(&w, "stream", false);
    ac_jw_end_object(&w);
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

static size_t usage_of(const ac_json *o, const char *key)
{
    const ac_json *u = ac_json_get(o, "usage"), *v = u ? ac_json_get(u, key) : NULL;
    int64_t n = 0;
    return v && ac_json_as_i64(v, &n) && n > 0 ? (size_t)n : 0;
}

ac_status ac_endpoint_answer(ac_answer *out, ac_view body, const ac_endpoint *e, ac_arena *a, ac_err *err)
{
    const ac_json *o = NULL;
    const ac_status st = ac_json_parse(&o, body, a, e->url, 1, NULL, err);
    if (st) return st;
    const ac_json *choices = ac_json_get(o, "choices"), *first = choices && choices->type == AC_JSON_ARRAY ? choices->child : NULL;
    const ac_json *m = first ? ac_json_get(first, "message") : NULL, *text = m ? ac_json_get(m, "content") : NULL;
    const ac_json *end = first ? ac_json_get(first, "finish_reason") : NULL;
    if (!text || (text->type != AC_JSON_STRING && text->type != AC_JSON_NULL))
        return ac_fail(err, AC_EFORMAT, "%s: the answer has no choices[0].message.content; is this OpenAI's chat completions?",
                       e->url);
    const ac_json *calls = ac_json_get(m, "tool_calls");
    out->text = text->type == AC_JSON_STRING ? text->text : AC_VIEW("");
    if (calls && calls->type == AC_JSON_ARRAY && calls->n) {           /* judged in the form in which other arms say them */
        ac_str s = { 0 };
        ac_json_write(&s, calls);
        const char *copy = ac_str_ok(&s) ? ac_arena_strndup(a, ac_str_c(&s), s.len) : NULL;
        out->text = (ac_view){ copy, s.len };
        ac_str_release(&s);
        if (!copy) return ac_fail_nomem(err, out->text.len);
    }
    out->n_prompt = usage_of(o, "prompt_tokens");
    out->n_tokens = usage_of(o, "completion_tokens");
    out->cut = end && end->type == AC_JSON_STRING && ac_view_eq_str(end->text, "length");
    return AC_OK;
}

/* The server's own words for a failure, as far as they are text. */
static ac_status refused(const ac_endpoint *e, int status, const ac_str *body, ac_err *err)
{
    char text[240];
    size_t n = 0;
    for (size_t i = 0; i < body->len && n < sizeof text - 1; i++)
        text[n++] = (unsigned char)body->ptr[i] < 0x20 || (unsigned char)body->ptr[i] >= 0x7f ? ' ' : body->ptr[i];
    text[n] = '\0';
    return ac_fail(err, AC_EIO, "%s: HTTP status %d%s: %s", e->url, status,
                   status == 401 || status == 403 ? " (the key comes from ACCORD_ENDPOINT_KEY)" : "", text);
}

static ac_status ask(const ac_endpoint *e, const ac_arm_env *env, const ac_case *c, ac_answer *out, ac_arena *a, ac_err *err)
{
    ac_str body = { 0 }, answer = { 0 };
    int status = 0;
    ac_status st = ac_endpoint_request(&body, e, c, env->system, env->max_tokens, err);
    const ac_http_post p = { .url = e->url, .bearer = e->key, .body = ac_str_view(&body), .timeout_ms = e->timeout_ms };
    if (!st) st = ac_http_post_json(&p, &answer, &status, err);
    if (!st && status != 200) st = refused(e, status, &answer, err);
    if (!st) st = ac_endpoint_answer(out, ac_str_view(&answer), e, a, err);
    ac_str_release(&body);
    ac_str_release(&answer);
    return st;
}

static ac_status one_case(const ac_endpoint *e, const ac_arm_env *env, const ac_case *c, ac_arm_result *r, ac_answer *ans,
                          ac_arena *a, ac_err *err)
{
    ac_grade grade = { 0 };
    ac_status st = ask(e, env, c, ans, a, err);
    if (!st) st = ac_grade_answer(env->grader, c, ans->text, 0, (double)NAN, a, &grade, err);
    if (st) return ac_err_prefix(err, st, "arm %s, case \"" AC_VIEW_FMT "\"", e->name, AC_VIEW_ARG(c->id));
    ans->pass = grade.pass;
    ans->why = grade.why;
    r->n_pass += grade.pass;
    r->n_pass_class[c->cls] += grade.pass;
    r->prompt_tokens += ans->n_prompt;
    r->answer_tokens += ans->n_tokens;
    return AC_OK;
}

ac_status ac_endpoint_run(const ac_endpoint *e, const ac_arm_env *env, const ac_cases *cases, ac_arena *a,
                          ac_arm_result *out, ac_err *err)
{
    const int64_t start = ac_mono_ns();
    ac_arm_result r = { .arm = AC_ARM_ENDPOINT, .label = e->name, .n = cases->n };
    ac_event ev = { .kind = AC_EV_STAGE, .text = e->name, .unit = "cases", .total = cases->n };
    r.answer = ac_arena_alloc_array(a, cases->n, sizeof *r.answer);
    ac_status st = r.answer ? ac_emit(env->sink, &ev, err) : ac_fail_nomem(err, cases->n * sizeof *r.answer);
    for (size_t i = 0; i < cases->n && !st; i++) {
        st = one_case(e, env, &cases->item[i], &r, &r.answer[i], a, err);
        ev.kind = AC_EV_PROGRESS;
        ev.done = i + 1;
        if (!st) st = ac_emit(env->sink, &ev, err);
    }
    ev.kind = AC_EV_STAGE_END;
    if (!st) st = ac_emit(env->sink, &ev, err);
    r.seconds = (double)(ac_mono_ns() - start) * 1e-9;
    if (!st) *out = r;
    return st;
}
