#include "cli/prml.h"

#include <stdio.h>

#include "base/time.h"

/* A YAML string in single quotes: nothing in it can be read as a number or a date. */
static void quoted(ac_str *out, const char *key, ac_view v)
{
    ac_str_appendf(out, "%s: '", key);
    for (size_t i = 0; i < v.len; i++) {
        if (v.ptr[i] == '\'') ac_str_append_char(out, '\'');
        ac_str_append_char(out, v.ptr[i]);
    }
    ac_str_append_c(out, "'\n");
}

/* RFC 9562: 48 bits of milliseconds, version 7, then 74 bits of the lock's hash. */
static void uuid7(char out[40], int64_t utc_ns, const ac_sha256 *h)
{
    const uint64_t ms = (uint64_t)(utc_ns / 1000000);
    const uint8_t *b = h->byte;
    (void)snprintf(out, 40, "%08x-%04x-7%01x%02x-%02x%02x-%02x%02x%02x%02x%02x%02x", (unsigned)(ms >> 16), (unsigned)(ms & 0xffff),
                   b[0] & 15, b[1], (b[2] & 0x3f) | 0x80, b[3], b[4], b[5], b[6], b[7], b[8], b[9]);
}

static ac_view sealed_hash(const ac_lock *l, const char *key)
{
    const ac_json *sealed = ac_json_get(l->tree, "sealed"), *one = sealed ? ac_json_get(sealed, key) : NULL;
    const ac_json *hash = one ? ac_json_get(one, "sha256") : NULL;
    return hash && hash->type == AC_JSON_STRING ? hash->text : AC_VIEW("");
}

ac_status ac_prml_text(ac_str *out, const ac_lock *l, const ac_contract *c, int64_t utc_ns, ac_err *err)
{
    char id[40], now[32], hex[AC_SHA256_HEX], number[40];
    ac_str producer = { 0 };
    uuid7(id, utc_ns, &l->hash);
    ac_utc_iso(now, utc_ns);
    ac_sha256_hex(hex, &l->hash);
    ac_str_appendf(&producer, "accord %s, lock %s", ACCORD_VERSION, hex);
    ac_format_f64(number, c->v.margin);
    ac_str_append_c(out, "# What this contract claims, written when it was frozen; accord.lock has all of it.\n");
    quoted(out, "claim_id", ac_view_of(id));
    quoted(out, "comparator", AC_VIEW(">="));
    quoted(out, "created_at", ac_view_of(now));
    ac_str_append_c(out, "dataset:\n  ");
    quoted(out, "hash", sealed_hash(l, "eval.cases"));
    ac_str_append_c(out, "  ");
    quoted(out, "id", ac_view_of(c->v.cases));
    quoted(out, "metric", AC_VIEW("net_gain_points_tuned_over_base"));
    ac_str_append_c(out, "producer:\n  ");
    quoted(out, "id", ac_str_view(&producer));
    ac_str_appendf(out, "seed: %lld\nthreshold: %s%s\n", (long long)c->v.seed, number,
                   ac_view_find(ac_view_of(number), AC_VIEW("."), 0) == SIZE_MAX ? ".0" : "");
    quoted(out, "version", AC_VIEW("prml/0.1"));
    const ac_status st = ac_str_ok(out) && ac_str_ok(&producer) ? AC_OK : ac_fail_nomem(err, out->len);
    ac_str_release(&producer);
    return st;
}

/* ---- what changed ---- */

static bool same(const ac_json *x, const ac_json *y)
{
    ac_str s = { 0 }, t = { 0 };
    if (!x || !y) return x == y;
    ac_json_canonical(&s, x);
    ac_json_canonical(&t, y);
    const bool equal = ac_view_eq(ac_str_view(&s), ac_str_view(&t));
    ac_str_release(&s);
    ac_str_release(&t);
    return equal;
}

static const ac_json *child(const ac_json *o, ac_view key)
{
    for (const ac_json *c = o && o->type == AC_JSON_OBJECT ? o->child : NULL; c; c = c->next)
        if (ac_view_eq(c->key, key)) return c;
    return NULL;
}

static void name(ac_str *out, size_t start, const char *section, const char *dot, ac_view key)
{
    ac_str path = { 0 };
    ac_str_appendf(&path, "%s%s" AC_VIEW_FMT, section, dot, AC_VIEW_ARG(key));
    if (out->len > start) ac_str_append_char(out, ',');
    ac_json_quote(out, ac_str_view(&path));
    if (!ac_str_ok(&path)) out->failed = true;
    ac_str_release(&path);
}

/* Members of x and y that differ, each once. */
static void members(ac_str *out, size_t start, const char *section, const char *dot, const ac_json *x, const ac_json *y)
{
    for (const ac_json *c = y && y->type == AC_JSON_OBJECT ? y->child : NULL; c; c = c->next)
        if (!same(child(x, c->key), c)) name(out, start, section, dot, c->key);
    for (const ac_json *c = x && x->type == AC_JSON_OBJECT ? x->child : NULL; c; c = c->next)
        if (!child(y, c->key)) name(out, start, section, dot, c->key);
}

ac_status ac_lock_changes(ac_str *out, const ac_json *before, const ac_json *after, ac_err *err)
{
    const ac_json *x = ac_json_get(before, "values"), *y = ac_json_get(after, "values");
    ac_str_append_char(out, '[');
    const size_t start = out->len;
    members(out, start, "sealed", ".", ac_json_get(before, "sealed"), ac_json_get(after, "sealed"));
    for (const ac_json *s = y && y->type == AC_JSON_OBJECT ? y->child : NULL; s; s = s->next) {
        ac_arena a = { 0 };
        const char *section = ac_arena_strndup(&a, s->key.ptr, s->key.len);
        if (section) members(out, start, section, ".", child(x, s->key), s);
        else out->failed = true;
        ac_arena_release(&a);
    }
    ac_str_append_char(out, ']');
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}
