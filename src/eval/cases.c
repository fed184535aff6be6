/* Reads evaluation cases; docs/formats/cases.md is the specification. */
#include "eval/cases.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"

#define MAX_CASE_LINE (4u << 20)
#define MAX_CASES     100000u
#define MAX_TURNS     256u
#define MAX_ASSERTS   64u

static const char *const class_names[AC_CLASS_COUNT] = { "success", "refusal", "edge" };
static const char *const grader_names[AC_GRADE_COUNT] = {
    "equals", "contains", "icontains", "contains-any", "contains-all", "starts-with", "regex", "numeric",
    "is-json", "sql-equal", "is-refusal", "f1", "contains-json", "citation", "levenshtein", "rouge-l", "rouge-n",
    "tool-call", "perplexity",
};

const char *ac_class_name(ac_class c)
{
    return (unsigned)c < AC_CLASS_COUNT ? class_names[c] : "?";
}

const char *ac_grader_name(ac_grader g)
{
    return (unsigned)g < AC_GRADE_COUNT ? grader_names[g] : "?";
}

typedef struct {
    ac_cases *out;
    const char *path;
    size_t line, cap;
    ac_err *err;
} reader;

static ac_status bad(const reader *r, const char *what, const char *next)
{
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu: %s; %s", r->path, r->line, what, next);
}

static ac_status bad_name(const reader *r, const char *what, ac_view name, const char *next)
{
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu: %s \"" AC_VIEW_FMT "\"; %s", r->path, r->line, what,
                   AC_VIEW_ARG(ac_view_slice(name, 0, 80)), next);
}

/* ---- turns ------------------------------------------------------------------------------------------- */

/* The value as compact JSON, in the cases' arena. */
static ac_status json_text(const reader *r, const ac_json *v, ac_view *out)
{
    ac_str s = { 0 };
    ac_json_write(&s, v);
    const char *copy = ac_str_ok(&s) ? ac_arena_strndup(&r->out->arena, ac_str_c(&s), s.len) : NULL;
    *out = (ac_view){ copy, s.len };
    ac_str_release(&s);
    return copy ? AC_OK : ac_fail_nomem(r->err, out->len);
}

static ac_status read_turn(const reader *r, const ac_json *v, ac_message *m)
{
    const ac_json *role = ac_json_get(v, "role"), *content = ac_json_get(v, "content");
    const ac_json *calls = ac_json_get(v, "tool_calls");
    const bool silent = calls && (!content || content->type == AC_JSON_NULL);      /* a turn that only calls */
    if (v->type != AC_JSON_OBJECT || !role || role->type != AC_JSON_STRING ||
        (!silent && (!content || content->type != AC_JSON_STRING)))
        return bad(r, "a turn must be an object with \"role\" and \"content\" strings", "fix the case");
    if (!ac_role_parse(role->text, &m->role))
        return bad_name(r, "unknown role", role->text, "roles are system, user, assistant, tool");
    if (!silent) m->content = content->text;
    m->train = -1;
    if (!calls) return AC_OK;
    if (m->role != AC_ROLE_ASSISTANT || calls->type != AC_JSON_ARRAY || calls->n == 0)
        return bad(r, "\"tool_calls\" must be a list of calls in an assistant's turn", "fix the case");
    return json_text(r, calls, &m->tool_calls);
}

static ac_status read_turns(const reader *r, const ac_json *list, ac_case *c)
{
    if (list->n == 0 || list->n > MAX_TURNS) return bad(r, "a case needs 1 to 256 turns", "fix the case");
    c->turn = ac_arena_alloc_array(&r->out->arena, list->n, sizeof *c->turn);
    if (!c->turn) return ac_fail_nomem(r->err, list->n * sizeof *c->turn);
    for (const ac_json *v = list->child; v; v = v->next) {
        const ac_status st = read_turn(r, v, &c->turn[c->n_turns]);
        if (st) return st;
        c->n_turns++;
    }
    const ac_role last = c->turn[c->n_turns - 1].role;
    if (last != AC_ROLE_USER && last != AC_ROLE_TOOL)
        return bad(r, "the last turn must be the user's (it is what the arms answer)",
                   "put the expected answer into \"ideal\" instead");
    return AC_OK;
}

static ac_status read_prompt(const reader *r, const ac_json *o, ac_case *c)
{
    const ac_json *turns = ac_json_get(o, "turns"), *input = ac_json_get(o, "input");
    if (turns && input) return bad(r, "both \"turns\" and \"input\" are given", "keep one of them");
    if (!turns) turns = input;
    if (turns && turns->type == AC_JSON_ARRAY) return read_turns(r, turns, c);
    if (turns && turns->type == AC_JSON_STRING) {
        c->turn = ac_arena_alloc(&r->out->arena, sizeof *c->turn);
        if (!c->turn) return ac_fail_nomem(r->err, sizeof *c->turn);
        *c->turn = (ac_message){ .role = AC_ROLE_USER, .content = turns->text, .train = -1 };
        c->n_turns = 1;
        return AC_OK;
    }
    return bad(r, "a case needs \"turns\" (a list of {role, content}) or \"input\" (a string or such a list)",
               "add one");
}

/* ---- assertions --------------------------------------------------------------------------------------- */

static bool grader_parse(ac_view name, ac_grader *out)
{
    static const struct { const char *alias; ac_grader g; } aliases[] = {
        { "exact", AC_GRADE_EQUALS }, { "includes", AC_GRADE_CONTAINS }, { "refusal", AC_GRADE_IS_REFUSAL },
        { "json", AC_GRADE_IS_JSON },
    };
    for (size_t i = 0; i < AC_GRADE_COUNT; i++) {
        if (ac_view_eq_str(name, grader_names[i])) {
            *out = (ac_grader)i;
            return true;
        }
    }
    for (size_t i = 0; i < AC_COUNTOF(aliases); i++) {
        if (ac_view_eq_str(name, aliases[i].alias)) {
            *out = aliases[i].g;
            return true;
        }
    }
    return false;
}

/* A number counts as its own text, so that {"type":"equals","value":4} works. */
static bool value_text(const ac_json *v, ac_view *out)
{
    if (v->type != AC_JSON_STRING && v->type != AC_JSON_NUMBER) return false;
    *out = v->text;
    return true;
}

static ac_status read_values(const reader *r, const ac_json *v, ac_assert *a)
{
    const size_t n = v->type == AC_JSON_ARRAY ? v->n : 1;
    if (n == 0) return bad(r, "\"value\" is an empty list, which would always or never hold", "give values");
    a->value = ac_arena_alloc_array(&r->out->arena, n, sizeof *a->value);
    if (!a->value) return ac_fail_nomem(r->err, n * sizeof *a->value);
    for (const ac_json *x = v->type == AC_JSON_ARRAY ? v->child : v; x; x = x->next) {
        if (!value_text(x, &a->value[a->n_values]))
            return bad(r, "\"value\" must be a string, a number, or a list of them", "fix the assertion");
        if (ac_view_trim(a->value[a->n_values]).len == 0)
            return bad(r, "\"value\" is empty, so the assertion cannot fail", "give a value");
        a->n_values++;
        if (v->type != AC_JSON_ARRAY) break;
    }
    return AC_OK;
}

static ac_status read_n_gram(const reader *r, const ac_json *o, ac_assert *a)
{
    const ac_json *n = ac_json_get(o, "n");
    int64_t value = 1;
    if (n && a->type != AC_GRADE_ROUGE_N) return bad(r, "\"n\" has no effect on this type of assertion", "remove it");
    if (n && (!ac_json_as_i64(n, &value) || value < 1 || value > 8))
        return bad(r, "\"n\" of rouge-n must be 1 to 8 words", "correct it");
    a->n_gram = (unsigned)value;
    return AC_OK;
}

static ac_status read_limits(const reader *r, const ac_json *o, ac_assert *a)
{
    const ac_json *weight = ac_json_get(o, "weight"), *threshold = ac_json_get(o, "threshold");
    if (weight && (weight->type != AC_JSON_NUMBER || weight->number != 1))
        return bad(r, "\"weight\" other than 1 is not supported (0 would always pass)", "remove it");
    if (threshold && (threshold->type != AC_JSON_NUMBER || !(threshold->number > 0)))
        return bad(r, "\"threshold\" must be above 0 (0 would always pass)", "raise it");
    const bool rouge = a->type == AC_GRADE_ROUGE_L || a->type == AC_GRADE_ROUGE_N;
    const bool edits = a->type == AC_GRADE_LEVENSHTEIN;
    if (threshold && a->type != AC_GRADE_F1 && a->type != AC_GRADE_NUMERIC && !rouge && !edits
        && a->type != AC_GRADE_PERPLEXITY)
        return bad(r, "\"threshold\" has no effect on this type of assertion", "remove it");
    if (rouge) a->threshold = 0.75;                     /* promptfoo's, as are the 5 edits */
    if (edits) a->threshold = 5;
    if (threshold) a->threshold = threshold->number;
    if (a->type == AC_GRADE_F1 && (!threshold || a->threshold > 1))
        return bad(r, "f1 needs a \"threshold\" above 0 and at most 1", "add one");
    if (rouge && a->threshold > 1) return bad(r, "the \"threshold\" of rouge is at most 1", "lower it");
    if (edits && (a->threshold > 1000 || a->threshold < 1))
        return bad(r, "the \"threshold\" of levenshtein is 1 to 1000 edits", "correct it");
    if (a->type == AC_GRADE_PERPLEXITY && (!threshold || a->threshold <= 1 || a->threshold > 1000 || a->negate))
        return bad(r, "perplexity needs a \"threshold\" above 1 and up to 1000, and has no \"not-\"", "correct it");
    return read_n_gram(r, o, a);
}

/* As many edits as the value is long would let an empty answer pass, and any other of that length. */
static ac_status check_edits(const reader *r, const ac_assert *a)
{
    for (size_t i = 0; i < a->n_values; i++) {
        const ac_view v = ac_view_trim(a->value[i]);
        size_t n = 0;
        for (size_t k = 0; k < v.len; k++) n += ((unsigned char)v.ptr[k] & 0xc0) != 0x80;
        if (a->threshold >= (double)n)
            return bad(r, "levenshtein allows as many edits as its value is long, so any short answer would pass",
                       "give a lower \"threshold\" (default 5)");
    }
    return AC_OK;
}

static ac_status read_calls(const reader *r, const ac_json *value, ac_assert *a)
{
    const ac_json *list = value->type == AC_JSON_ARRAY ? value->child : value;
    bool ok = value->type == AC_JSON_OBJECT || (value->type == AC_JSON_ARRAY && value->n > 0);
    for (const ac_json *c = list; ok && c; c = value->type == AC_JSON_ARRAY ? c->next : NULL) {
        const ac_json *name = ac_json_get(c, "name"), *arguments = ac_json_get(c, "arguments");
        ok = c->type == AC_JSON_OBJECT && name && name->type == AC_JSON_STRING && name->text.len
             && c->n == 1 + (arguments != NULL) && (!arguments || arguments->type == AC_JSON_OBJECT);
    }
    a->calls = value;
    return ok ? AC_OK : bad(r, "the value of tool-call must be {\"name\": ..., \"arguments\": {...}}, or a list of such calls",
                            "fix the assertion");
}

static ac_status read_assert(const reader *r, const ac_json *o, ac_assert *a)
{
    const ac_json *type = ac_json_get(o, "type"), *value = ac_json_get(o, "value");
    if (o->type != AC_JSON_OBJECT || !type || type->type != AC_JSON_STRING)
        return bad(r, "an assertion must be an object with a \"type\" string", "fix the case");
    ac_view name = type->text;
    if (ac_view_starts(name, AC_VIEW("not-"))) {
        a->negate = true;
        name = ac_view_slice(name, 4, name.len);
    }
    if (!grader_parse(name, &a->type))
        return bad_name(r, "unknown assertion type", type->text,
                        "types are equals contains icontains contains-any contains-all starts-with regex numeric "
                        "is-json contains-json sql-equal is-refusal citation f1 levenshtein rouge-l rouge-n tool-call "
                        "perplexity");
    for (const ac_json *k = o->child; k; k = k->next)
        if (!ac_view_eq_str(k->key, "type") && !ac_view_eq_str(k->key, "value") &&
            !ac_view_eq_str(k->key, "threshold") && !ac_view_eq_str(k->key, "weight") && !ac_view_eq_str(k->key, "n"))
            return bad_name(r, "unknown key in an assertion", k->key, "keys are type, value, threshold, and n of rouge-n");
    ac_status st = read_limits(r, o, a);
    if (st) return st;
    if (a->type == AC_GRADE_PERPLEXITY)
        return value ? bad(r, "\"value\" has no effect on perplexity", "remove it") : AC_OK;
    const bool optional = a->type == AC_GRADE_IS_JSON || a->type == AC_GRADE_CONTAINS_JSON ||
                          a->type == AC_GRADE_IS_REFUSAL || a->type == AC_GRADE_CITATION;
    if (!value || value->type == AC_JSON_NULL)
        return optional ? AC_OK : bad(r, "the assertion needs a \"value\"", "add one");
    if (a->type == AC_GRADE_IS_JSON || a->type == AC_GRADE_CONTAINS_JSON) {
        if (value->type != AC_JSON_OBJECT) return bad(r, "the schema in \"value\" must be an object", "fix it");
        a->schema = value;
        return AC_OK;
    }
    if (a->type == AC_GRADE_TOOL_CALL) return read_calls(r, value, a);
    st = read_values(r, value, a);
    return !st && a->type == AC_GRADE_LEVENSHTEIN ? check_edits(r, a) : st;
}

static ac_status read_asserts(const reader *r, const ac_json *list, ac_case *c)
{
    if (list->type != AC_JSON_ARRAY || list->n == 0 || list->n > MAX_ASSERTS)
        return bad(r, "\"assert\" must be a list of 1 to 64 assertions", "fix the case");
    c->assert_ = ac_arena_alloc_array(&r->out->arena, list->n, sizeof *c->assert_);
    if (!c->assert_) return ac_fail_nomem(r->err, list->n * sizeof *c->assert_);
    for (const ac_json *v = list->child; v; v = v->next) {
        const ac_status st = read_assert(r, v, &c->assert_[c->n_asserts]);
        if (st) return st;
        c->n_asserts++;
    }
    for (size_t i = 0; i < c->n_asserts; i++)
        if (c->assert_[i].type != AC_GRADE_PERPLEXITY) return AC_OK;
    return bad(r, "perplexity says how sure the model was, not whether it was right, and nothing else judges this case",
               "add an assertion about the answer's words");
}

/* What a case without "assert" is judged by (C2). */
static ac_status default_assert(const reader *r, const ac_json *ideal, ac_case *c)
{
    ac_assert *a = ac_arena_alloc(&r->out->arena, sizeof *a);
    if (!a) return ac_fail_nomem(r->err, sizeof *a);
    c->assert_ = a;
    c->n_asserts = 1;
    if (c->cls == AC_CLASS_REFUSAL) {
        a->type = AC_GRADE_IS_REFUSAL;
        return ideal ? read_values(r, ideal, a) : AC_OK;
    }
    if (!ideal) return bad(r, "the case has neither \"ideal\" nor \"assert\", so nothing can judge it", "add one");
    a->type = AC_GRADE_EQUALS;
    return read_values(r, ideal, a);
}

/* ---- one case -------------------------------------------------------------------------------------------- */

static ac_status read_id(const reader *r, const ac_json *o, ac_case *c)
{
    const ac_json *id = ac_json_get(o, "id");
    if (!id) {
        char *made = ac_arena_printf(&r->out->arena, "line-%zu", r->line);
        if (!made) return ac_fail_nomem(r->err, 32);
        c->id = ac_view_of(made);
        return AC_OK;
    }
    if (!value_text(id, &c->id) || c->id.len == 0 || c->id.len > 200)
        return bad(r, "\"id\" must be a string of 1 to 200 bytes", "fix the case");
    return AC_OK;
}

static ac_status read_class(const reader *r, const ac_json *o, ac_case *c)
{
    const ac_json *v = ac_json_get(o, "class");
    if (!v) v = ac_json_get(ac_json_get(o, "metadata"), "class");
    if (!v) return AC_OK;
    for (size_t i = 0; v->type == AC_JSON_STRING && i < AC_CLASS_COUNT; i++) {
        if (ac_view_eq_str(v->text, class_names[i])) {
            c->cls = (ac_class)i;
            return AC_OK;
        }
    }
    return bad(r, "\"class\" must be success, refusal or edge", "fix the case");
}

static ac_status check_keys(const reader *r, const ac_json *o)
{
    static const char *const known[] = { "id", "class", "turns", "input", "ideal", "target", "assert", "cluster",
                                         "tags", "metadata", "tools" };
    for (const ac_json *k = o->child; k; k = k->next) {
        size_t i = 0;
        while (i < AC_COUNTOF(known) && !ac_view_eq_str(k->key, known[i])) i++;
        if (i == AC_COUNTOF(known))
            return bad_name(r, "unknown key", k->key,
                            "keys are id, class, turns or input, ideal or target, assert, cluster, tags, metadata, tools");
    }
    return AC_OK;
}

static ac_status read_case(const reader *r, const ac_json *o, ac_case *c)
{
    *c = (ac_case){ .line = r->line };
    ac_status st = check_keys(r, o);
    if (!st) st = read_id(r, o, c);
    if (!st) st = read_class(r, o, c);
    if (!st) st = read_prompt(r, o, c);
    if (st) return st;
    const ac_json *ideal = ac_json_get(o, "ideal"), *list = ac_json_get(o, "assert");
    const ac_json *cluster = ac_json_get(o, "cluster");
    if (!ideal) ideal = ac_json_get(o, "target");
    if (ideal) {
        const ac_json *first = ideal->type == AC_JSON_ARRAY ? ideal->child : ideal;
        if (!first || !value_text(first, &c->ideal))
            return bad(r, "\"ideal\" must be a string or a list of strings", "fix the case");
    }
    if (cluster && !value_text(cluster, &c->cluster)) return bad(r, "\"cluster\" must be a string", "fix the case");
    const ac_json *tools = ac_json_get(o, "tools");
    if (tools && (tools->type != AC_JSON_ARRAY || tools->n == 0))
        return bad(r, "\"tools\" must be a list of tool descriptions", "fix the case, or remove it");
    if (tools && (st = json_text(r, tools, &c->tools))) return st;
    return list ? read_asserts(r, list, c) : default_assert(r, ideal, c);
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static ac_status grow(reader *r)
{
    ac_cases *out = r->out;
    if (out->n < r->cap) return AC_OK;
    if (out->n >= MAX_CASES) return bad(r, "more than 100,000 cases", "split the file");
    const size_t cap = r->cap ? r->cap * 2 : 64;
    ac_case *bigger = ac_arena_alloc_array(&out->arena, cap, sizeof *bigger);
    if (!bigger) return ac_fail_nomem(r->err, cap * sizeof *bigger);
    if (out->n) memcpy(bigger, out->item, out->n * sizeof *bigger);
    out->item = bigger;
    r->cap = cap;
    return AC_OK;
}

static ac_status check_unique(reader *r, const ac_case *c)
{
    for (size_t i = 0; i < r->out->n; i++)
        if (ac_view_eq(r->out->item[i].id, c->id))
            return ac_fail(r->err, AC_EFORMAT, "%s:%zu: id \"" AC_VIEW_FMT "\" stands on line %zu already; ids must be "
                           "unique", r->path, r->line, AC_VIEW_ARG(c->id), r->out->item[i].line);
    return AC_OK;
}

static ac_status read_line(reader *r, ac_view line)
{
    const ac_json *o = NULL;
    ac_status st = ac_json_parse(&o, line, &r->out->arena, r->path, r->line, NULL, r->err);
    if (st) return st;
    if (o->type != AC_JSON_OBJECT) return bad(r, "a case must be a JSON object", "write one object a line");
    const ac_json *canary = ac_json_get(o, "canary");
    if (canary && o->n == 1) {
        if (r->out->canary.ptr || canary->type != AC_JSON_STRING || canary->text.len < 8)
            return bad(r, "the canary must be one string of at least 8 bytes, once a file", "fix it");
        r->out->canary = canary->text;
        return AC_OK;
    }
    st = grow(r);
    if (!st) st = read_case(r, o, &r->out->item[r->out->n]);
    if (!st) st = check_unique(r, &r->out->item[r->out->n]);
    if (st) return st;
    r->out->n_class[r->out->item[r->out->n].cls]++;
    r->out->n++;
    return AC_OK;
}

static ac_status read_all(reader *r)
{
    ac_lines *lines = NULL;
    const uint64_t before = ac_file_unsealed();
    ac_status st = ac_lines_open(&lines, r->path, MAX_CASE_LINE, r->err);
    r->out->sealed = r->out->arena.wipe = ac_file_unsealed() != before;
    while (!st) {
        ac_view line;
        st = ac_lines_next(lines, &line, &r->line, r->err);
        if (st || !line.ptr) break;
        if (ac_view_trim(line).len == 0) continue;
        /* The tree borrows from the text, so the line must live as long as the cases do. */
        char *copy = ac_arena_strndup(&r->out->arena, line.ptr, line.len);
        st = copy ? read_line(r, (ac_view){ copy, line.len }) : ac_fail_nomem(r->err, line.len);
    }
    ac_lines_close(&lines);
    if (!st && r->out->n == 0)
        st = ac_fail(r->err, AC_EFORMAT, "%s: no cases; write one JSON object a line", r->path);
    return st;
}

ac_status ac_cases_read(ac_cases *out, const char *path, ac_err *err)
{
    ac_cases made = { 0 };
    reader r = { .out = &made, .path = path, .err = err };
    made.path = ac_arena_strndup(&made.arena, path, strlen(path));
    ac_status st = made.path ? ac_sha256_file(&made.hash, path, err) : ac_fail_nomem(err, strlen(path));
    if (!st) st = read_all(&r);
    if (st) ac_cases_release(&made);
    else *out = made;
    return st;
}

void ac_cases_release(ac_cases *c)
{
    if (!c) return;
    ac_arena_release(&c->arena);
    *c = (ac_cases){ 0 };
}
