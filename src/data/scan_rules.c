/* gitleaks' rule files (TOML), and how a rule comes into a scanner. */
#include <stdio.h>
#include <string.h>
#include <strings.h>

#include "base/file.h"
#include "data/scan_int.h"
#include "formats/toml.h"

#define MAX_FILE  ((size_t)4 << 20)
#define MAX_RULES ((size_t)4096)

/* ---- what both sources of rules use ---- */

ac_status ac_scan_compile(ac_scanner *s, pcre2_code **out, ac_view pattern, const char *where, ac_err *err)
{
    ac_str text = { 0 };
    int code = 0;
    PCRE2_SIZE at = 0;
    pcre2_code *re = NULL;
    ac_status st = ac_scan_go_regex(&text, pattern, where, err);
    if (!st) {
        re = pcre2_compile((PCRE2_SPTR)ac_str_c(&text), text.len,
                           PCRE2_UTF | PCRE2_MATCH_INVALID_UTF | PCRE2_DOLLAR_ENDONLY | PCRE2_NEVER_BACKSLASH_C, &code, &at,
                           s->compile);
        if (!re && code == PCRE2_ERROR_HEAP_FAILED) st = ac_fail_nomem(err, text.len);
        else if (!re) {
            char why[160];
            (void)pcre2_get_error_message(code, (PCRE2_UCHAR *)why, sizeof why);
            st = ac_fail(err, AC_EFORMAT, "%s: the pattern is wrong at character %zu: %s", where, (size_t)at + 1, why);
        }
    }
    ac_str_release(&text);
    if (st) return st;
    scan_code *keep = ac_arena_alloc(&s->arena, sizeof *keep);
    if (!keep) {
        pcre2_code_free(re);
        return ac_fail_nomem(err, sizeof *keep);
    }
    (void)pcre2_jit_compile(re, PCRE2_JIT_COMPLETE);         /* without it the same matches take longer */
    *keep = (scan_code){ re, s->codes };
    s->codes = keep;
    *out = re;
    return AC_OK;
}

scan_rule *ac_scan_rule_add(ac_scanner *s)
{
    if (s->n_rules == s->cap_rules) {
        const size_t cap = s->cap_rules ? s->cap_rules * 2 : 64;
        scan_rule *p = ac_arena_alloc_array(&s->arena, cap, sizeof *p);
        if (!p) return NULL;
        if (s->n_rules) memcpy(p, s->rule, s->n_rules * sizeof *p);
        s->rule = p;
        s->cap_rules = cap;
    }
    s->rule[s->n_rules] = (scan_rule){ .score = 1 };
    return &s->rule[s->n_rules++];
}

static char *lower_copy(ac_arena *a, ac_view v)
{
    char *p = ac_arena_strndup(a, v.ptr ? v.ptr : "", v.len);
    for (size_t i = 0; p && i < v.len; i++)
        if (scan_upper(p[i])) p[i] = (char)(p[i] + 32);
    return p;
}

ac_status ac_scan_keyword_add(ac_scanner *s, ac_view word, size_t rule, ac_err *err)
{
    if (s->n_words == s->cap_words) {
        const size_t cap = s->cap_words ? s->cap_words * 2 : 128;
        scan_word *p = ac_arena_alloc_array(&s->arena, cap, sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        if (s->n_words) memcpy(p, s->word, s->n_words * sizeof *p);
        s->word = p;
        s->cap_words = cap;
    }
    char *copy = lower_copy(&s->arena, word);
    if (!copy) return ac_fail_nomem(err, word.len);
    s->word[s->n_words++] = (scan_word){ { copy, word.len }, (uint32_t)rule };
    return AC_OK;
}

/* ---- the file ---- */

typedef struct {
    ac_scanner *s;
    ac_view text;
    const char *path;
    ac_err *err;
    bool use_default;
    ac_view *disabled;
    size_t n_disabled;
} reader;

static ac_status bad(reader *r, const ac_json *v, const char *what)
{
    size_t line, column;
    ac_json_place(r->text, v->offset, &line, &column);
    return ac_fail(r->err, AC_EFORMAT, "%s:%zu:%zu: " AC_VIEW_FMT "%s%s", r->path, line, column,
                   AC_VIEW_ARG(ac_view_slice(v->key, 0, 60)), v->key.len ? ": " : "", what);
}

/* gitleaks reads its keys in any case. */
static bool is_key(const ac_json *v, const char *name)
{
    return v->key.len == strlen(name) && strncasecmp(v->key.ptr, name, v->key.len) == 0;
}

static ac_status take_text(reader *r, const ac_json *v, ac_view *out)
{
    if (v->type != AC_JSON_STRING) return bad(r, v, "expected a string");
    char *copy = ac_arena_strndup(&r->s->arena, v->text.ptr, v->text.len);
    if (!copy) return ac_fail_nomem(r->err, v->text.len);
    *out = (ac_view){ copy, v->text.len };
    return AC_OK;
}

static ac_status take_list(reader *r, const ac_json *v, ac_view **out, size_t *n, bool lower)
{
    if (v->type != AC_JSON_ARRAY) return bad(r, v, "expected a list of strings");
    ac_view *list = ac_arena_alloc_array(&r->s->arena, (size_t)v->n + 1, sizeof *list);
    if (!list) return ac_fail_nomem(r->err, v->n * sizeof *list);
    *n = 0;
    for (const ac_json *c = v->child; c; c = c->next) {
        const ac_status st = take_text(r, c, &list[*n]);
        if (st) return st;
        if (lower && !(list[*n].ptr = lower_copy(&r->s->arena, list[*n]))) return ac_fail_nomem(r->err, list[*n].len);
        ++*n;
    }
    *out = list;
    return AC_OK;
}

static ac_status take_regex(reader *r, const ac_json *v, pcre2_code **out)
{
    char where[400];
    size_t line, column;
    if (v->type != AC_JSON_STRING) return bad(r, v, "expected a string");
    ac_json_place(r->text, v->offset, &line, &column);
    (void)snprintf(where, sizeof where, "%.300s:%zu:%zu", r->path, line, column);
    return ac_scan_compile(r->s, out, v->text, where, r->err);
}

static ac_status take_regexes(reader *r, const ac_json *v, pcre2_code ***out, size_t *n)
{
    if (v->type != AC_JSON_ARRAY) return bad(r, v, "expected a list of patterns");
    pcre2_code **list = ac_arena_alloc_array(&r->s->arena, (size_t)v->n + 1, sizeof *list);
    if (!list) return ac_fail_nomem(r->err, v->n * sizeof *list);
    *n = 0;
    for (const ac_json *c = v->child; c; c = c->next) {
        const ac_status st = take_regex(r, c, &list[*n]);
        if (st) return st;
        ++*n;
    }
    *out = list;
    return AC_OK;
}

static ac_status take_choice(reader *r, const ac_json *v, const char *const *names, int *out)
{
    if (v->type != AC_JSON_STRING) return bad(r, v, "expected a string");
    for (int i = 0; names[i]; i++)
        if (v->text.len == strlen(names[i]) && strncasecmp(v->text.ptr, names[i], v->text.len) == 0) {
            *out = i;
            return AC_OK;
        }
    return bad(r, v, "unknown choice");
}

static ac_status allow_key(reader *r, scan_allow *a, const ac_json *v)
{
    static const char *const targets[] = { "secret", "match", "line", "", NULL };
    static const char *const conditions[] = { "or", "||", "", "and", "&&", NULL };
    int which = 0;
    ac_status st = AC_OK;
    if (is_key(v, "description")) return AC_OK;
    if (is_key(v, "regexes")) return take_regexes(r, v, &a->re, &a->n_re);
    if (is_key(v, "paths")) return take_regexes(r, v, &a->path, &a->n_path);
    if (is_key(v, "stopwords")) return take_list(r, v, &a->stop, &a->n_stop, true);
    if (is_key(v, "targetRules")) return take_list(r, v, &a->only_rules, &a->n_only, false);
    if (is_key(v, "commits")) {
        if (v->type != AC_JSON_ARRAY) return bad(r, v, "expected a list of strings");
        a->commits = v->n > 0;
        return AC_OK;
    }
    if (is_key(v, "regexTarget")) {
        st = take_choice(r, v, targets, &which);
        if (!st) a->target = which == 3 ? SCAN_TARGET_SECRET : (scan_target)which;
        return st;
    }
    if (is_key(v, "condition") || is_key(v, "matchCondition")) {
        st = take_choice(r, v, conditions, &which);
        if (!st) a->all = which >= 3;
        return st;
    }
    return bad(r, v, "unknown key in an allowlist");
}

static ac_status take_allow(reader *r, const ac_json *v, scan_allow *a)
{
    if (v->type != AC_JSON_OBJECT) return bad(r, v, "expected a table");
    for (const ac_json *c = v->child; c; c = c->next) {
        const ac_status st = allow_key(r, a, c);
        if (st) return st;
    }
    if (!a->n_re && !a->n_path && !a->n_stop && !a->commits)
        return bad(r, v, "an allowlist needs regexes, paths, stopwords or commits");
    return AC_OK;
}

/* `allowlist` is one, `allowlists` are several. */
static ac_status take_allows(reader *r, const ac_json *table, scan_allow **out, size_t *n)
{
    size_t most = 0;
    for (const ac_json *v = table->child; v; v = v->next)
        if (is_key(v, "allowlist")) most++;
        else if (is_key(v, "allowlists")) most += v->n;
    if (!most) return AC_OK;
    if (!(*out = ac_arena_alloc_array(&r->s->arena, most, sizeof **out))) return ac_fail_nomem(r->err, most * sizeof **out);
    for (const ac_json *v = table->child; v; v = v->next) {
        ac_status st = AC_OK;
        if (is_key(v, "allowlist")) st = take_allow(r, v, &(*out)[(*n)++]);
        else if (is_key(v, "allowlists")) {
            if (v->type != AC_JSON_ARRAY) return bad(r, v, "expected a list of tables");
            for (const ac_json *c = v->child; c && !st; c = c->next) st = take_allow(r, c, &(*out)[(*n)++]);
        }
        if (st) return st;
    }
    return AC_OK;
}

static ac_status rule_key(reader *r, scan_rule *u, const ac_json *v, const ac_json **keywords)
{
    ac_view text = { NULL, 0 };
    int64_t whole;
    ac_status st;
    if (is_key(v, "description") || is_key(v, "tags") || is_key(v, "allowlist") || is_key(v, "allowlists")) return AC_OK;
    if (is_key(v, "id")) {
        st = take_text(r, v, &text);
        u->id = text.ptr;
        return !st && !text.len ? bad(r, v, "is empty") : st;
    }
    if (is_key(v, "regex")) return take_regex(r, v, &u->re);
    if (is_key(v, "path")) return take_regex(r, v, &u->path);
    if (is_key(v, "secretGroup")) {
        if (v->type != AC_JSON_NUMBER || !ac_json_as_i64(v, &whole) || whole < 0 || whole > 99)
            return bad(r, v, "expected a whole number from 0 to 99");
        u->group = (uint32_t)whole;
        return AC_OK;
    }
    if (is_key(v, "entropy")) {
        if (v->type != AC_JSON_NUMBER || v->number < 0 || v->number > 8) return bad(r, v, "expected a number from 0 to 8");
        u->entropy = v->number;
        return AC_OK;
    }
    if (is_key(v, "keywords")) {
        if (v->type != AC_JSON_ARRAY) return bad(r, v, "expected a list of strings");
        *keywords = v;
        return AC_OK;
    }
    if (is_key(v, "skipReport")) {
        if (v->type != AC_JSON_BOOL) return bad(r, v, "expected true or false");
        u->silent = v->boolean;
        return AC_OK;
    }
    return bad(r, v, is_key(v, "required") ? "rules that need other rules are not supported" : "unknown key in a rule");
}

static ac_status one_rule(reader *r, const ac_json *table)
{
    const ac_json *keywords = NULL;
    scan_rule u = { .score = 1 };
    if (table->type != AC_JSON_OBJECT) return bad(r, table, "expected a table");
    for (const ac_json *v = table->child; v; v = v->next) {
        const ac_status st = rule_key(r, &u, v, &keywords);
        if (st) return st;
    }
    if (!u.id) return bad(r, table, "a rule has no id");
    if (!u.re && !u.path) return bad(r, table, "a rule needs a regex or a path");
    uint32_t groups = 0;
    if (u.re) (void)pcre2_pattern_info(u.re, PCRE2_INFO_CAPTURECOUNT, &groups);
    if (u.group > groups) return bad(r, table, "secretGroup is no group of the regex");
    ac_status st = take_allows(r, table, &u.allow, &u.n_allow);
    if (st) return st;
    if (strncmp(u.id, "generic", 7) == 0) u.score = 0.7;      /* a rule that knows the issuer goes before it */
    for (size_t i = 0; i < r->n_disabled; i++)
        if (ac_view_eq_str(r->disabled[i], u.id)) return AC_OK;
    if (r->s->n_rules >= MAX_RULES) return bad(r, table, "too many rules");
    u.has_keywords = keywords && keywords->n > 0;
    scan_rule *to = ac_scan_rule_add(r->s);
    if (!to) return ac_fail_nomem(r->err, sizeof *to);
    *to = u;
    for (const ac_json *c = keywords ? keywords->child : NULL; c && !st; c = c->next) {
        if (c->type != AC_JSON_STRING) return bad(r, c, "expected a string");
        if (!c->text.len) to->has_keywords = false;          /* stands in every text */
        else st = ac_scan_keyword_add(r->s, c->text, r->s->n_rules - 1, r->err);
    }
    return st;
}

static ac_status take_extend(reader *r, const ac_json *table)
{
    if (table->type != AC_JSON_OBJECT) return bad(r, table, "expected a table");
    for (const ac_json *v = table->child; v; v = v->next) {
        ac_status st = AC_OK;
        if (is_key(v, "useDefault")) {
            if (v->type != AC_JSON_BOOL) return bad(r, v, "expected true or false");
            r->use_default = v->boolean;
        } else if (is_key(v, "disabledRules")) st = take_list(r, v, &r->disabled, &r->n_disabled, false);
        else st = bad(r, v, "cannot be extended from here; put the rules into this file");
        if (st) return st;
    }
    return AC_OK;
}

static ac_status take_root(reader *r, const ac_json *root)
{
    ac_status st = AC_OK;
    const ac_json *rules = NULL;
    for (const ac_json *v = root->child; v && !st; v = v->next) {
        if (is_key(v, "extend")) st = take_extend(r, v);
        else if (is_key(v, "rules")) rules = v;
        else if (!is_key(v, "title") && !is_key(v, "description") && !is_key(v, "minVersion") && !is_key(v, "allowlist")
                 && !is_key(v, "allowlists")) st = bad(r, v, "unknown key");
    }
    if (!st) st = take_allows(r, root, &r->s->allow, &r->s->n_allow);
    if (!st && rules && rules->type != AC_JSON_ARRAY) st = bad(r, rules, "expected [[rules]]");
    if (!st && !rules && !r->use_default) return ac_fail(r->err, AC_EFORMAT, "%s: there are no [[rules]]", r->path);
    for (const ac_json *v = rules ? rules->child : NULL; v && !st; v = v->next) st = one_rule(r, v);
    return st;
}

/* Also the built-in ones go by their ids. */
static void disable(reader *r)
{
    for (size_t i = 0; i < r->s->n_rules; i++)
        for (size_t k = 0; k < r->n_disabled; k++)
            if (ac_view_eq_str(r->disabled[k], r->s->rule[i].id)) r->s->rule[i].silent = true;
}

ac_status ac_scan_rules_read(ac_scanner *s, const char *path, ac_err *err)
{
    reader r = { .s = s, .path = path, .err = err };
    ac_arena tree = { 0 };
    const ac_json *root = NULL;
    ac_status st = ac_file_read_arena(&r.text, &tree, path, MAX_FILE, err);
    if (!st) st = ac_toml_parse(&root, r.text, &tree, path, err);
    if (!st) st = take_root(&r, root);
    if (!st && r.use_default) {
        st = ac_scan_rules_builtin(s, err);
        if (!st) disable(&r);
    }
    ac_arena_release(&tree);
    return st;
}
