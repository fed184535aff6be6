/* Hashes, the lock's file, and the gate. */
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "contract/lock_int.h"
#include "contract/schema_int.h"
#include "rag/rag.h"
#include "tokenizer/tokenizer.h"

#define MAX_LOCK ((size_t)16 << 20)

/* ---- hashes -------------------------------------------------------------------------------------------- */

/* What of a model folder decides its answers: configuration, weights and tokenizer, all by name and content. */
static bool counts_in_model(ac_view name)
{
    static const char *const ends[] = { ".json", ".safetensors", ".txt", ".model", ".jinja" };
    for (size_t i = 0; i < AC_COUNTOF(ends); i++)
        if (ac_view_ends(name, ac_view_of(ends[i]))) return true;
    return false;
}

static ac_status hash_folder(ac_sha256 *out, const char *dir, ac_err *err)
{
    ac_arena a = { 0 };
    char **names = NULL;
    size_t n = 0;
    ac_sha256_state s;
    ac_sha256_init(&s);
    ac_status st = ac_dir_list(dir, &a, &names, &n, err);
    for (size_t i = 0; i < n && !st; i++) {
        const char *path = ac_path_join(&a, dir, names[i]);
        ac_sha256 h;
        if (!path) st = ac_fail_nomem(err, strlen(dir));
        else if (counts_in_model(ac_view_of(names[i])) && !ac_path_is_dir(path)) {
            st = ac_sha256_file(&h, path, err);
            ac_sha256_add(&s, names[i], strlen(names[i]) + 1);
            if (!st) ac_sha256_add(&s, h.byte, sizeof h.byte);
        }
    }
    ac_sha256_done(&s, out);
    ac_arena_release(&a);
    return st;
}

/* The content that decides ids, as this program reads it: it changes with the reader, too. */
static ac_status hash_tokenizer(ac_sha256 *out, const char *model, ac_err *err)
{
    ac_tokenizer *t = NULL;
    ac_status st = ac_tokenizer_open(&t, model, err);
    if (!st) st = ac_tokenizer_hash(t, out, err);
    ac_tokenizer_close(&t);
    return st;
}

ac_status ac_seal_hash(ac_sealed *s, ac_seal which, ac_err *err)
{
    if (which == AC_SEAL_TOKENIZER) return hash_tokenizer(&s->hash, s->full, err);
    if (which == AC_SEAL_DOCS) return ac_rag_hash(&s->hash, s->full, err);
    if (which == AC_SEAL_BASE && ac_path_is_dir(s->full)) return hash_folder(&s->hash, s->full, err);
    return ac_sha256_file(&s->hash, s->full, err);
}

static ac_status seal_one(ac_sealed *s, ac_seal which, ac_contract *c, bool gone_ok, ac_err *err)
{
    ac_err own = { 0 };
    ac_status st = AC_OK;
    const bool of_base = which == AC_SEAL_BASE || which == AC_SEAL_TOKENIZER;
    if (of_base) st = ac_contract_model_path(c, &s->full, &own);
    else if (!(s->full = ac_contract_path(c, s->path))) st = ac_fail_nomem(&own, strlen(s->path));
    if (!st) st = ac_seal_hash(s, which, &own);
    if (st == AC_ENOENT && gone_ok && !of_base && s->full && !ac_path_exists(s->full)) {    /* else: a key is missing */
        s->missing = true;
        return AC_OK;
    }
    return st ? ac_fail(err, st, "%s: %s", s->name, own.text) : AC_OK;
}

ac_status ac_seal_all(ac_sealed out[AC_SEAL_COUNT], ac_contract *c, bool gone_ok, const ac_sink *sink, ac_err *err)
{
    const ac_contract_values *v = &c->v;
    const struct { const char *name, *path; } all[AC_SEAL_COUNT] = {
        [AC_SEAL_BASE] = { "base.model", v->base_model }, [AC_SEAL_TOKENIZER] = { "base.tokenizer", v->base_model },
        [AC_SEAL_TRAIN] = { "data.train", v->train },     [AC_SEAL_VALID] = { "data.valid", v->valid },
        [AC_SEAL_CASES] = { "eval.cases", v->cases },     [AC_SEAL_DOCS] = { "eval.docs", v->docs },
        [AC_SEAL_DATABASE] = { "eval.database", v->database },
        [AC_SEAL_RULES] = { "data.secret_rules", v->secret_rules },
    };
    ac_event ev = { .kind = AC_EV_STAGE, .text = "hash", .unit = "inputs", .total = AC_SEAL_COUNT };
    ac_status st = ac_emit(sink, &ev, err);
    ev.kind = AC_EV_PROGRESS;
    for (size_t i = 0; i < AC_SEAL_COUNT && !st; i++) {
        out[i] = (ac_sealed){ .name = all[i].name, .path = all[i].path };
        if (all[i].path) st = seal_one(&out[i], (ac_seal)i, c, gone_ok, err);
        ev.done = i + 1;
        if (!st) st = ac_emit(sink, &ev, err);
    }
    ev.kind = AC_EV_STAGE_END;
    return st ? st : ac_emit(sink, &ev, err);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static void write_value(ac_jw *w, const ac_key *k, const ac_contract_values *v)
{
    const void *at = (const char *)v + k->at;
    const char *text;
    int64_t whole;
    double number;
    switch (k->type) {
    case AC_KEY_INT:
        memcpy(&whole, at, sizeof whole);
        ac_jw_i64(w, k->name, whole);
        break;
    case AC_KEY_F64:
        memcpy(&number, at, sizeof number);
        ac_jw_f64(w, k->name, number);
        break;
    case AC_KEY_BOOL: ac_jw_bool(w, k->name, *(const bool *)at); break;
    default:
        memcpy(&text, at, sizeof text);
        ac_jw_cstr(w, k->name, text);
        break;
    }
}

void ac_lock_write_values(ac_jw *w, const char *key, const ac_contract_values *v)
{
    ac_jw_object(w, key);
    for (size_t s = 0; s < ac_n_sections; s++) {
        ac_jw_object(w, ac_sections[s].name);
        for (size_t i = 0; i < ac_n_keys; i++)
            if (!strcmp(ac_keys[i].section, ac_sections[s].name)) write_value(w, &ac_keys[i], v);
        ac_jw_end_object(w);
    }
    ac_jw_end_object(w);
}

/* ---- the file ---------------------------------------------------------------------------------------------- */

static ac_status broken(const char *path, const char *what, ac_err *err)
{
    return ac_fail(err, AC_ECONTRACT, "%s: %s; restore it from your repository, or remove it and freeze anew", path, what);
}

static ac_status read_counts(ac_lock *l, const char *path, ac_err *err)
{
    static const char *const classes[] = { "success", "refusal", "edge" };
    const ac_json *cases = ac_json_get(l->tree, "cases"), *number = ac_json_get(l->tree, "number");
    const ac_json *gain = ac_json_get(l->tree, "smallest_visible_gain_points"), *n = ac_json_get(cases, "n");
    int64_t value = 0;
    if (!n || !ac_json_as_i64(n, &value) || value < 0) return broken(path, "\"cases\" is missing or bad", err);
    l->n_cases = (size_t)value;
    for (size_t i = 0; i < 3; i++) {
        const ac_json *k = ac_json_get(cases, classes[i]);
        if (!k || !ac_json_as_i64(k, &value) || value < 0) return broken(path, "a class count is missing or bad", err);
        l->n_class[i] = (size_t)value;
    }
    if (!number || !ac_json_as_i64(number, &value) || value < 1) return broken(path, "\"number\" is missing or bad", err);
    l->number = (uint64_t)value;
    if (!gain || gain->type != AC_JSON_NUMBER) return broken(path, "the smallest visible gain is missing", err);
    l->smallest_gain_points = gain->number;
    return AC_OK;
}

ac_status ac_lock_parse(ac_lock *out, ac_view text, const char *path, ac_err *err)
{
    ac_lock l = { 0 };
    ac_str canonical = { 0 };
    ac_str_append(&l.text, text);
    ac_status st = ac_str_ok(&l.text) ? AC_OK : ac_fail_nomem(err, text.len);
    if (!st) st = ac_json_parse(&l.tree, ac_str_view(&l.text), &l.arena, path, 1, NULL, err);
    if (st == AC_EFORMAT) st = AC_ECONTRACT;
    if (!st) {
        ac_json_canonical(&canonical, l.tree);
        ac_str_append_char(&canonical, '\n');
        if (!ac_str_ok(&canonical)) st = ac_fail_nomem(err, text.len);
        else if (!ac_view_eq(ac_str_view(&canonical), text)) st = broken(path, "not the form that freeze writes; it was edited", err);
    }
    if (!st) st = read_counts(&l, path, err);
    l.hash = ac_sha256_of(text.ptr, text.len);
    ac_str_release(&canonical);
    if (st) ac_lock_release(&l);
    else *out = l;
    return st;
}

ac_status ac_lock_read(ac_lock *out, const ac_contract *c, ac_err *err)
{
    ac_arena a = { 0 };
    ac_str text = { 0 };
    const char *path = ac_path_join(&a, c->dir, "accord.lock");
    ac_status st = path ? AC_OK : ac_fail_nomem(err, strlen(c->dir));
    if (!st && !ac_path_exists(path))
        st = ac_fail(err, AC_EREFUSED, "%s: there is no lock, so nothing is sealed yet; run: accord freeze", path);
    if (!st) st = ac_file_read(&text, path, MAX_LOCK, err);
    if (!st) st = ac_lock_parse(out, ac_str_view(&text), path, err);
    ac_str_release(&text);
    ac_arena_release(&a);
    return st;
}

void ac_lock_release(ac_lock *l)
{
    if (!l) return;
    ac_arena_release(&l->arena);
    ac_str_release(&l->text);
    *l = (ac_lock){ 0 };
}

/* ---- the gate ------------------------------------------------------------------------------------------------ */

static void name_change(ac_str *changed, size_t *n, const char *what)
{
    if (*n < 12) ac_str_appendf(changed, "%s%s", *n ? ", " : "", what);
    else if (*n == 12) ac_str_append_c(changed, ", ...");
    ++*n;
}

/* What a younger program sealed and this one does not know would be ignored. */
static void name_unknown(const ac_json *sealed, ac_str *changed, size_t *n)
{
    for (const ac_json *s = sealed ? sealed->child : NULL; s; s = s->next)
        for (const ac_json *v = s->child; v; v = v->next) {
            char name[200];
            if (ac_key_find(s->key, v->key) < ac_n_keys) continue;
            snprintf(name, sizeof name, AC_VIEW_FMT "." AC_VIEW_FMT " (sealed, but not known to this program)",
                     AC_VIEW_ARG(ac_view_slice(s->key, 0, 40)), AC_VIEW_ARG(ac_view_slice(v->key, 0, 60)));
            name_change(changed, n, name);
        }
}

/* Values by canonical text, key by key, so that each changed key can be named. */
static ac_status compare_values(const ac_lock *l, const ac_contract *c, ac_str *changed, size_t *n, ac_err *err)
{
    ac_str now = { 0 }, a = { 0 }, b = { 0 };
    ac_arena arena = { 0 };
    ac_jw w;
    const ac_json *tree = NULL;
    ac_jw_init(&w, &now, false);
    ac_lock_write_values(&w, NULL, &c->v);
    ac_status st = ac_str_ok(&now) ? ac_json_parse(&tree, ac_str_view(&now), &arena, "values", 1, NULL, err)
                                   : ac_fail_nomem(err, now.len);
    const ac_json *sealed = ac_json_get(l->tree, "values");
    for (size_t i = 0; i < ac_n_keys && !st; i++) {
        const ac_json *x = ac_json_get(ac_json_get(sealed, ac_keys[i].section), ac_keys[i].name);
        const ac_json *y = ac_json_get(ac_json_get(tree, ac_keys[i].section), ac_keys[i].name);
        char name[200];
        if (!x && !ac_keys[i].required && ac_key_at_preset(&ac_keys[i], &c->v)) continue;    /* younger than the lock */
        ac_str_reset(&a);
        ac_str_reset(&b);
        if (x) ac_json_canonical(&a, x);
        if (y) ac_json_canonical(&b, y);
        if (!ac_str_ok(&a) || !ac_str_ok(&b)) st = ac_fail_nomem(err, 64);
        else if (!x || !y || !ac_view_eq(ac_str_view(&a), ac_str_view(&b))) {
            snprintf(name, sizeof name, "%s.%s (%.60s, now %.60s)", ac_keys[i].section, ac_keys[i].name,
                     x ? ac_str_c(&a) : "not sealed", ac_str_c(&b));
            name_change(changed, n, name);
        }
    }
    if (!st) name_unknown(sealed, changed, n);
    ac_str_release(&now);
    ac_str_release(&a);
    ac_str_release(&b);
    ac_arena_release(&arena);
    return st;
}

static void compare_seals(const ac_lock *l, const ac_sealed s[AC_SEAL_COUNT], ac_str *changed, size_t *n)
{
    const ac_json *sealed = ac_json_get(l->tree, "sealed");
    for (size_t i = 0; i < AC_SEAL_COUNT; i++) {
        const ac_json *hash = ac_json_get(ac_json_get(sealed, s[i].name), "sha256");
        char now[AC_SHA256_HEX], what[400];
        if (!s[i].path) continue;                  /* a name that went away shows among the values */
        if (s[i].missing) {
            snprintf(what, sizeof what, "%s (%.300s, now missing)", s[i].name, s[i].path);
            name_change(changed, n, what);
            continue;
        }
        ac_sha256_hex(now, &s[i].hash);
        if (hash && hash->type == AC_JSON_STRING && ac_view_eq_str(hash->text, now)) continue;
        snprintf(what, sizeof what, "the content of %s (%.300s)", s[i].name, s[i].path);
        name_change(changed, n, what);
    }
}

ac_status ac_gate(const ac_lock *l, ac_contract *c, ac_err *err)
{
    ac_sealed now[AC_SEAL_COUNT];
    ac_str changed = { 0 };
    size_t n = 0;
    ac_status st = ac_seal_all(now, c, true, NULL, err);
    if (!st) st = compare_values(l, c, &changed, &n, err);
    if (!st) compare_seals(l, now, &changed, &n);
    if (!st && n)
        st = ac_fail(err, AC_ECONTRACT, "%s: changed since it was frozen: %s; undo that, or run: accord freeze", c->path,
                     ac_str_c(&changed));
    ac_str_release(&changed);
    return st;
}

ac_status ac_gate_checks(const ac_lock *l, const ac_contract *c, ac_err *err)
{
    const ac_json *v = ac_json_get(l->tree, "checks");
    int64_t version = 1;
    if (v && (!ac_json_as_i64(v, &version) || version < 1)) return broken(c->path, "the lock's \"checks\" is bad", err);
    if (version >= AC_CHECKS_VERSION) return AC_OK;
    return ac_fail(err, AC_EREFUSED, "%s: its lock was made when freeze looked for fewer leaks and for no secrets (checks %lld, "
                   "now %d); run: accord freeze", c->path, (long long)version, AC_CHECKS_VERSION);
}
