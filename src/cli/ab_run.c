#include "cli/ab_run.h"

#include <stdlib.h>
#include <string.h>

#include "base/file.h"
#include "base/time.h"
#include "cli/embed.h"
#include "ledger/ledger.h"
#include "net/http.h"

static bool wants_rag(ac_arm a)
{
    return a == AC_ARM_RAG || a == AC_ARM_TUNED_RAG;
}

static bool wants_adapter(ac_arm a)
{
    return a == AC_ARM_TUNED || a == AC_ARM_TUNED_RAG;
}

static ac_status add_arm(ac_ab *ab, ac_arm arm, ac_err *err)
{
    for (size_t i = 0; i < ab->n_arms; i++)
        if (ab->arm[i] == arm) return ac_fail(err, AC_EARG, "--arms: %s stands there twice", ac_arm_name(arm));
    if (wants_rag(arm) && !ab->project.contract.v.docs)
        return ac_fail(err, AC_EARG, "--arms: %s needs documents; set docs in accord.yaml and freeze", ac_arm_name(arm));
    ab->arm[ab->n_arms++] = arm;
    return AC_OK;
}

static ac_status choose_arms(ac_ab *ab, ac_err *err)
{
    ac_status st = AC_OK;
    ac_view rest = ac_view_of(ab->o->arms);
    for (int a = 0; !ab->o->arms && a < AC_ARM_COUNT && !st; a++)
        if ((!wants_rag((ac_arm)a) || ab->project.contract.v.docs) && !(ab->o->untuned && wants_adapter((ac_arm)a)))
            st = add_arm(ab, (ac_arm)a, err);
    while (rest.len && !st) {
        const size_t comma = ac_view_find(rest, AC_VIEW(","), 0);
        const ac_view word = ac_view_trim(ac_view_slice(rest, 0, comma));
        ac_arm a;
        if (!ac_arm_parse(word, &a))
            return ac_fail(err, AC_EARG, "--arms: unknown arm \"" AC_VIEW_FMT "\"; expected base, rag, tuned, tuned+rag",
                           AC_VIEW_ARG(word));
        st = add_arm(ab, a, err);
        rest = comma == SIZE_MAX ? (ac_view){ NULL, 0 } : ac_view_slice(rest, comma + 1, rest.len);
    }
    bool base = false, tuned = false;
    for (size_t i = 0; i < ab->n_arms; i++) {
        base |= ab->arm[i] == AC_ARM_BASE;
        tuned |= wants_adapter(ab->arm[i]);
    }
    if (!st && ab->o->untuned && tuned) st = ac_fail(err, AC_EARG, "--untuned has no tuned arm; leave it out of --arms");
    if (!st && !ab->o->untuned && (!base || !tuned))
        st = ac_fail(err, AC_EARG, "--arms: a verdict compares base with a tuned arm; name both");
    return st;
}

/* The answers leave this machine's bits: servers are named on the command line, and the key in the environment. */
static ac_status choose_endpoints(ac_ab *ab, ac_err *err)
{
    const ac_opt_list *list = ab->o->endpoints;
    if (list->n > AC_AB_ENDPOINTS) return ac_fail(err, AC_EARG, "--endpoint: at most %zu servers", AC_AB_ENDPOINTS);
    if (list->n && !ac_http_available())
        return ac_fail(err, AC_EARG, "--endpoint: this program was built without an HTTP client; use one linked with libcurl");
    for (size_t i = 0; i < list->n; i++) {
        ac_endpoint *e = &ab->endpoint[i];
        const ac_status st = ac_endpoint_parse(e, list->item[i], &ab->arena, err);
        if (st) return st;
        for (size_t k = 0; k < i; k++)
            if (strcmp(ab->endpoint[k].name, e->name) == 0)
                return ac_fail(err, AC_EARG, "--endpoint: %s stands there twice", e->name);
        const char *key = getenv("ACCORD_ENDPOINT_KEY");
        e->key = key && key[0] ? key : NULL;
        e->timeout_ms = ab->o->endpoint_seconds * 1000;
        ab->n_endpoints++;
    }
    return AC_OK;
}

/* What is scored must be what was trained, and under this lock. */
static ac_status check_run(ac_ab *ab, ac_err *err)
{
    char *path = NULL;
    const ac_json *o = NULL;
    ac_view state, lock, adapter;
    ac_status st = ac_run_find(&ab->dir, &ab->arena, ".", ab->o->run, err);
    if (st) return st;
    ab->id = ac_run_id(ab->dir);
    st = ac_run_path(&path, &ab->arena, ab->dir, "run.json", err);
    if (!st) st = ac_json_parse_file(&o, path, &ab->arena, NULL, err);
    if (!st) st = ac_json_get_str(&state, o, "state", path, err);
    if (!st) st = ac_json_get_str(&lock, o, "lock", path, err);
    if (st) return st;
    if (!ac_view_eq_str(state, "trained"))
        return ac_fail(err, AC_EREFUSED, "run %s is not trained (state: " AC_VIEW_FMT "); go on with: accord train "
                       "--resume %s", ab->id, AC_VIEW_ARG(state), ab->id);
    if (!ac_view_eq_str(lock, ab->project.lock_hex))
        return ac_fail(err, AC_ECONTRACT, "run %s was trained under another lock (%.16s...) than accord.lock (%.16s...); "
                       "train again, or put its lock back", ab->id, ac_view_slice(lock, 0, 64).ptr,
                       ab->project.lock_hex);
    st = ac_json_get_str(&adapter, o, "adapter_sha256", path, err);
    if (!st) (void)snprintf(ab->adapter_hex, sizeof ab->adapter_hex, AC_VIEW_FMT, AC_VIEW_ARG(adapter));
    return st;
}

static ac_status check_adapter(const ac_ab *ab, ac_err *err)
{
    ac_sha256 h;
    char hex[AC_SHA256_HEX];
    const ac_status st = ac_adapter_hash(ab->l.adapter, &h, err);
    if (st) return st;
    ac_sha256_hex(hex, &h);
    if (strcmp(hex, ab->adapter_hex) == 0) return AC_OK;
    return ac_fail(err, AC_ECONTRACT, "%s: SHA-256 of what it trained is %.16s..., the run wrote %.16s...; it was changed after "
                   "training", ab->dir, hex, ab->adapter_hex);
}

static ac_status optional_path(const char **out, ac_contract *c, const char *path, ac_err *err)
{
    *out = path ? ac_contract_path(c, path) : NULL;
    return path && !*out ? ac_fail_nomem(err, strlen(path)) : AC_OK;
}

static ac_status embed_question(void *ctx, ac_view text, const float **out, ac_err *err)
{
    ac_ab *ab = ctx;
    const ac_status st = ac_embed_texts(&ab->question_vector, &ab->l, NULL, &text, 1, NULL, &ab->arena, err);
    *out = ab->question_vector;
    return st;
}

static ac_status embed_passages(ac_ab *ab, ac_err *err)
{
    const size_t n = ac_rag_chunks(ab->rag);
    ac_view *text = ac_arena_alloc_array(&ab->arena, n + 1, sizeof *text);
    if (!text) return ac_fail_nomem(err, n * sizeof *text);
    for (size_t i = 0; i < n; i++) {
        ac_passage p = { .number = 0 };
        (void)ac_rag_chunk_at(ab->rag, i, &p);
        text[i] = p.text;
    }
    const ac_status st = ac_embed_texts(&ab->passage_vectors, &ab->l, ab->cli, text, n, "passages", &ab->arena, err);
    if (!st) ac_rag_set_vectors(ab->rag, ab->passage_vectors, ac_model_get_config(ab->l.model)->hidden);
    return st;
}

static ac_status open_cases(ac_ab *ab, ac_err *err)
{
    ac_contract *c = &ab->project.contract;
    const char *cases = NULL, *database = NULL, *docs = NULL;
    bool rag = false;
    ac_status st = optional_path(&cases, c, c->v.cases, err);
    if (!st) st = optional_path(&database, c, c->v.database, err);
    if (!st) st = optional_path(&docs, c, c->v.docs, err);
    if (!st) st = ac_cases_read(&ab->cases, cases, err);
    if (!st) st = ac_grade_open(&ab->grader, database, c->v.refusal, err);
    for (size_t i = 0; i < ab->n_arms; i++) rag |= wants_rag(ab->arm[i]);
    const ac_rag_opts o = { .chunk_tokens = (size_t)c->v.rag_chunk_tokens,
                            .overlap_tokens = (size_t)c->v.rag_overlap_tokens, .top = (size_t)c->v.rag_top };
    const uint64_t before = ac_file_unsealed();
    if (!st && rag) st = ac_rag_open(&ab->rag, docs, ab->l.tokenizer, &o, err);
    if (ac_file_unsealed() != before) ab->cases.sealed = true;     /* answers quote the documents */
    return !st && rag && c->v.rag_dense ? embed_passages(ab, err) : st;
}

static ac_status open_all(ac_ab *ab, ac_err *err)
{
    const char *model = NULL;
    ac_status st = ac_contract_model_path(&ab->project.contract, &model, err);
    if (!st) st = ac_load_model(&ab->l, ab->cli, model, ab->dir, err);
    if (!st && !ab->o->untuned) st = check_adapter(ab, err);
    if (!st) st = ac_load_tokenizer(&ab->l, model, err);
    if (!st) st = ac_load_chat(&ab->l, ab->project.contract.v.chat_format, err);
    if (!st) st = open_cases(ab, err);
    return st;
}

/* The seal is broken before anything is scored, so that no look at the cases goes uncounted (V5). */
static ac_status open_seal(ac_ab *ab, ac_err *err)
{
    ac_str s = { 0 };
    ac_str_appendf(&s, "\"lock\":\"%s\",\"cases\":%zu,\"arms\":[", ab->project.lock_hex, ab->cases.n);
    for (size_t i = 0; i < ab->n_arms; i++) ac_str_appendf(&s, "%s\"%s\"", i ? "," : "", ac_arm_name(ab->arm[i]));
    for (size_t i = 0; i < ab->n_endpoints; i++) {
        ac_str_append_char(&s, ',');
        ac_json_quote(&s, ac_view_of(ab->endpoint[i].name));
    }
    ac_str_append_char(&s, ']');
    if (ab->id) ac_str_appendf(&s, ",\"run\":\"%s\"", ab->id);
    ac_status st = ac_str_ok(&s) ? ac_audit_append(".", "opening", ac_str_c(&s), err) : ac_fail_nomem(err, s.len);
    ac_str_release(&s);
    return st;
}

/* Openings of this project's cases under whichever lock: freezing again does not make them unseen. A lock that came
 * with a clone was frozen elsewhere; its number counts where this chain knows less. */
static ac_status count_openings(ac_ab *ab, ac_err *err)
{
    ac_status st = ac_audit_count(".", "opening", NULL, &ab->openings, err);
    if (!st) st = ac_audit_count(".", "freeze", NULL, &ab->locks, err);
    if (!st && ab->locks < ab->project.lock.number) ab->locks = ab->project.lock.number;
    if (!st) st = ac_audit_verify(".", &ab->audit, err);
    return st;
}

static ac_status answer(ac_ab *ab, ac_err *err)
{
    const ac_contract_values *v = &ab->project.contract.v;
    const ac_arm_env env = {
        .model = ab->l.model, .tokenizer = ab->l.tokenizer, .chat = ab->l.chat, .adapter = ab->l.adapter,
        .rag = ab->rag, .embed = embed_question, .embed_ctx = ab, .system = v->system, .max_tokens = (size_t)v->max_tokens,
        .perplexity = ab->o->perplexity, .grader = ab->grader,
        .sink = &ab->sink,
    };
    const ac_verdict_rules rules = {
        .margin = v->margin, .guard = { (size_t)v->guard_success, (size_t)v->guard_refusal, (size_t)v->guard_edge },
        .openings = ab->openings, .locks = ab->locks, .smallest_gain = ab->project.lock.smallest_gain_points,
    };
    ac_status st = AC_OK;
    for (size_t i = 0; i < ab->n_arms && !st; i++)
        st = ac_arm_run(&env, ab->arm[i], &ab->cases, &ab->arena, &ab->result[ab->n_results++], err);
    for (size_t i = 0; i < ab->n_endpoints && !st; i++)
        st = ac_endpoint_run(&ab->endpoint[i], &env, &ab->cases, &ab->arena, &ab->result[ab->n_results++], err);
    if (!st && !ab->o->untuned) st = ac_verdict_make(&ab->verdict, &ab->cases, ab->result, ab->n_results, &rules, &ab->arena, err);
    return st;
}

static ac_status record_verdict(const ac_ab *ab, ac_err *err)
{
    char fields[512];
    (void)snprintf(fields, sizeof fields, "\"lock\":\"%s\",\"run\":\"%s\",\"adapter_sha256\":\"%s\",\"verdict\":\"%s\"",
                   ab->project.lock_hex, ab->id, ab->adapter_hex, ac_outcome_name(ab->verdict.outcome));
    return ac_audit_append(".", "verdict", fields, err);
}

static ac_status dry_run(ac_ab *ab, ac_err *err)
{
    ac_str s = { 0 };
    ac_status st = count_openings(ab, err);
    if (ab->cli->json) {
        ac_str_appendf(&s, "{\"run\":%s%s%s,\"lock\":\"%s\",\"cases\":%zu,\"openings_so_far\":%llu,\"arms\":[", ab->id ? "\"" : "", ab->id ? ab->id : "null", ab->id ? "\"" : "",
                       ab->project.lock_hex, ab->cases.n, (unsigned long long)ab->openings);
        for (size_t i = 0; i < ab->n_arms; i++) ac_str_appendf(&s, "%s\"%s\"", i ? "," : "", ac_arm_name(ab->arm[i]));
        ac_str_append_c(&s, "]}");
    } else {
        ac_str_appendf(&s, "%s%s, %zu case%s, arms:", ab->id ? "run " : "no run", ab->id ? ab->id : "", ab->cases.n,
                       ac_plural(ab->cases.n));
        for (size_t i = 0; i < ab->n_arms; i++) ac_str_appendf(&s, " %s", ac_arm_name(ab->arm[i]));
        ac_str_appendf(&s, "\nthis would be opening %llu of these cases\n", (unsigned long long)ab->openings + 1);
    }
    if (!st) st = ac_cli_result(ab->cli, &s, err);
    ac_str_release(&s);
    return st;
}

/* What was not scored to its end was paid for all the same; the first failure is the one that is told. */
static ac_status book(ac_ab *ab, ac_status st, ac_err *err)
{
    const char *outcome = st ? "failed" : "done";
    ac_err own = { "" };
    const ac_status booked = ab->o->untuned ? ac_cost_clock_end_line(&ab->cost, outcome, NULL, ab->project.lock_hex, &own)
                                            : ac_cost_clock_end(&ab->cost, outcome, ab->dir, &own);
    return st ? st : booked ? ac_fail(err, booked, "%s", own.text) : AC_OK;
}

static ac_status run_it(ac_ab *ab, ac_err *err)
{
    const int64_t start = ac_mono_ns();
    ac_status st = ac_cost_clock_terms(&ab->cost, &ab->project.contract.v, ac_device_name(ab->l.device), err);
    if (!st) st = open_seal(ab, err);
    if (st) return st;
    ab->sink = ac_cost_clock_sink(&ab->cost, ab->cli->sink);
    st = count_openings(ab, err);
    if (!st) st = answer(ab, err);
    if (!st) st = ab->o->untuned ? ac_ab_write_untuned(ab, (double)(ac_mono_ns() - start) * 1e-9, err) : ac_ab_write_files(ab, err);
    st = book(ab, st, err);
    if (!st && ab->o->untuned) return ac_ab_show_untuned(ab, err);
    if (!st) st = record_verdict(ab, err);
    if (!st) st = ac_ab_show(ab, err);
    if (!st && ab->verdict.outcome != AC_WIN) st = AC_ENO;       /* said already */
    return st;
}

ac_status ac_ab_command(ac_cli *cli, const ac_ab_cli *o, ac_err *err)
{
    ac_ab ab = { .cli = cli, .o = o };
    ac_cost_clock_start(&ab.cost, o->untuned ? "untuned" : "ab");
    ac_status st = ac_project_open(&ab.project, "ab", err);
    if (!st) st = choose_arms(&ab, err);
    if (!st && o->ci && o->untuned) st = ac_fail(err, AC_EARG, "--ci needs a verdict; --untuned gives none");
    if (!st) st = choose_endpoints(&ab, err);
    if (!st && !o->untuned) st = ac_project_refused("ab", check_run(&ab, err), err);
    if (!st) st = open_all(&ab, err);
    if (!st) st = o->dry_run ? dry_run(&ab, err) : run_it(&ab, err);
    ac_cost_clock_release(&ab.cost);
    ac_rag_close(&ab.rag);
    ac_grade_close(&ab.grader);
    ac_cases_release(&ab.cases);
    ac_loaded_release(&ab.l);
    ac_arena_release(&ab.arena);
    ac_project_release(&ab.project);
    return st;
}
