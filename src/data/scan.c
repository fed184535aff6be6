/* A scanner's life, and one text through it. */
#include "data/scan.h"

#include <string.h>

#include "data/scan_int.h"

static void *take_memory(size_t n, void *ctx)
{
    AC_UNUSED(ctx);
    return ac_malloc(n);
}

static void give_memory(void *p, void *ctx)
{
    AC_UNUSED(ctx);
    ac_free(p);
}

static ac_status contexts(ac_scanner *s, ac_err *err)
{
    s->general = pcre2_general_context_create(take_memory, give_memory, NULL);
    s->compile = s->general ? pcre2_compile_context_create(s->general) : NULL;
    s->limits = s->general ? pcre2_match_context_create(s->general) : NULL;
    if (!s->compile || !s->limits) return ac_fail_nomem(err, 256);
    (void)pcre2_set_newline(s->compile, PCRE2_NEWLINE_LF);
    (void)pcre2_set_match_limit(s->limits, 5000000);       /* a pattern that needs more on one text is named */
    (void)pcre2_set_heap_limit(s->limits, 256u << 10);
    return AC_OK;
}

ac_status ac_scanner_open(ac_scanner **out, const char *rules_path, ac_err *err)
{
    ac_scanner *s = ac_calloc(1, sizeof *s);
    if (!s) return ac_fail_nomem(err, sizeof *s);
    ac_status st = contexts(s, err);
    if (!st) st = rules_path ? ac_scan_rules_read(s, rules_path, err) : ac_scan_rules_builtin(s, err);
    if (!st) st = ac_scan_words_build(&s->words, s->word, s->n_words, &s->arena, err);
    if (st) ac_scanner_close(&s);
    else *out = s;
    return st;
}

void ac_scanner_close(ac_scanner **scanner)
{
    ac_scanner *s = *scanner;
    *scanner = NULL;
    if (!s) return;
    for (scan_code *c = s->codes; c; c = c->next) pcre2_code_free(c->code);
    pcre2_match_context_free(s->limits);
    pcre2_compile_context_free(s->compile);
    pcre2_general_context_free(s->general);
    ac_arena_release(&s->arena);
    ac_free(s);
}

ac_status ac_scan_hits_add(scan_hits *h, const ac_scan_hit *x, ac_err *err)
{
    if (h->n == h->cap) {
        const size_t cap = h->cap ? h->cap * 2 : 16;
        ac_scan_hit *p = ac_realloc(h->hit, cap * sizeof *p);
        if (!p) return ac_fail_nomem(err, cap * sizeof *p);
        h->hit = p;
        h->cap = cap;
    }
    h->hit[h->n++] = *x;
    return AC_OK;
}

/* Both lists go by place; *at is where the search among the secrets goes on. */
static bool inside_secret(const scan_hits *secrets, const ac_scan_hit *x, size_t *at)
{
    while (*at < secrets->n && (secrets->hit[*at].to <= x->from || secrets->hit[*at].score <= 0)) ++*at;
    return *at < secrets->n && secrets->hit[*at].from < x->to;
}

ac_status ac_scan_text(const ac_scanner *s, const char *path, ac_view text, ac_scan_fn *fn, void *ctx, ac_err *err)
{
    scan_hits secrets = { 0 }, personal = { 0 };
    size_t at = 0;
    ac_status st = text.len ? ac_scan_secrets(s, path, text, &secrets, err) : AC_OK;
    if (!st) st = ac_scan_personal(text, &personal, err);
    for (size_t i = 0; i < secrets.n && !st; i++) st = fn(ctx, &secrets.hit[i], err);
    for (size_t i = 0; i < personal.n && !st; i++)
        if (!inside_secret(&secrets, &personal.hit[i], &at)) st = fn(ctx, &personal.hit[i], err);
    ac_free(secrets.hit);
    ac_free(personal.hit);
    return st;
}

void ac_scan_mask(ac_str *out, const ac_scan_hit *hit, ac_view text)
{
    const ac_view v = ac_view_slice(text, hit->from, hit->to);
    size_t shown = 0;
    if (hit->class == AC_SCAN_SECRET) {
        ac_str_appendf(out, "(%zu characters)", v.len);
        return;
    }
    for (size_t i = 0; i < v.len && shown < 40; i++) {
        const unsigned char c = (unsigned char)v.ptr[i];
        if (c >= 0x80 && c < 0xc0) continue;                 /* one x for a character, however many bytes */
        ac_str_append_char(out, scan_digit((char)c) ? '#' : c >= 0x80 || scan_alpha((char)c) ? 'x' : c < 0x20 ? ' ' : (char)c);
        shown++;
    }
    if (shown == 40) ac_str_append_c(out, "...");
}
