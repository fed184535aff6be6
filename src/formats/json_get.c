/* formats/json_get.c - finding and typed reading in a tree. */
#include "formats/json.h"

#include <math.h>

const ac_json *ac_json_get(const ac_json *object, const char *key)
{
    if (!object || object->type != AC_JSON_OBJECT) return NULL;
    const ac_view want = ac_view_of(key);
    for (const ac_json *v = object->child; v; v = v->next)
        if (ac_view_eq(v->key, want)) return v;
    return NULL;
}

const char *ac_json_type_name(ac_json_type t)
{
    switch (t) {
    case AC_JSON_NULL: return "null";
    case AC_JSON_BOOL: return "true or false";
    case AC_JSON_NUMBER: return "a number";
    case AC_JSON_STRING: return "a string";
    case AC_JSON_ARRAY: return "an array";
    case AC_JSON_OBJECT: return "an object";
    }
    return "an unknown type";
}

static ac_status want(const ac_json **out, const ac_json *o, const char *key, const char *where,
                      ac_json_type type, ac_err *err)
{
    const ac_json *v = ac_json_get(o, key);
    if (!v)
        return ac_fail(err, AC_ENOENT, "%s: \"%s\" is missing; it must be %s", where, key,
                       ac_json_type_name(type));
    if (v->type != type)
        return ac_fail(err, AC_EFORMAT, "%s: \"%s\" must be %s, found %s; correct the file", where, key,
                       ac_json_type_name(type), ac_json_type_name(v->type));
    *out = v;
    return AC_OK;
}

ac_status ac_json_get_str(ac_view *out, const ac_json *o, const char *key, const char *where, ac_err *err)
{
    const ac_json *v;
    const ac_status st = want(&v, o, key, where, AC_JSON_STRING, err);
    if (!st) *out = v->text;
    return st;
}

ac_status ac_json_get_i64(int64_t *out, const ac_json *o, const char *key, const char *where, ac_err *err)
{
    const ac_json *v;
    const ac_status st = want(&v, o, key, where, AC_JSON_NUMBER, err);
    if (st) return st;
    if (!ac_json_as_i64(v, out))
        return ac_fail(err, AC_EFORMAT, "%s: \"%s\" must be a whole number of at most 63 bits, found "
                       AC_VIEW_FMT "; correct the file", where, key,
                       AC_VIEW_ARG(ac_view_slice(v->text, 0, 60)));
    return AC_OK;
}

ac_status ac_json_get_f64(double *out, const ac_json *o, const char *key, const char *where, ac_err *err)
{
    const ac_json *v;
    const ac_status st = want(&v, o, key, where, AC_JSON_NUMBER, err);
    if (!st) *out = v->number;
    return st;
}

ac_status ac_json_get_bool(bool *out, const ac_json *o, const char *key, const char *where, ac_err *err)
{
    const ac_json *v;
    const ac_status st = want(&v, o, key, where, AC_JSON_BOOL, err);
    if (!st) *out = v->boolean;
    return st;
}

bool ac_json_as_i64(const ac_json *v, int64_t *out)
{
    if (!v || v->type != AC_JSON_NUMBER) return false;
    if (ac_parse_i64(v->text, out)) return true;
    /* 1e3 and 16.0 are whole numbers too; beyond 2^53 a double no longer proves it. An integer
     * literal that did not fit above is out of range. */
    bool literal = true;
    for (size_t i = 0; i < v->text.len; i++) {
        const char c = v->text.ptr[i];
        if (c == '.' || c == 'e' || c == 'E') literal = false;
    }
    if (literal || fabs(v->number) > 9007199254740992.0 || trunc(v->number) != v->number) return false;
    *out = (int64_t)v->number;
    return true;
}
