/* formats/gguf_value.c - typed reading of a GGUF's keys. All places were range-checked on opening. */
#include "formats/gguf_int.h"

#include <string.h>
#include "formats/json.h"

#define SHOW_ITEMS 4
#define SHOW_BYTES 120

const ac_gguf_kv *ac_gguf_kv_find(const ac_gguf *g, const char *key)
{
    const ac_names_slot *slot = ac_names_find(&g->keys, ac_view_of(key));
    return slot ? &g->kv[slot->index] : NULL;
}

bool ac_gguf_has(const ac_gguf *g, const char *key)
{
    return ac_gguf_kv_find(g, key) != NULL;
}

size_t ac_gguf_key_count(const ac_gguf *g)
{
    return g->n_kv;
}

/* ---- decoding one scalar ---- */

typedef struct {
    bool negative;      /* value is -(magnitude) */
    uint64_t magnitude;
} integer;

static bool load_int(const uint8_t *p, ac_gguf_type type, integer *out)
{
    switch (type) {
    case AC_GGUF_U8: case AC_GGUF_U16: case AC_GGUF_U32: case AC_GGUF_U64:
        *out = (integer){ false, ac_gguf_load(p, ac_gguf_type_bytes(type)) };
        return true;
    case AC_GGUF_I8: case AC_GGUF_I16: case AC_GGUF_I32: case AC_GGUF_I64: {
        const size_t bytes = ac_gguf_type_bytes(type);
        uint64_t v = ac_gguf_load(p, bytes);
        if (bytes < 8 && (v >> (8 * bytes - 1))) v |= UINT64_MAX << (8 * bytes);
        const bool negative = v >> 63;
        *out = (integer){ negative, negative ? 0 - v : v };
        return true;
    }
    default: return false;
    }
}

static bool load_float(const uint8_t *p, ac_gguf_type type, double *out)
{
    if (type == AC_GGUF_F32) {
        const uint32_t bits = (uint32_t)ac_gguf_load(p, 4);
        float f;
        memcpy(&f, &bits, sizeof f);
        *out = (double)f;
        return true;
    }
    if (type == AC_GGUF_F64) {
        const uint64_t bits = ac_gguf_load(p, 8);
        memcpy(out, &bits, sizeof *out);
        return true;
    }
    return false;
}

static ac_view load_string(const uint8_t *p, const uint8_t **next)
{
    const size_t len = (size_t)ac_gguf_load(p, 8);
    if (next) *next = p + 8 + len;
    return (ac_view){ (const char *)p + 8, len };
}

/* ---- typed reads ---- */

static ac_status absent(const ac_gguf *g, const char *key, ac_err *err)
{
    return ac_fail(err, AC_ENOENT, "%s: key \"%s\" is missing; the file is incomplete or of another kind", g->path, key);
}

static ac_status wrong_type(const ac_gguf *g, const ac_gguf_kv *kv, const char *wanted, ac_err *err)
{
    const bool array = kv->type == AC_GGUF_ARRAY;
    return ac_fail(err, AC_EFORMAT, "%s: key \"" AC_VIEW_FMT "\" must be %s, found %s%s; write the file anew", g->path,
                   AC_VIEW_ARG(kv->name), wanted, array ? "an array of " : "",
                   ac_gguf_type_name(array ? kv->elem : kv->type));
}

ac_status ac_gguf_u64(uint64_t *out, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(g, key);
    integer v;
    if (!kv) return absent(g, key, err);
    if (!load_int(kv->value, kv->type, &v)) return wrong_type(g, kv, "an integer", err);
    if (v.negative)
        return ac_fail(err, AC_EFORMAT, "%s: key \"%s\" is -%llu and must not be negative", g->path, key,
                       (unsigned long long)v.magnitude);
    *out = v.magnitude;
    return AC_OK;
}

ac_status ac_gguf_f64(double *out, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(g, key);
    if (!kv) return absent(g, key, err);
    return load_float(kv->value, kv->type, out) ? AC_OK : wrong_type(g, kv, "FLOAT32 or FLOAT64", err);
}

ac_status ac_gguf_bool(bool *out, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(g, key);
    if (!kv) return absent(g, key, err);
    if (kv->type != AC_GGUF_BOOL) return wrong_type(g, kv, "BOOL", err);
    *out = *kv->value != 0;
    return AC_OK;
}

ac_status ac_gguf_str(ac_view *out, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(g, key);
    if (!kv) return absent(g, key, err);
    if (kv->type != AC_GGUF_STRING) return wrong_type(g, kv, "STRING", err);
    *out = load_string(kv->value, NULL);
    return AC_OK;
}

/* ---- arrays ---- */

static ac_status find_array(const ac_gguf_kv **out, const ac_gguf *g, const char *key, const char *wanted, ac_err *err)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(g, key);
    if (!kv) return absent(g, key, err);
    if (kv->type != AC_GGUF_ARRAY) return wrong_type(g, kv, wanted, err);
    *out = kv;
    return AC_OK;
}

static ac_status want_count(const ac_gguf *g, const ac_gguf_kv *kv, size_t n, ac_err *err)
{
    if (kv->n == n) return AC_OK;
    return ac_fail(err, AC_EFORMAT, "%s: key \"" AC_VIEW_FMT "\" has %llu elements where %zu were expected", g->path,
                   AC_VIEW_ARG(kv->name), (unsigned long long)kv->n, n);
}

ac_status ac_gguf_array_count(size_t *out, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = NULL;
    const ac_status st = find_array(&kv, g, key, "an array", err);
    if (!st) *out = (size_t)kv->n;           /* fits: it was compared with the file's size */
    return st;
}

ac_status ac_gguf_str_array(ac_view *out, size_t n, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = NULL;
    ac_status st = find_array(&kv, g, key, "an array of STRING", err);
    if (!st && kv->elem != AC_GGUF_STRING) st = wrong_type(g, kv, "an array of STRING", err);
    if (!st) st = want_count(g, kv, n, err);
    if (st) return st;
    const uint8_t *p = kv->value;
    for (size_t i = 0; i < n; i++) out[i] = load_string(p, &p);
    return AC_OK;
}

ac_status ac_gguf_f32_array(float *out, size_t n, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = NULL;
    ac_status st = find_array(&kv, g, key, "an array of FLOAT32", err);
    if (!st && kv->elem != AC_GGUF_F32) st = wrong_type(g, kv, "an array of FLOAT32", err);
    if (!st) st = want_count(g, kv, n, err);
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        const uint32_t bits = (uint32_t)ac_gguf_load(kv->value + 4 * i, 4);
        memcpy(&out[i], &bits, sizeof bits);
    }
    return AC_OK;
}

ac_status ac_gguf_i32_array(int32_t *out, size_t n, const ac_gguf *g, const char *key, ac_err *err)
{
    const ac_gguf_kv *kv = NULL;
    integer v;
    ac_status st = find_array(&kv, g, key, "an array of INT32", err);
    if (!st && (kv->elem == AC_GGUF_STRING || !ac_gguf_type_bytes(kv->elem) || kv->elem == AC_GGUF_BOOL
                || kv->elem == AC_GGUF_F32 || kv->elem == AC_GGUF_F64))
        st = wrong_type(g, kv, "an array of INT32", err);
    if (!st) st = want_count(g, kv, n, err);
    if (st) return st;
    const size_t each = ac_gguf_type_bytes(kv->elem);
    for (size_t pass = 0; pass < 2; pass++) {            /* check all, then write: outputs on success only */
        for (size_t i = 0; i < n; i++) {
            (void)load_int(kv->value + each * i, kv->elem, &v);
            if (v.magnitude > (uint64_t)INT32_MAX + (v.negative ? 1u : 0u))
                return ac_fail(err, AC_EFORMAT, "%s: key \"%s\": element %zu is out of the range of 32 bits", g->path,
                               key, i);
            const int64_t x = (int64_t)v.magnitude;
            if (pass) out[i] = (int32_t)(v.negative ? -x : x);
        }
    }
    return AC_OK;
}

/* ---- showing ---- */

/* The shortest decimal that reads back to the same binary32. */
static void show_f32(ac_str *s, double d)
{
    const size_t from = s->len;
    for (int digits = 6; digits <= 9; digits++) {
        double back;
        s->len = from;
        ac_str_appendf(s, "%.*g", digits, d);
        if (!ac_parse_f64(ac_view_slice(ac_str_view(s), from, s->len), &back) || (float)back == (float)d) return;
    }
}

static void show_scalar(ac_str *s, const uint8_t *p, ac_gguf_type type)
{
    integer v;
    double d;
    char text[48];
    if (load_int(p, type, &v)) {
        ac_str_appendf(s, "%s%llu", v.negative ? "-" : "", (unsigned long long)v.magnitude);
    } else if (type == AC_GGUF_F32 && load_float(p, type, &d)) {
        show_f32(s, d);
    } else if (load_float(p, type, &d)) {
        ac_format_f64(text, d);
        ac_str_append_c(s, text);
    } else if (type == AC_GGUF_BOOL) {
        ac_str_append_c(s, *p ? "true" : "false");
    } else {
        ac_view t = load_string(p, NULL);
        const bool cut = t.len > SHOW_BYTES;
        if (cut) {
            t.len = SHOW_BYTES;
            while (t.len > SHOW_BYTES - 4 && ((unsigned char)t.ptr[t.len] & 0xc0) == 0x80) t.len--;
        }
        ac_json_quote(s, t);
        if (cut) ac_str_append_c(s, "...");
    }
}

ac_view ac_gguf_key_at(const ac_gguf *g, size_t i, ac_str *value_text)
{
    if (i >= g->n_kv) return (ac_view){ NULL, 0 };
    const ac_gguf_kv *kv = &g->kv[i];
    if (!value_text) return kv->name;
    if (kv->type != AC_GGUF_ARRAY) {
        show_scalar(value_text, kv->value, kv->type);
        return kv->name;
    }
    const uint8_t *p = kv->value;
    ac_str_append_char(value_text, '[');
    for (uint64_t k = 0; k < kv->n && k < SHOW_ITEMS; k++) {
        if (k) ac_str_append_c(value_text, ", ");
        show_scalar(value_text, p, kv->elem);
        if (kv->elem == AC_GGUF_STRING) (void)load_string(p, &p);
        else p += ac_gguf_type_bytes(kv->elem);
    }
    if (kv->n > SHOW_ITEMS)
        ac_str_appendf(value_text, ", ... (%llu %s)", (unsigned long long)kv->n, ac_gguf_type_name(kv->elem));
    ac_str_append_char(value_text, ']');
    return kv->name;
}
