#include "eval/arms.h"

#include <math.h>
#include <string.h>

#include "base/time.h"

static const char *const arm_names[AC_ARM_COUNT] = { "base", "rag", "tuned", "tuned+rag" };

const char *ac_arm_name(ac_arm a)
{
    return (unsigned)a < AC_ARM_COUNT ? arm_names[a] : "?";
}

const char *ac_arm_label(const ac_arm_result *r)
{
    return r->label ? r->label : ac_arm_name(r->arm);
}

bool ac_arm_parse(ac_view name, ac_arm *out)
{
    for (size_t i = 0; i < AC_ARM_COUNT; i++) {
        if (ac_view_eq_str(name, arm_names[i])) {
            *out = (ac_arm)i;
            return true;
        }
    }
    return false;
}

/* A conversation with its reference behind it, and which tokens that is. */
typedef struct {
    int32_t *ids;
    uint8_t *target;
    size_t n, n_target;
} ac_scored;

typedef struct {
    const ac_arm_env *env;
    const ac_cases *cases;
    ac_arena *a;
    ac_arm_result *out;
    ac_gen_request *request;
    ac_gen_answer *made;
    ac_scored *reference;        /* NULL: not asked for */
    bool rag, tuned;
    ac_err *err;
} arm_job;

/* What the rag arms search for: a follow-up alone ("Only those from May.") finds nothing, so the user turn
 * before it goes along. */
static ac_status search_text(const arm_job *j, const ac_case *c, ac_view *out)
{
    const ac_message *last = &c->turn[c->n_turns - 1], *before = NULL;
    for (size_t i = 0; i + 1 < c->n_turns; i++)
        if (c->turn[i].role == AC_ROLE_USER) before = &c->turn[i];
    *out = last->content;
    if (!before) return AC_OK;
    char *joined = ac_arena_printf(j->a, AC_VIEW_FMT "\n" AC_VIEW_FMT, AC_VIEW_ARG(before->content),
                                   AC_VIEW_ARG(last->content));
    if (!joined) return ac_fail_nomem(j->err, before->content.len + last->content.len);
    *out = ac_view_of(joined);
    return AC_OK;
}

static ac_status add_passages(const arm_job *j, const ac_case *c, ac_answer *ans, ac_message *last)
{
    ac_view question;
    ac_passage *found = NULL;
    ac_str prompt = { 0 };
    ac_status st = search_text(j, c, &question);
    const float *vector = NULL;
    const bool dense = ac_rag_is_dense(j->env->rag);
    if (!st && dense) st = j->env->embed(j->env->embed_ctx, question, &vector, j->err);
    if (!st && dense) st = ac_rag_search_both(j->env->rag, question, vector, j->a, &found, &ans->n_passages, j->err);
    else if (!st) st = ac_rag_search(j->env->rag, question, j->a, &found, &ans->n_passages, j->err);
    if (!st) st = ac_rag_prompt(&prompt, found, ans->n_passages, last->content, j->err);
    if (!st) {
        char *copy = ac_arena_strndup(j->a, ac_str_c(&prompt), prompt.len);
        if (copy) last->content = (ac_view){ copy, prompt.len };
        else st = ac_fail_nomem(j->err, prompt.len);
    }
    ans->passage = found;
    ac_str_release(&prompt);
    return st;
}

/* Tools stand where rows of data have them: behind the line "# Tools" at the end of the system turn. NULL: no memory. */
static const char *with_tools(ac_arena *a, ac_view *system, ac_view tools)
{
    const char *gap = system->len ? "\n\n" : "";
    char *text = ac_arena_printf(a, AC_VIEW_FMT "%s# Tools\n" AC_VIEW_FMT, AC_VIEW_ARG(*system), gap, AC_VIEW_ARG(tools));
    system->len = text ? strlen(text) : 0;
    return text;
}

/* The case's turns with the system turn and the passages where they belong. */
static ac_status conversation(const arm_job *j, const ac_case *c, ac_answer *ans, ac_message **out, size_t *n)
{
    ac_message *m = ac_arena_alloc_array(j->a, c->n_turns + 2, sizeof *m);     /* a system turn and a reference more */
    size_t count = 0;
    if (!m) return ac_fail_nomem(j->err, (c->n_turns + 2) * sizeof *m);
    if ((j->env->system || c->tools.len) && c->turn[0].role != AC_ROLE_SYSTEM) {
        const ac_view system = j->env->system ? ac_view_of(j->env->system) : AC_VIEW("");
        m[count++] = (ac_message){ .role = AC_ROLE_SYSTEM, .content = system, .train = -1 };
    }
    memcpy(m + count, c->turn, c->n_turns * sizeof *m);
    count += c->n_turns;
    if (c->tools.len && !(m[0].content.ptr = with_tools(j->a, &m[0].content, c->tools)))
        return ac_fail_nomem(j->err, c->tools.len);
    *out = m;
    *n = count;
    return j->rag ? add_passages(j, c, ans, &m[count - 1]) : AC_OK;
}

/* The same turns with the reference as the answer; m has room for it. */
static ac_status keep_reference(const arm_job *j, size_t i, ac_message *m, size_t n)
{
    ac_rendered r = { 0 };
    ac_scored *s = &j->reference[i];
    m[n] = (ac_message){ .role = AC_ROLE_ASSISTANT, .content = j->cases->item[i].ideal, .train = -1 };
    ac_status st = ac_chat_render(j->env->chat, m, n + 1, false, &r, j->err);
    if (!st && r.ids.n <= ac_model_get_config(j->env->model)->context) {
        s->ids = ac_arena_alloc_array(j->a, r.ids.n, sizeof *s->ids);
        s->target = ac_arena_alloc_array(j->a, r.ids.n, sizeof *s->target);
        if (!s->ids || !s->target) st = ac_fail_nomem(j->err, r.ids.n * sizeof *s->ids);
        for (size_t t = 0; !st && t < r.ids.n; t++) {
            s->ids[t] = r.ids.id[t];
            s->target[t] = t && r.said[t] && r.message[t] == (int32_t)n;
            s->n_target += s->target[t];
        }
        if (!st) s->n = r.ids.n;
    }
    ac_rendered_release(&r);
    return st;
}

static ac_status make_request(const arm_job *j, size_t i)
{
    const ac_case *c = &j->cases->item[i];
    ac_answer *ans = &j->out->answer[i];
    ac_message *m = NULL;
    size_t n = 0;
    ac_rendered r = { 0 };
    ac_status st = conversation(j, c, ans, &m, &n);
    if (!st) st = ac_chat_render(j->env->chat, m, n, true, &r, j->err);
    const size_t context = ac_model_get_config(j->env->model)->context;
    if (!st && r.ids.n + j->env->max_tokens > context)
        st = ac_fail(j->err, AC_EFORMAT, "prompt of %zu tokens and answer of up to %zu exceed the model's context of "
                     "%zu; shorten the case, or lower eval.max_tokens%s", r.ids.n, j->env->max_tokens, context,
                     j->rag ? " or eval.rag_top" : "");
    if (!st) {
        int32_t *ids = ac_arena_alloc_array(j->a, r.ids.n, sizeof *ids);
        if (ids) {
            memcpy(ids, r.ids.id, r.ids.n * sizeof *ids);
            j->request[i] = (ac_gen_request){ .prompt = ids, .n_prompt = r.ids.n, .number = i };
            ans->n_prompt = r.ids.n;
        } else {
            st = ac_fail_nomem(j->err, r.ids.n * sizeof *ids);
        }
    }
    ac_rendered_release(&r);
    if (!st && j->reference && c->ideal.ptr) st = keep_reference(j, i, m, n);
    return st ? ac_err_prefix(j->err, st, "arm %s, case \"" AC_VIEW_FMT "\"", ac_arm_name(j->out->arm),
                              AC_VIEW_ARG(c->id)) : AC_OK;
}

/* ---- perplexity (A4) ---- */

static ac_status nll(const arm_job *j, const int32_t *ids, const uint8_t *target, size_t n, double *out)
{
    static const uint32_t zero = 0;
    const ac_unit u = { .ids = ids, .target = target, .n = n, .doc_start = &zero, .n_docs = 1 };
    return ac_model_nll(j->env->model, j->tuned ? j->env->adapter : NULL, &u, 1, out, NULL, j->err);
}

static bool wants_perplexity(const arm_job *j, const ac_case *c)
{
    bool asked = j->env->perplexity;
    for (size_t i = 0; i < c->n_asserts; i++) asked |= c->assert_[i].type == AC_GRADE_PERPLEXITY;
    return asked;
}

static ac_status answer_perplexity(const arm_job *j, size_t i)
{
    const ac_gen_request *q = &j->request[i];
    const ac_gen_answer *g = &j->made[i];
    const size_t n = q->n_prompt + g->ids.n;
    double sum = 0;
    if (g->ids.n == 0 || !wants_perplexity(j, &j->cases->item[i])) return AC_OK;
    int32_t *ids = ac_arena_alloc_array(j->a, n, sizeof *ids);
    uint8_t *target = ac_arena_alloc_array(j->a, n, sizeof *target);
    if (!ids || !target) return ac_fail_nomem(j->err, n * sizeof *ids);
    memcpy(ids, q->prompt, q->n_prompt * sizeof *ids);
    memcpy(ids + q->n_prompt, g->ids.id, g->ids.n * sizeof *ids);
    memset(target, 0, q->n_prompt);
    memset(target + q->n_prompt, 1, g->ids.n);
    const ac_status st = nll(j, ids, target, n, &sum);
    if (!st) j->out->answer[i].perplexity = ac_model_perplexity(sum, g->ids.n);
    return st;
}

static ac_status score_references(const arm_job *j)
{
    ac_status st = AC_OK;
    for (size_t i = 0; j->reference && i < j->cases->n && !st; i++) {
        const ac_scored *s = &j->reference[i];
        if (s->n_target == 0) continue;
        st = nll(j, s->ids, s->target, s->n, &j->out->answer[i].reference_nll);
        if (!st) j->out->answer[i].reference_tokens = s->n_target;
    }
    return st;
}

double ac_arm_reference_perplexity(const ac_arm_result *r)
{
    double sum = 0;
    size_t n = 0;
    for (size_t i = 0; i < r->n; i++) {
        if (r->answer[i].reference_tokens == 0) continue;
        sum += r->answer[i].reference_nll;
        n += r->answer[i].reference_tokens;
    }
    return n ? ac_model_perplexity(sum, n) : 0;
}

static ac_status take_answer(const arm_job *j, size_t i)
{
    ac_answer *ans = &j->out->answer[i];
    const ac_gen_answer *g = &j->made[i];
    ac_str text = { 0 };
    ac_grade grade = { 0 };
    ac_status st = ac_tokenizer_decode(j->env->tokenizer, g->ids.id, g->ids.n, 0, &text, j->err);
    if (!st && !ac_str_ok(&text)) st = ac_fail_nomem(j->err, text.len);
    if (!st) {
        char *copy = ac_arena_strndup(j->a, ac_str_c(&text), text.len);
        if (copy) ans->text = (ac_view){ copy, text.len };
        else st = ac_fail_nomem(j->err, text.len);
    }
    ac_str_release(&text);
    if (!st) st = answer_perplexity(j, i);
    if (!st) st = ac_grade_answer(j->env->grader, &j->cases->item[i], ans->text, ans->n_passages,
                                  ans->perplexity > 0 ? ans->perplexity : (double)NAN, j->a, &grade, j->err);
    if (!st && ans->n_passages) st = ac_rag_check_cites(&ans->cites, ans->text, ans->passage, ans->n_passages, j->err);
    if (st) return st;
    ans->pass = grade.pass;
    ans->why = grade.why;
    ans->n_tokens = g->ids.n;
    ans->cut = g->end != AC_GEN_STOP;
    j->out->n_pass += grade.pass;
    j->out->n_pass_class[j->cases->item[i].cls] += grade.pass;
    j->out->prompt_tokens += ans->n_prompt;
    j->out->answer_tokens += ans->n_tokens;
    return AC_OK;
}

static ac_status run(arm_job *j)
{
    const size_t n = j->cases->n;
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) st = make_request(j, i);
    if (st) return st;
    ac_gen_opts opts = { .max_tokens = j->env->max_tokens, .top_p = 1 };
    opts.stop = ac_chat_stop_ids(j->env->chat, &opts.n_stop);
    st = ac_generate(j->env->model, j->tuned ? j->env->adapter : NULL, j->request, n, &opts, j->made, NULL, NULL,
                     j->env->sink, j->err);
    for (size_t i = 0; i < n && !st; i++) st = take_answer(j, i);
    return st ? st : score_references(j);
}

ac_status ac_arm_run(const ac_arm_env *env, ac_arm arm, const ac_cases *cases, ac_arena *a, ac_arm_result *out,
                     ac_err *err)
{
    const int64_t start = ac_mono_ns();
    ac_arm_result made = { .arm = arm, .n = cases->n };
    arm_job j = { .env = env, .cases = cases, .a = a, .out = &made, .err = err };
    j.tuned = arm == AC_ARM_TUNED || arm == AC_ARM_TUNED_RAG;
    j.rag = arm == AC_ARM_RAG || arm == AC_ARM_TUNED_RAG;
    if (j.rag && !env->rag) return ac_fail(err, AC_EARG, "arm %s needs documents", ac_arm_name(arm));
    if (arm >= AC_ARM_TUNED && !env->adapter) return ac_fail(err, AC_EARG, "arm %s needs an adapter", ac_arm_name(arm));
    made.answer = ac_arena_alloc_array(a, cases->n, sizeof *made.answer);
    j.request = ac_arena_alloc_array(a, cases->n, sizeof *j.request);
    j.made = ac_arena_alloc_array(a, cases->n, sizeof *j.made);
    if (env->perplexity && !(j.reference = ac_arena_alloc_array(a, cases->n, sizeof *j.reference)))
        return ac_fail_nomem(err, cases->n * sizeof *j.reference);
    if (!made.answer || !j.request || !j.made) return ac_fail_nomem(err, cases->n * sizeof *made.answer);
    ac_event ev = { .kind = AC_EV_STAGE, .text = ac_arm_name(arm), .unit = "tokens", .total = cases->n };
    ac_status st = ac_emit(env->sink, &ev, err);
    if (!st) st = run(&j);
    for (size_t i = 0; i < cases->n; i++) ac_ids_release(&j.made[i].ids);
    ev.kind = AC_EV_STAGE_END;
    if (!st) st = ac_emit(env->sink, &ev, err);
    made.seconds = (double)(ac_mono_ns() - start) * 1e-9;
    if (!st) *out = made;
    return st;
}

ac_status ac_arm_longest(const ac_arm_env *env, ac_arm arm, const ac_cases *cases, size_t *which, size_t *tokens, ac_err *err)
{
    ac_arena a = { 0 };
    ac_status st = AC_OK;
    *which = *tokens = 0;
    for (size_t i = 0; i < cases->n && !st; i++) {
        const arm_job j = { .env = env, .cases = cases, .a = &a, .rag = arm == AC_ARM_RAG || arm == AC_ARM_TUNED_RAG, .err = err };
        ac_answer ans = { .pass = false };
        ac_message *m = NULL;
        ac_rendered r = { 0 };
        size_t n = 0;
        ac_arena_reset(&a);
        st = conversation(&j, &cases->item[i], &ans, &m, &n);
        if (!st) st = ac_chat_render(env->chat, m, n, true, &r, err);
        if (!st && r.ids.n > *tokens) {
            *tokens = r.ids.n;
            *which = i;
        }
        ac_rendered_release(&r);
        if (st) st = ac_err_prefix(err, st, "arm %s, case \"" AC_VIEW_FMT "\"", ac_arm_name(arm), AC_VIEW_ARG(cases->item[i].id));
    }
    ac_arena_release(&a);
    return st;
}
