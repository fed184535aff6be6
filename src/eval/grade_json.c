/* is-json and contains-json, with a subset of JSON Schema: type, enum, const, required, properties,
 * additionalProperties, items, minimum, maximum, minLength, maxLength, minItems, maxItems. Another keyword, or one of
 * another form, is refused wherever it stands: a schema that is only half checked would fool its author. */
#include "eval/grade_int.h"

#include <string.h>

typedef struct {
    ac_arena *a;
    const char *why;      /* set when the value does not fit */
    ac_err *err;
} checker;

static ac_status check(checker *k, const ac_json *schema, const ac_json *v);

ac_status ac_grade_same_json(bool *same, const ac_json *x, const ac_json *y, ac_err *err)
{
    ac_str a = { 0 }, b = { 0 };
    ac_json_canonical(&a, x);
    ac_json_canonical(&b, y);
    const ac_status st = ac_str_ok(&a) && ac_str_ok(&b) ? AC_OK : ac_fail_nomem(err, a.len + b.len);
    *same = !st && ac_view_eq(ac_str_view(&a), ac_str_view(&b));
    ac_str_release(&a);
    ac_str_release(&b);
    return st;
}

/* word is one of "a|b|c". */
static bool word_in(const char *choices, ac_view word)
{
    ac_view rest = ac_view_of(choices);
    for (size_t bar = 0; bar != SIZE_MAX; rest = ac_view_slice(rest, bar == SIZE_MAX ? rest.len : bar + 1, rest.len)) {
        bar = ac_view_find(rest, AC_VIEW("|"), 0);
        if (ac_view_eq(ac_view_slice(rest, 0, bar), word)) return true;
    }
    return false;
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

/* required, properties and additionalProperties, which belong together. */
static ac_status check_members(checker *k, const ac_json *schema, const ac_json *v)
{
    const ac_json *required = ac_json_get(schema, "required"), *props = ac_json_get(schema, "properties");
    const ac_json *more = ac_json_get(schema, "additionalProperties");
    if (v->type != AC_JSON_OBJECT) return AC_OK;
    for (const ac_json *r = required ? required->child : NULL; r; r = r->next)
        if (!ac_json_get(v, r->text.ptr)) return misfit(k, "missing key", r->text);
    for (const ac_json *m = v->child; m && !k->why; m = m->next) {
        const ac_json *rule = NULL;
        for (const ac_json *p = props ? props->child : NULL; p && !rule; p = p->next)
            if (ac_view_eq(p->key, m->key)) rule = p;
        if (!rule && more && more->type == AC_JSON_BOOL && !more->boolean) return misfit(k, "extra key", m->key);
        if (!rule && more && more->type == AC_JSON_OBJECT) rule = more;
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

static double n_points(ac_view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) n += ((unsigned char)v.ptr[i] & 0xc0) != 0x80;
    return (double)n;
}

/* Bounds that apply to one type of value; a value of another type is not bounded by them. */
static bool within(const ac_json *rule, const ac_json *v)
{
    const double limit = rule->number;
    const ac_view name = rule->key;
    if (ac_view_eq_str(name, "minimum")) return v->type != AC_JSON_NUMBER || v->number >= limit;
    if (ac_view_eq_str(name, "maximum")) return v->type != AC_JSON_NUMBER || v->number <= limit;
    if (ac_view_eq_str(name, "minLength")) return v->type != AC_JSON_STRING || n_points(v->text) >= limit;
    if (ac_view_eq_str(name, "maxLength")) return v->type != AC_JSON_STRING || n_points(v->text) <= limit;
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

static ac_status check_values(checker *k, const ac_json *rule, const ac_json *v)
{
    const bool many = ac_view_eq(rule->key, AC_VIEW("enum"));
    bool same = false;
    ac_status st = AC_OK;
    if (!many) st = ac_grade_same_json(&same, rule, v, k->err);
    for (const ac_json *e = many ? rule->child : NULL; e && !same && !st; e = e->next)
        st = ac_grade_same_json(&same, e, v, k->err);
    if (st || same) return st;
    return misfit(k, many ? "not one of the enum's values:" : "not the constant of", v->key);
}

static ac_status check_rule(checker *k, const ac_json *rule, const ac_json *v)
{
    const ac_view name = rule->key;
    if (ac_view_eq_str(name, "type")) return check_type(k, rule, v);
    if (ac_view_eq_str(name, "items")) return check_items(k, rule, v);
    if (ac_view_eq_str(name, "const") || ac_view_eq_str(name, "enum")) return check_values(k, rule, v);
    return is_bound(name) && !within(rule, v) ? misfit(k, "out of bounds:", name) : AC_OK;
}

static ac_status check(checker *k, const ac_json *schema, const ac_json *v)
{
    ac_status st = check_members(k, schema, v);
    for (const ac_json *rule = schema->child; rule && !st && !k->why; rule = rule->next) st = check_rule(k, rule, v);
    return st;
}

/* ---- the schema itself: every keyword in it is known and of its form ---- */

static bool all_strings(const ac_json *list)
{
    for (const ac_json *v = list->child; v; v = v->next)
        if (v->type != AC_JSON_STRING) return false;
    return list->type == AC_JSON_ARRAY && list->n;
}

static bool known_type(const ac_json *v)
{
    return v->type == AC_JSON_STRING && word_in("integer|number|string|boolean|object|array|null", v->text);
}

static bool types_ok(const ac_json *rule)
{
    if (rule->type != AC_JSON_ARRAY) return known_type(rule);
    for (const ac_json *v = rule->child; v; v = v->next)
        if (!known_type(v)) return false;
    return rule->n > 0;
}

static bool form_ok(const ac_json *rule)
{
    const ac_view name = rule->key;
    if (ac_view_eq_str(name, "type")) return types_ok(rule);
    if (ac_view_eq_str(name, "required")) return all_strings(rule);
    if (ac_view_eq_str(name, "enum")) return rule->type == AC_JSON_ARRAY && rule->n;
    if (ac_view_eq_str(name, "properties") || ac_view_eq_str(name, "items")) return rule->type == AC_JSON_OBJECT;
    if (ac_view_eq_str(name, "additionalProperties")) return rule->type == AC_JSON_OBJECT || rule->type == AC_JSON_BOOL;
    if (is_bound(name)) return rule->type == AC_JSON_NUMBER;
    return word_in("const|description|title", name);
}

static ac_status schema_ok(const ac_json *schema, unsigned depth, ac_err *err)
{
    ac_status st = AC_OK;
    if (schema->type != AC_JSON_OBJECT) return ac_fail(err, AC_ECONTRACT, "a JSON schema must be an object");
    if (depth > 64) return ac_fail(err, AC_ECONTRACT, "the JSON schema is nested deeper than 64");
    for (const ac_json *rule = schema->child; rule && !st; rule = rule->next) {
        if (!form_ok(rule))
            return ac_fail(err, AC_ECONTRACT, "JSON schema keyword \"" AC_VIEW_FMT "\" is not supported, or not in this form; "
                           "see docs/verdicts.md", AC_VIEW_ARG(rule->key));
        const bool inner = word_in("items|additionalProperties", rule->key) && rule->type == AC_JSON_OBJECT;
        if (inner) st = schema_ok(rule, depth + 1, err);
        for (const ac_json *p = ac_view_eq_str(rule->key, "properties") ? rule->child : NULL; p && !st; p = p->next)
            st = schema_ok(p, depth + 1, err);
    }
    return st;
}

#define MOST_STEPS ((size_t)1 << 26)      /* a text of open brackets alone would take its length squared */

/* Behind the bracket that closes the one at i; SIZE_MAX: none does. */
static size_t closing(ac_view text, size_t i, size_t *steps)
{
    int depth = 0;
    bool quoted = false;
    for (size_t j = i; j < text.len && ++*steps < MOST_STEPS; j++) {
        const char c = text.ptr[j];
        if (quoted) {
            if (c == '\\') j++;
            else if (c == '"') quoted = false;
        } else if (c == '"') {
            quoted = true;
        } else if (c == '{' || c == '[') {
            depth++;
        } else if ((c == '}' || c == ']') && --depth == 0) {
            return j + 1;
        }
    }
    return SIZE_MAX;
}

ac_status ac_grade_parse_json(const ac_json **out, ac_view text, ac_arena *a, ac_err *err)
{
    const ac_status st = ac_json_parse(out, text, a, "answer", 1, NULL, NULL);
    if (st) *out = NULL;
    return st == AC_ENOMEM ? ac_fail_nomem(err, text.len) : AC_OK;
}

ac_status ac_grade_find_json(const ac_json **out, ac_view text, size_t *at, ac_arena *a, ac_err *err)
{
    size_t steps = 0;
    *out = NULL;
    for (size_t i = *at; i < text.len; i++) {
        if (text.ptr[i] != '{' && text.ptr[i] != '[') continue;
        const size_t end = closing(text, i, &steps);
        if (end == SIZE_MAX) continue;
        const ac_status st = ac_grade_parse_json(out, ac_view_slice(text, i, end), a, err);
        if (!st && !*out) continue;
        *at = end;
        return st;
    }
    return AC_OK;
}

ac_status ac_grade_json(const ac_assert *as, ac_view answer, ac_arena *a, ac_verdict_one *out, ac_err *err)
{
    const ac_json *v = NULL;
    checker k = { .a = a, .err = err };
    size_t at = 0;
    const bool inside = as->type == AC_GRADE_CONTAINS_JSON;
    ac_status st = inside ? ac_grade_find_json(&v, answer, &at, a, err) : ac_grade_parse_json(&v, answer, a, err);
    if (!st && as->schema) st = schema_ok(as->schema, 0, err);          /* also when the answer is no JSON */
    if (!st && as->schema && v) st = check(&k, as->schema, v);
    if (st) return st;
    out->hold = v && !k.why;
    out->why = !v ? "json: the answer is not JSON" : k.why ? k.why : "json: valid";
    return AC_OK;
}
