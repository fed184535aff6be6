/* Patterns as Go's regexp reads them (RE2), for PCRE2.
 *
 * Nearly all is spelled alike. \v and \s mean less in Go; $ is the very end without (?m), which a compile option gives;
 * what PCRE2 has beyond RE2 is refused, for such a pattern would mean something else to the tool it was written for. */
#include <stdio.h>
#include <string.h>

#include "data/scan_int.h"

typedef struct {
    ac_view p;
    size_t at;
    ac_str *out;
    const char *where;
    ac_err *err;
} go;

static ac_status refuse(go *g, const char *what)
{
    return ac_fail(g->err, AC_EFORMAT, "%s: the pattern has %s at character %zu, which Go's regexp does not know", g->where,
                   what, g->at + 1);
}

static char peek(const go *g, size_t ahead)
{
    return g->at + ahead < g->p.len ? g->p.ptr[g->at + ahead] : '\0';
}

static void copy(go *g, size_t n)
{
    ac_str_append(g->out, ac_view_slice(g->p, g->at, g->at + n));
    g->at += n;
}

/* \Q...\E: no character between them means anything. */
static void literal(go *g)
{
    const size_t end = ac_view_find(g->p, AC_VIEW("\\E"), g->at);
    copy(g, end == SIZE_MAX ? g->p.len - g->at : end + 2 - g->at);
}

static ac_status escape(go *g, bool in_class)
{
    const char c = peek(g, 1);
    if (!c) return refuse(g, "a \\ at its end");
    if (c == 'Q') {
        literal(g);
        return AC_OK;
    }
    if (c == 'v') ac_str_append_c(g->out, "\\x0b");
    else if (c == 's') ac_str_append_c(g->out, in_class ? "\\t\\n\\f\\r " : "[\\t\\n\\f\\r ]");
    else if (c == 'S' && !in_class) ac_str_append_c(g->out, "[^\\t\\n\\f\\r ]");
    else if (scan_alnum(c) && !strchr(in_class ? "aftnrdDsSwWpPx01234567" : "aftnrdDsSwWpPxAzbB01234567", c)) {
        char what[24];
        (void)snprintf(what, sizeof what, "\\%c", c);
        return refuse(g, what);
    } else if (c >= '1' && c <= '7' && !(peek(g, 2) >= '0' && peek(g, 2) <= '7')) {
        return refuse(g, "a back reference");
    } else {
        copy(g, 2);
        return AC_OK;
    }
    g->at += 2;
    return AC_OK;
}

static ac_status char_class(go *g)
{
    const size_t from = g->at;
    copy(g, peek(g, 1) == '^' ? 2 : 1);
    for (bool first = true;; first = false) {
        const char c = peek(g, 0);
        if (g->at >= g->p.len) {
            g->at = from;
            return refuse(g, "a [ without its ]");
        }
        if (c == ']' && !first) break;
        if (c == '\\') {
            const ac_status st = escape(g, true);
            if (st) return st;
        } else if (c == '[' && peek(g, 1) == ':') {
            const size_t end = ac_view_find(g->p, AC_VIEW(":]"), g->at + 2);
            copy(g, end == SIZE_MAX ? 1 : end + 2 - g->at);
        } else if (c == '[' || (c == ']' && first)) {            /* PCRE2 takes both, but says it more clearly so */
            ac_str_append_char(g->out, '\\');
            copy(g, 1);
        } else copy(g, 1);
    }
    copy(g, 1);
    return AC_OK;
}

/* Behind "(?": flags, a name, or nothing that Go knows. */
static ac_status group(go *g)
{
    size_t k = 2;
    if (peek(g, 2) == 'P' && peek(g, 3) == '<') {
        copy(g, 4);
        return AC_OK;
    }
    if (peek(g, 2) == '<' && peek(g, 3) != '=' && peek(g, 3) != '!') {
        copy(g, 3);
        return AC_OK;
    }
    while (peek(g, k) && strchr("imsU-", peek(g, k))) k++;
    if (peek(g, k) != ')' && peek(g, k) != ':') return refuse(g, "a (? group");
    copy(g, k + 1);
    return AC_OK;
}

static bool repeats(const go *g, size_t k)
{
    return peek(g, k) == '*' || peek(g, k) == '+' || peek(g, k) == '?' || peek(g, k) == '}';
}

ac_status ac_scan_go_regex(ac_str *out, ac_view pattern, const char *where, ac_err *err)
{
    go g = { .p = pattern, .out = out, .where = where, .err = err };
    ac_status st = AC_OK;
    if (memchr(pattern.ptr ? pattern.ptr : "", 0, pattern.len)) return refuse(&g, "a NUL");
    while (!st && g.at < pattern.len) {
        const char c = peek(&g, 0);
        if (c == '\\') st = escape(&g, false);
        else if (c == '[') st = char_class(&g);
        else if (c == '(' && peek(&g, 1) == '*') st = refuse(&g, "a (* verb");
        else if (c == '(' && peek(&g, 1) == '?') st = group(&g);
        else if (repeats(&g, 0) && peek(&g, 1) == '+') st = refuse(&g, "a possessive repetition");
        else copy(&g, 1);
    }
    if (!st && !ac_str_ok(out)) st = ac_fail_nomem(err, out->len);
    return st;
}
