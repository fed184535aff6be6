/* A lock's contract written out again, elsewhere: what `accord verify` trains under. */
#include <string.h>

#include "base/file.h"
#include "contract/lock_int.h"
#include "contract/schema_int.h"

#define MAX_LOCK ((size_t)16 << 20)

ac_status ac_lock_read_file(ac_lock *out, const char *path, ac_err *err)
{
    ac_str text = { 0 };
    ac_status st = ac_file_read(&text, path, MAX_LOCK, err);
    if (!st) st = ac_lock_parse(out, ac_str_view(&text), path, err);
    ac_str_release(&text);
    return st;
}

/* ---- accord.yaml ---- */

static const ac_json *value_of(const ac_lock *l, const ac_key *k)
{
    return ac_json_get(ac_json_get(ac_json_get(l->tree, "values"), k->section), k->name);
}

/* The value as ignored.c's lists name it. */
static ac_view word_of(const ac_key *k, const ac_json *v)
{
    if (!v || v->type == AC_JSON_NULL) return AC_VIEW("none");
    if (v->type == AC_JSON_BOOL) return v->boolean ? AC_VIEW("true") : AC_VIEW("false");
    if (v->type == AC_JSON_NUMBER) return v->number > 0 || v->number < 0 ? AC_VIEW("set") : AC_VIEW("0");
    return k->type == AC_KEY_ENUM ? v->text : AC_VIEW("set");
}

/* A key without effect under the lock's other values: naming it would be refused (T7), and its value follows. */
static bool ignored(const ac_lock *l, const ac_key *k)
{
    for (size_t i = 0; i < ac_n_ignored_keys; i++) {
        const ac_ignored *row = &ac_ignored_keys[i];
        const size_t own = ac_key_of_path(row->key);
        bool holds = own < ac_n_keys && &ac_keys[own] == k;
        for (size_t w = 0; holds && w < AC_COUNTOF(row->when) && row->when[w].key; w++) {
            const size_t other = ac_key_of_path(row->when[w].key);
            holds = other < ac_n_keys && ac_choice_in(row->when[w].is, word_of(&ac_keys[other], value_of(l, &ac_keys[other])));
        }
        if (holds) return true;
    }
    return false;
}

ac_status ac_lock_yaml(ac_str *out, const ac_lock *l, ac_err *err)
{
    for (size_t s = 0; s < ac_n_sections; s++) {
        bool opened = false;
        for (size_t i = 0; i < ac_n_keys; i++) {
            const ac_json *v = value_of(l, &ac_keys[i]);
            if (strcmp(ac_keys[i].section, ac_sections[s].name) != 0) continue;
            if (!v || v->type == AC_JSON_NULL || ignored(l, &ac_keys[i])) continue;
            if (!opened) ac_str_appendf(out, "%s:\n", ac_sections[s].name);
            opened = true;
            ac_str_appendf(out, "  %s: ", ac_keys[i].name);
            ac_json_canonical(out, v);                    /* a JSON scalar is a YAML one */
            ac_str_append_char(out, '\n');
        }
    }
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}

/* ---- inputs ---- */

ac_status ac_lock_inputs(ac_lock_input *out, size_t *n, const ac_lock *l, ac_err *err)
{
    static const char *const names[AC_SEAL_COUNT] = {
        [AC_SEAL_BASE] = "base.model",  [AC_SEAL_TOKENIZER] = "base.tokenizer", [AC_SEAL_TRAIN] = "data.train",
        [AC_SEAL_VALID] = "data.valid", [AC_SEAL_CASES] = "eval.cases",         [AC_SEAL_DOCS] = "eval.docs",
        [AC_SEAL_DATABASE] = "eval.database",
    };
    _Static_assert(AC_SEAL_COUNT <= AC_LOCK_INPUTS_MAX, "room for every input");
    const ac_json *sealed = ac_json_get(l->tree, "sealed");
    *n = 0;
    for (size_t i = 0; i < AC_SEAL_COUNT; i++) {
        const ac_json *one = ac_json_get(sealed, names[i]);
        ac_view path = { NULL, 0 }, hex = { NULL, 0 };
        ac_lock_input in = { .name = names[i], .kind = (int)i };
        if (!one) continue;
        ac_status st = ac_json_get_str(&path, one, "path", names[i], err);
        if (!st) st = ac_json_get_str(&hex, one, "sha256", names[i], err);
        if (st) return st;
        if (ac_sha256_parse(&in.sealed, hex) != 0)
            return ac_fail(err, AC_ECONTRACT, "lock: sha256 of %s is not 64 hex digits", names[i]);
        in.path = path.ptr;                               /* NUL-terminated (J3) */
        out[(*n)++] = in;
    }
    return AC_OK;
}

ac_status ac_lock_input_hash(ac_sha256 *out, const ac_lock_input *in, const char *full, ac_err *err)
{
    ac_sealed s = { .name = in->name, .path = in->path, .full = full };
    const ac_status st = ac_seal_hash(&s, (ac_seal)in->kind, err);
    if (!st) *out = s.hash;
    return st;
}

/* ---- the lock over what is there ---- */

static void put_text(ac_json *v, const char *text)
{
    if (text) *v = (ac_json){ .type = AC_JSON_STRING, .key = v->key, .text = ac_view_of(text), .next = v->next };
}

/* A copy of the tree in which the named inputs have another path and hash. depth: 0 root, 1 "sealed" or "values", ... */
static ac_json *changed(const ac_json *v, const char *under, const ac_lock_change *c, size_t n, unsigned depth, ac_arena *a)
{
    ac_json *copy = ac_arena_alloc(a, sizeof *copy);
    ac_json *last = NULL;
    if (!copy || depth > 16) return NULL;
    *copy = *v;
    copy->child = NULL;
    for (const ac_json *k = v->child; k; k = k->next) {
        char *name = ac_arena_printf(a, "%s%s" AC_VIEW_FMT, under, under[0] ? "/" : "", AC_VIEW_ARG(k->key));
        ac_json *own = name ? changed(k, name, c, n, depth + 1, a) : NULL;
        if (!own) return NULL;
        own->next = NULL;
        if (last) last->next = own;
        else copy->child = own;
        last = own;
    }
    if (v->type == AC_JSON_OBJECT || v->type == AC_JSON_ARRAY) return copy;
    for (size_t i = 0; i < n; i++) {
        const char *slash = strchr(c[i].name, '.');
        char *seal_path = ac_arena_printf(a, "sealed/%s/path", c[i].name), *seal_hash = ac_arena_printf(a, "sealed/%s/sha256", c[i].name);
        char *value = ac_arena_printf(a, "values/%.*s/%s", (int)(slash - c[i].name), c[i].name, slash + 1);
        if (!seal_path || !seal_hash || !value) return NULL;
        if (!strcmp(under, seal_path) || !strcmp(under, value)) put_text(copy, c[i].path);
        if (!strcmp(under, seal_hash)) put_text(copy, c[i].sha256);
    }
    return copy;
}

ac_status ac_lock_changed(ac_str *out, const ac_lock *l, const ac_lock_change *c, size_t n, ac_err *err)
{
    ac_arena a = { 0 };
    const ac_json *tree = changed(l->tree, "", c, n, 0, &a);
    ac_status st = tree ? AC_OK : ac_fail_nomem(err, l->text.len);
    if (!st) {
        ac_json_canonical(out, tree);
        ac_str_append_char(out, '\n');
        if (!ac_str_ok(out)) st = ac_fail_nomem(err, l->text.len);
    }
    ac_arena_release(&a);
    return st;
}
