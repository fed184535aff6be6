/* Reads accord.yaml against the schema table. */
#include "contract/contract.h"

#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "contract/schema_int.h"
#include "formats/yaml.h"
#include "guard/policy.h"

#define MAX_YAML ((size_t)1 << 20)

typedef struct {
    ac_contract *c;
    ac_view text;
    const ac_json *given[128];    /* by key index: where it stands, NULL: not there */
    ac_err *err;
} reader;

/* "accord.yaml:12:3: " in front of what was found. */
static ac_status at(const reader *r, const ac_json *node, const char *what)
{
    size_t line, column;
    ac_json_place(r->text, node->offset, &line, &column);
    return ac_fail(r->err, AC_ECONTRACT, "%s:%zu:%zu: %s", r->c->path, line, column, what);
}

static ac_status at_key(const reader *r, const ac_json *node, const ac_key *k, const char *what)
{
    char text[400];
    snprintf(text, sizeof text, "%s.%s %s", k->section, k->name, what);
    return at(r, node, text);
}

/* ---- values ---------------------------------------------------------------------------------------------- */

static const char *const all_targets[] = { "q_proj", "k_proj", "v_proj", "o_proj", "gate_proj", "up_proj", "down_proj" };

static bool target_is(ac_view name, size_t i)
{
    const ac_view full = ac_view_of(all_targets[i]);
    return ac_view_eq(name, full) || ac_view_eq(name, ac_view_slice(full, 0, full.len - 5));
}

/* One name into the mask; false when it is unknown. */
static bool add_target(unsigned *mask, ac_view name)
{
    for (size_t i = 0; i < AC_COUNTOF(all_targets); i++) {
        if (!target_is(name, i)) continue;
        *mask |= 1u << i;
        return true;
    }
    return false;
}

static bool targets_mask(unsigned *mask, const ac_json *v)
{
    if (v->type == AC_JSON_ARRAY) {
        for (const ac_json *t = v->child; t; t = t->next)
            if (t->type != AC_JSON_STRING || !add_target(mask, ac_view_trim(t->text))) return false;
        return *mask != 0;
    }
    if (v->type != AC_JSON_STRING) return false;
    for (size_t from = 0; from <= v->text.len;) {
        size_t to = ac_view_find(v->text, AC_VIEW(","), from);
        if (to == SIZE_MAX) to = v->text.len;
        if (!add_target(mask, ac_view_trim(ac_view_slice(v->text, from, to)))) return false;
        from = to + 1;
    }
    return *mask != 0;
}

static ac_status set_targets(const reader *r, const ac_key *k, const ac_json *v, const char **to)
{
    unsigned mask = 0;
    ac_str s = { 0 };
    if (!targets_mask(&mask, v))
        return at_key(r, v, k, "must name some of q_proj, k_proj, v_proj, o_proj, gate_proj, up_proj, down_proj");
    for (size_t i = 0; i < AC_COUNTOF(all_targets); i++)
        if (mask & 1u << i) ac_str_appendf(&s, "%s%s", s.len ? "," : "", all_targets[i]);
    *to = ac_str_ok(&s) ? ac_arena_strndup(&r->c->arena, ac_str_c(&s), s.len) : NULL;
    ac_str_release(&s);
    return *to ? AC_OK : ac_fail_nomem(r->err, 64);
}

static ac_status set_number(const reader *r, const ac_key *k, const ac_json *v, void *to)
{
    char text[200];
    int64_t whole = 0;
    if (v->type != AC_JSON_NUMBER) {
        snprintf(text, sizeof text, "must be a number, found %s", ac_json_type_name(v->type));
        return at_key(r, v, k, text);
    }
    if (k->type == AC_KEY_INT && !ac_json_as_i64(v, &whole)) return at_key(r, v, k, "must be a whole number");
    if (!(v->number >= k->min && v->number <= k->max)) {
        snprintf(text, sizeof text, "must be from %.15g to %.15g", k->min, k->max);
        return at_key(r, v, k, text);
    }
    if (k->type == AC_KEY_INT) memcpy(to, &whole, sizeof whole);
    else memcpy(to, &v->number, sizeof v->number);
    return AC_OK;
}

static ac_status set_text(const reader *r, const ac_key *k, const ac_json *v, const char **to)
{
    char text[300];
    if (v->type != AC_JSON_STRING) {
        snprintf(text, sizeof text, "must be a string, found %s", ac_json_type_name(v->type));
        return at_key(r, v, k, text);
    }
    if (v->text.len == 0 || memchr(v->text.ptr, 0, v->text.len)) return at_key(r, v, k, "must not be empty or hold NUL");
    if (k->type == AC_KEY_ENUM && !ac_choice_in(k->choices, v->text)) {
        snprintf(text, sizeof text, "must be one of %s", k->choices);
        return at_key(r, v, k, text);
    }
    *to = ac_arena_strndup(&r->c->arena, v->text.ptr, v->text.len);
    return *to ? AC_OK : ac_fail_nomem(r->err, v->text.len);
}

static ac_status set_value(const reader *r, const ac_key *k, const ac_json *v)
{
    void *to = (char *)&r->c->v + k->at;
    switch (k->type) {
    case AC_KEY_INT:
    case AC_KEY_F64: return set_number(r, k, v, to);
    case AC_KEY_TARGETS: return set_targets(r, k, v, to);
    case AC_KEY_BOOL:
        if (v->type != AC_JSON_BOOL) return at_key(r, v, k, "must be true or false");
        *(bool *)to = v->boolean;
        return AC_OK;
    default: return set_text(r, k, v, to);
    }
}

static ac_status set_preset(reader *r, const ac_key *k)
{
    ac_json v = { .type = AC_JSON_STRING, .text = ac_view_of(k->preset) };
    if (!k->preset) return AC_OK;
    if (k->type == AC_KEY_INT || k->type == AC_KEY_F64) {
        v.type = AC_JSON_NUMBER;
        if (!ac_parse_f64(v.text, &v.number)) return ac_fail(r->err, AC_ESTATE, "preset of %s.%s", k->section, k->name);
    } else if (k->type == AC_KEY_BOOL) {
        v.type = AC_JSON_BOOL;
        v.boolean = strcmp(k->preset, "true") == 0;
    }
    return set_value(r, k, &v);
}

bool ac_key_at_preset(const ac_key *k, const ac_contract_values *v)
{
    const char *at = (const char *)v + k->at, *text;
    double preset = 0, number;
    int64_t whole;
    switch (k->type) {
    case AC_KEY_BOOL: return *(const bool *)at == (strcmp(k->preset, "true") == 0);
    case AC_KEY_INT:
        memcpy(&whole, at, sizeof whole);
        return ac_parse_f64(ac_view_of(k->preset), &preset) && (double)whole >= preset && (double)whole <= preset;
    case AC_KEY_F64:
        memcpy(&number, at, sizeof number);
        return ac_parse_f64(ac_view_of(k->preset), &preset) && number >= preset && number <= preset;
    default:
        memcpy(&text, at, sizeof text);
        return k->preset ? text && strcmp(text, k->preset) == 0 : !text;
    }
}

/* ---- the tree ----------------------------------------------------------------------------------------------- */

static ac_status unknown(const reader *r, const ac_json *node, ac_view section, ac_view name)
{
    char near[80], text[300];
    const char *other = ac_key_near(section, name, near, sizeof near);
    snprintf(text, sizeof text, "unknown key \"" AC_VIEW_FMT "." AC_VIEW_FMT "\"%s%s%s", AC_VIEW_ARG(ac_view_slice(section, 0, 40)),
             AC_VIEW_ARG(ac_view_slice(name, 0, 60)), other ? "; did you mean " : "; docs/contract.md lists the keys",
             other ? other : "", other ? "?" : "");
    return at(r, node, text);
}

static ac_status read_section(reader *r, const ac_json *section)
{
    size_t i = 0;
    while (i < ac_n_sections && !ac_view_eq_str(section->key, ac_sections[i].name)) i++;
    if (i == ac_n_sections) {
        char text[200];
        char near[80];
        const char *other = ac_key_near((ac_view){ NULL, 0 }, section->key, near, sizeof near);
        snprintf(text, sizeof text, "unknown section \"" AC_VIEW_FMT "\"; docs/contract.md lists them%s%s%s",
                 AC_VIEW_ARG(ac_view_slice(section->key, 0, 60)), other ? " (the key " : "", other ? other : "",
                 other ? "?)" : "");
        return at(r, section, text);
    }
    if (section->type == AC_JSON_NULL) return AC_OK;
    if (section->type != AC_JSON_OBJECT) return at(r, section, "a section must hold \"key: value\" lines");
    for (const ac_json *v = section->child; v; v = v->next) {
        const size_t k = ac_key_find(section->key, v->key);
        if (k == ac_n_keys) return unknown(r, v, section->key, v->key);
        /* A key without a value is the same as no key, where there need not be one. */
        if (v->type == AC_JSON_NULL && !ac_keys[k].required) continue;
        r->given[k] = v;
        const ac_status st = set_value(r, &ac_keys[k], v);
        if (st) return st;
    }
    return AC_OK;
}

static const ac_json *given(const reader *r, const char *section, const char *name)
{
    return r->given[ac_key_find(ac_view_of(section), ac_view_of(name))];
}

/* A threshold of triage may be moved, but not silently: the file says why. */
static ac_status check_triage(const reader *r)
{
    if (r->c->v.triage_reason) return AC_OK;
    for (size_t i = 0; i < ac_n_keys; i++) {
        const ac_key *k = &ac_keys[i];
        if (!r->given[i] || strcmp(k->section, "triage") != 0 || !strcmp(k->name, "trials")) continue;
        double preset = 0, is = 0;
        (void)ac_parse_f64(ac_view_of(k->preset), &preset);
        if (k->type == AC_KEY_INT) {
            int64_t whole;
            memcpy(&whole, (const char *)&r->c->v + k->at, sizeof whole);
            is = (double)whole;
        } else {
            memcpy(&is, (const char *)&r->c->v + k->at, sizeof is);
        }
        if (is < preset || is > preset)
            return at_key(r, r->given[i], k, "differs from its default: say why in triage.reason");
    }
    return AC_OK;
}

/* Values that do not go together. Keys that would be ignored are ignored.c's. */
static ac_status check_together(const reader *r)
{
    const ac_contract_values *v = &r->c->v;
    const struct { const ac_json *where; bool bad; const char *what; } rules[] = {
        { given(r, "eval", "rag_overlap_tokens"), v->rag_overlap_tokens >= v->rag_chunk_tokens,
          "eval.rag_overlap_tokens must be under eval.rag_chunk_tokens" },
        { given(r, "eval", "rag_chunk_tokens"), v->rag_overlap_tokens >= v->rag_chunk_tokens,
          "eval.rag_chunk_tokens must be over eval.rag_overlap_tokens" },
        { given(r, "method", "pack_len"), v->packing && v->pack_len < v->max_len,
          "method.pack_len must be at least data.max_len, or a long row fits no unit" },
        { given(r, "method", "micro_batch"), v->micro_batch > v->batch_rows,
          "method.micro_batch must be at most method.batch_rows: a step has no more units" },
        { given(r, "method", "shards"), (v->shards & (v->shards - 1)) != 0,
          "method.shards must be a power of two: 1, 2, 4, 8, 16, 32 or 64" },
        { given(r, "method", "shards"), v->shards > v->batch_rows,
          "method.shards must be at most method.batch_rows: a step has no more rows than that to cut into parts" },
        { given(r, "method", "warmup_steps"), v->max_steps && v->warmup_steps >= v->max_steps,
          "method.warmup_steps must be under method.max_steps: the run would end before method.lr and its schedule begin" },
        { given(r, "data", "valid"), v->valid && !strcmp(v->valid, v->train),
          "data.valid is the file of data.train; validate on other rows" },
    };
    for (size_t i = 0; i < AC_COUNTOF(rules); i++)
        if (rules[i].where && rules[i].bad) return at(r, rules[i].where, rules[i].what);
    return AC_OK;
}

/* Texts with a form of their own. */
static ac_status check_texts(const reader *r)
{
    const ac_contract_values *v = &r->c->v;
    const char *size[] = { v->memory_budget, v->memory_reserve }, *size_key[] = { "budget", "reserve" };
    int32_t from, to;
    uint64_t bytes;
    ac_err why = { "" };
    for (size_t i = 0; i < AC_COUNTOF(size); i++)
        if (size[i] && !ac_parse_size(ac_view_of(size[i]), &bytes))
            return at_key(r, given(r, "memory", size_key[i]), &ac_keys[ac_key_find(AC_VIEW("memory"), ac_view_of(size_key[i]))],
                          "must be a size like 900M or 4G");
    if (v->guard_window && ac_guard_window_parse(&from, &to, ac_view_of(v->guard_window), &why))
        return at(r, given(r, "guard", "window"), why.text);
    return AC_OK;
}

static ac_status keep_places(const reader *r)
{
    ac_contract_place *p = ac_arena_alloc_array(&r->c->arena, ac_n_keys, sizeof *p);
    if (!p) return ac_fail_nomem(r->err, ac_n_keys * sizeof *p);
    for (size_t i = 0; i < ac_n_keys; i++) {
        size_t line, column;
        if (!r->given[i]) continue;
        ac_json_place(r->text, r->given[i]->offset, &line, &column);
        p[i] = (ac_contract_place){ (uint32_t)line, (uint32_t)column };
    }
    r->c->place = p;
    return AC_OK;
}

static ac_status read_tree(reader *r, const ac_json *root)
{
    if (root->type != AC_JSON_OBJECT)
        return ac_fail(r->err, AC_ECONTRACT, "%s: no sections; accord init writes a commented example", r->c->path);
    for (const ac_json *s = root->child; s; s = s->next) {
        const ac_status st = read_section(r, s);
        if (st) return st;
    }
    for (size_t i = 0; i < ac_n_keys; i++) {
        if (r->given[i]) continue;
        if (ac_keys[i].required)
            return ac_fail(r->err, AC_ECONTRACT, "%s: %s.%s is missing (%s); add it", r->c->path, ac_keys[i].section,
                           ac_keys[i].name, ac_keys[i].help);
        const ac_status st = set_preset(r, &ac_keys[i]);
        if (st) return st;
    }
    /* Defaults follow what was given: a packed unit holds the longest row, a micro-batch is no larger than the
     * batch, and Muon and Lion begin with their papers' decays. */
    ac_contract_values *v = &r->c->v;
    if (!given(r, "method", "pack_len") && v->pack_len < v->max_len) v->pack_len = v->max_len;
    if (!given(r, "data", "max_len") && given(r, "method", "pack_len") && v->pack_len < v->max_len)
        v->max_len = v->pack_len;
    if (!given(r, "method", "momentum") && !strcmp(v->optimizer, "muon")) v->momentum = 0.95;
    if (!given(r, "method", "beta2") && !strcmp(v->optimizer, "lion")) v->beta2 = 0.99;
    ac_status st = keep_places(r);
    if (!st) st = ac_contract_check_ignored(r->c, r->text, r->given, r->err);
    if (!st) st = check_triage(r);
    if (!st) st = check_texts(r);
    return st ? st : check_together(r);
}

ac_status ac_contract_read(ac_contract *out, const char *dir, ac_err *err)
{
    ac_contract c = { 0 };
    reader r = { .c = &c, .err = err };
    const ac_json *root = NULL;
    _Static_assert(sizeof r.given >= 64, "room for every key");
    c.dir = ac_arena_strndup(&c.arena, dir, strlen(dir));
    c.path = ac_path_join(&c.arena, dir, "accord.yaml");
    ac_status st = c.dir && c.path ? AC_OK : ac_fail_nomem(err, strlen(dir));
    if (!st && !ac_path_exists(c.path))
        st = ac_fail(err, AC_ENOENT, "%s: there is no contract here; accord init writes one", c.path);
    if (!st) st = ac_file_read_arena(&r.text, &c.arena, c.path, MAX_YAML, err);
    if (!st) {
        c.hash = ac_sha256_of(r.text.ptr, r.text.len);
        st = ac_yaml_parse(&root, r.text, &c.arena, c.path, err);
        if (st == AC_EFORMAT) st = AC_ECONTRACT;
    }
    if (!st) st = read_tree(&r, root);
    if (st) ac_contract_release(&c);
    else *out = c;
    return st;
}

void ac_contract_release(ac_contract *c)
{
    if (!c) return;
    ac_arena_release(&c->arena);
    *c = (ac_contract){ 0 };
}

const char *ac_contract_path(ac_contract *c, const char *path)
{
    return path ? ac_path_join(&c->arena, c->dir, path) : NULL;
}

ac_status ac_contract_model_path(ac_contract *c, const char **out, ac_err *err)
{
    const char *name = c->v.base_model, *local = ac_contract_path(c, name);
    if (!local) return ac_fail_nomem(err, strlen(name));
    if (ac_path_exists(local)) {
        *out = local;
        return AC_OK;
    }
    if (ac_path_component_ok(ac_view_of(name))) {
        const char *cached = ac_cache_model_path(&c->arena, name);
        if (cached && ac_path_exists(cached)) {
            *out = cached;
            return AC_OK;
        }
    }
    return ac_fail(err, AC_ENOENT, "base.model \"%s\" is neither a path from %s nor a model in the cache; run: accord "
                   "model pull %s", name, c->path, ac_path_component_ok(ac_view_of(name)) ? name : "NAME");
}
