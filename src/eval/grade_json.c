/* is-json and contains-json, with a subset of JSON Schema: type, enum, const, required, properties,
 * additionalProperties (false), items, minimum, maximum, minLength, maxLength, minItems, maxItems. Another
 * keyword is refused: a schema that is only half checked would fool its author. */
#include "eval/grade_int.h"

#include <string.h>

typedef struct {
    ac_arena *a;
    const char *why;      /* set when the value does not fit */
    ac_err *err;
    unsigned depth;
} checker;

static ac_status check(checker *k, const ac_json *schema, const ac_json *v);

static bool same_json(const ac_json *x, const ac_json *y)
{
    ac_str a = { 0 }, b = { 0 };
    ac_json_canonical(&a, x);
    ac_json_canonical(&b, y);
    const bool same = ac_str_ok(&a) && ac_str_ok(&b) && ac_view_eq(ac_str_view(&a), ac_str_view(&b));
    ac_str_release(&a);
    ac_str_release(&b);
    return same;
}

static bool type_is(const ac_json *v, ac_view name)
{
    int64_t i;
    if (ac_view_eq_str(name, "integer")) return v->type == AC_JSON_NUMBER && ac_json_as_i64(v, &i);
    if (ac_view_eq_str(name, "number")) return v->type == AC_JSON_NUMBER;
    if (ac_view_eq_str(name, "string")) return v->type == AC_JSON_STRING;
    if (ac_view_eq_str(name, "boolean")) return v->type == AC_JSON_BOOL;
    if (ac_view_eq_str(name, "object")) return v->type == AC_JSON_OBJECT;
    if (ac_view_eq_str(name, "array")) return v->type == AC_JSON_ARRAY;
    return ac_view_eq_str(name, "null") && v->type == AC_JSON_NULL;
}

static ac_status misfit(checker *k, const char *what, ac_view name)
{
    k->why = ac_arena_printf(k->a, "json: %s \"" AC_VIEW_FMT "\"", what, AC_VIEW_ARG(ac_view_slice(name, 0, 60)));
    return k->why ? AC_OK : ac_fail_nomem(k->err, 128);
}

static ac_status check_type(checker *k, const ac_json *rule, const ac_json *v)
{
    if (rule->type == AC_JSON_STRING)
        return type_is(v, rule->text) ? AC_OK : misfit(k, "wrong type, wanted", rule->text);
    for (const ac_json *t = rule->child; t; t = t->next)
        if (t->type == AC_JSON_STRING && type_is(v, t->text)) return AC_OK;
    return misfit(k, "wrong type for", v->key);
}

static ac_status check_properties(checker *k, const ac_json *schema, const ac_json *v)
{
    const ac_json *required = ac_json_get(schema, "required"), *props = ac_json_get(schema, "properties");
    const ac_json *more = ac_json_get(schema, "additionalProperties");
    if (v->type != AC_JSON_OBJECT) return AC_OK;
    for (const ac_json *r = required ? required->child : NULL; r; r = r->next)
        if (r->type == AC_JSON_STRING && !ac_json_get(v, r->text.ptr)) return misfit(k, "missing key", r->text);
    for (const ac_json *m = v->child; m && !k->why; m = m->next) {
        const ac_json *rule = NULL;
        for (const ac_json *p = props ? props->child : NULL; p && !rule; p = p->next)
            if (ac_view_eq(p->key, m->key)) rule = p;
        if (!rule && more && more->type == AC_JSON_BOOL && !more->boolean) return misfit(k, "extra key", m->key);
        const ac_status st = rule ? check(k, rule, m) : AC_OK;
        if (st) return st;
    }
    return AC_OK;
}

static ac_status check_items(checker *k, const ac_json *rule, const ac_json *v)
{
    ac_status st = AC_OK;
    if (v->type != AC_JSON_ARRAY) return AC_OK;
    for (const ac_json *m = v->child; m && !st && !k->why; m = m->next) st = check(k, rule, m);
    return st;
}

/* Bounds that apply to one type of value; a value of another type is not bounded by them. */
static bool within(const ac_json *rule, const ac_json *v)
{
    const double limit = rule->number;
    const ac_view name = rule->key;
    if (ac_view_eq_str(name, "minimum")) return v->type != AC_JSON_NUMBER || v->number >= limit;
    if (ac_view_eq_str(name, "maximum")) return v->type != AC_JSON_NUMBER || v->number <= limit;
    if (ac_view_eq_str(name, "minLength")) return v->type != AC_JSON_STRING || (double)v->text.len >= limit;
    if (ac_view_eq_str(name, "maxLength")) return v->type != AC_JSON_STRING || (double)v->text.len <= limit;
    if (ac_view_eq_str(name, "minItems")) return v->type != AC_JSON_ARRAY || v->n >= limit;
    return v->type != AC_JSON_ARRAY || v->n <= limit;
}

static bool is_bound(ac_view name)
{
    static const char *const bounds[] = { "minimum", "maximum", "minLength", "maxLength", "minItems", "maxItems" };
    for (size_t i = 0; i < AC_COUNTOF(bounds); i++)
        if (ac_view_eq_str(name, bounds[i])) return true;
    return false;
}

static ac_status check_rule(checker *k, const ac_json *schema, const ac_json *rule, const ac_json *v)
{
    const ac_view name = rule->key;
    if (ac_view_eq_str(name, "type")) return check_type(k, rule, v);
    if (ac_view_eq_str(name, "properties")) return check_properties(k, schema, v);
    if (ac_view_eq_str(name, "required"))
        return ac_json_get(schema, "properties") ? AC_OK : check_properties(k, schema, v);
    if (ac_view_eq_str(name, "items")) return check_items(k, rule, v);
    if (ac_view_eq_str(name, "const")) return same_json(rule, v) ? AC_OK : misfit(k, "not the constant of", v->key);
    if (ac_view_eq_str(name, "enum")) {
        for (const ac_json *e = rule->child; e; e = e->next)
            if (same_json(e, v)) return AC_OK;
        return misfit(k, "not one of the enum's values:", v->key);
    }
    if (is_bound(name) && rule->type == AC_JSON_NUMBER)
        return within(rule, v) ? AC_OK : misfit(k, "out of bounds:", name);
    if (ac_view_eq_str(name, "additionalProperties") || ac_view_eq_str(name, "description") ||
        ac_view_eq_str(name, "title"))
        return AC_OK;
    return ac_fail(k->err, AC_ECONTRACT, "JSON schema keyword \"" AC_VIEW_FMT "\" is not supported; see docs/verdicts.md",
                   AC_VIEW_ARG(name));
}

static ac_status check(checker *k, const ac_json *schema, const ac_json *v)
{
    ac_status st = AC_OK;
    if (schema->type != AC_JSON_OBJECT) return ac_fail(k->err, AC_ECONTRACT, "a JSON schema must be an object");
    if (++k->depth > 64) return ac_fail(k->err, AC_ECONTRACT, "the JSON schema is nested deeper than 64");
    for (const ac_json *rule = schema->child; rule && !st && !k->why; rule = rule->next)
        st = check_rule(k, schema, rule, v);
    k->depth--;
    return st;
}

/* The first balanced {...} or [...] in the text that parses. */
static const ac_json *find_json(ac_view text, ac_arena *a)
{
    for (size_t i = 0; i < text.len; i++) {
        if (text.ptr[i] != '{' && text.ptr[i] != '[') continue;
        int depth = 0;
        bool quoted = false;
        for (size_t j = i; j < text.len; j++) {
            const char c = text.ptr[j];
            if (quoted) {
                if (c == '\\') j++;
                else if (c == '"') quoted = false;
            } else if (c == '"') {
                quoted = true;
            } else if (c == '{' || c == '[') {
                depth++;
            } else if ((c == '}' || c == ']') && --depth == 0) {
                const ac_json *v = NULL;
                if (!ac_json_parse(&v, ac_view_slice(text, i, j + 1), a, "answer", 1, NULL, NULL)) return v;
                break;
            }
        }
    }
    return NULL;
}

ac_status ac_grade_json(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    const ac_json *v = NULL;
    checker k = { .a = a, .err = err };
    if (as->type == AC_GRADE_CONTAINS_JSON) v = find_json(answer, a);
    else if (ac_json_parse(&v, answer, a, "answer", 1, NULL, NULL)) v = NULL;
    /* A bad schema must show even when the answer is no JSON. */
    static const ac_json nothing = { .type = AC_JSON_NULL };
    const ac_status st = as->schema ? check(&k, as->schema, v ? v : &nothing) : AC_OK;
    if (st) return st;
    out->hold = v && !k.why;
    out->why = !v ? "json: the answer is not JSON" : k.why ? k.why : "json: valid";
    return AC_OK;
}
