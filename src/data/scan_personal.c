/* Personal data whose form or check digits decide: one pass over the text, which stops at digits, @ and : only. */
#include <string.h>
#include <strings.h>

#include "data/scan_int.h"

/* ---- words around a number ---- */

static bool one_of_words(ac_view v, const char *words)
{
    for (const char *p = words; *p;) {
        const size_t n = strcspn(p, "|");
        if (n == v.len && strncasecmp(p, v.ptr, n) == 0) return true;
        p += n + (p[n] == '|');
    }
    return false;
}

static bool words_hold(ac_view v, const char *words)
{
    for (size_t i = 0; i < v.len;) {
        size_t to = i;
        while (to < v.len && scan_alpha(v.ptr[to])) to++;
        if (to > i && one_of_words(ac_view_slice(v, i, to), words)) return true;
        i = to + 1;
    }
    return false;
}

bool ac_scan_before(ac_view t, size_t at, size_t window, const char *words)
{
    size_t from = at > window ? at - window : 0;
    while (from > 0 && from < at && scan_alpha(t.ptr[from - 1]) && scan_alpha(t.ptr[from])) from++;   /* no half word */
    return words_hold(ac_view_slice(t, from, at), words);
}

bool ac_scan_after(ac_view t, size_t at, size_t window, const char *words)
{
    size_t to = t.len - at > window ? at + window : t.len;
    while (to > at && to < t.len && scan_alpha(t.ptr[to - 1]) && scan_alpha(t.ptr[to])) to--;
    return words_hold(ac_view_slice(t, at, to), words);
}

/* ---- @ ---- */

static bool label_char(char c)
{
    return scan_alnum(c) || c == '-';
}

/* From `from` on: labels with points between them, the last of letters; 0: none. */
static size_t domain_end(ac_view t, size_t from)
{
    size_t at = from, end = 0, n_labels = 0;
    for (;;) {
        const size_t start = at;
        bool letters = true;
        while (at < t.len && label_char(t.ptr[at]) && at - start < 64) {
            letters = letters && scan_alpha(t.ptr[at]);
            at++;
        }
        if (at == start || t.ptr[start] == '-' || t.ptr[at - 1] == '-') break;
        n_labels++;
        if (n_labels > 1 && ((letters && at - start >= 2) || (at - start > 4 && !strncmp(t.ptr + start, "xn--", 4)))) end = at;
        if (at >= t.len || t.ptr[at] != '.') break;
        at++;
    }
    if (end && end < t.len && (scan_wordc(t.ptr[end]) || (t.ptr[end] == '-' && end + 1 < t.len && scan_alnum(t.ptr[end + 1]))))
        return 0;
    return end;
}

static bool local_char(char c)
{
    return scan_alnum(c) || (c && strchr("._%+'-", c));
}

/* icon@2x.png: a file's name, not an address. */
static bool is_scale(ac_view t, size_t at)
{
    return at + 2 < t.len && scan_digit(t.ptr[at]) && t.ptr[at + 1] == 'x' && t.ptr[at + 2] == '.';
}

static bool email(ac_view t, size_t at, size_t floor, scan_span *out)
{
    size_t from = at;
    while (from > floor && at - from < 64 && local_char(t.ptr[from - 1])) from--;
    while (from < at && !scan_alnum(t.ptr[from])) from++;
    if (from == at || t.ptr[at - 1] == '.' || is_scale(t, at + 1)) return false;
    for (size_t i = from; i + 1 < at; i++)
        if (t.ptr[i] == '.' && t.ptr[i + 1] == '.') return false;
    const size_t to = domain_end(t, at + 1);
    if (!to) return false;
    if (to < t.len && t.ptr[to] == ':' && ac_view_eq_str(ac_view_slice(t, from, at), "git")) return false;   /* a repository */
    *out = (scan_span){ from, to, "EMAIL_ADDRESS", 1 };
    return true;
}

/* ---- : ---- */

static bool url(ac_view t, size_t at, size_t floor, scan_span *out)
{
    size_t n = 0;
    if (at + 3 >= t.len || t.ptr[at + 1] != '/' || t.ptr[at + 2] != '/') return false;
    if (at >= 5 && strncasecmp(t.ptr + at - 5, "https", 5) == 0) n = 5;
    else if (at >= 4 && strncasecmp(t.ptr + at - 4, "http", 4) == 0) n = 4;
    if (!n || at - n < floor || (at > n && scan_wordc(t.ptr[at - n - 1]))) return false;
    size_t to = at + 3;
    while (to < t.len && (unsigned char)t.ptr[to] > 0x20 && !strchr("\"'<>`|\\^{}", t.ptr[to])) to++;
    while (to > at + 3 && strchr(".,;:!?)]", t.ptr[to - 1])) to--;
    if (to <= at + 3 || !(scan_alnum(t.ptr[at + 3]) || (unsigned char)t.ptr[at + 3] >= 0x80)) return false;
    *out = (scan_span){ at - n, to, "URL", 0.6 };
    return true;
}

/* RFC 4291: eight groups, or fewer around one "::"; the last two may be written as IPv4, which is left to that. */
static bool ipv6_form(ac_view v)
{
    size_t groups = 0, i = 0, longest_first = 0;
    bool gap = false;
    if (v.len > 1 && v.ptr[0] == ':' && v.ptr[1] != ':') return false;
    while (i < v.len) {
        if (v.ptr[i] == ':' && i + 1 < v.len && v.ptr[i + 1] == ':') {
            if (gap) return false;
            gap = true;
            i += 2;
            continue;
        }
        if (v.ptr[i] == ':') {
            if (i == 0 || i + 1 >= v.len) return false;
            i++;
        }
        size_t n = 0;
        while (i < v.len && scan_hex(v.ptr[i])) n++, i++;
        if (n == 0 || n > 4) return false;
        if (groups == 0) longest_first = n;
        groups++;
    }
    if (gap ? groups > 7 : groups != 8) return false;
    return !gap || (groups >= 2 && longest_first >= 3);      /* a::b is as often a name in a program */
}

static bool mac_form(ac_view v)
{
    bool zero = true, ones = true;
    if (v.len != 17) return false;
    for (size_t i = 0; i < 17; i++) {
        if (i % 3 == 2 ? v.ptr[i] != v.ptr[2] : !scan_hex(v.ptr[i])) return false;
        zero = zero && (i % 3 == 2 || v.ptr[i] == '0');
        ones = ones && (i % 3 == 2 || v.ptr[i] == 'f' || v.ptr[i] == 'F');
    }
    return !zero && !ones;
}

static bool hex_groups(ac_view t, size_t at, size_t floor, scan_span *out, size_t *end)
{
    size_t from = at, to = at + 1;
    bool digit = false;
    while (from > floor && at - from < 40 && (scan_hex(t.ptr[from - 1]) || t.ptr[from - 1] == ':')) from--;
    while (to < t.len && to - from < 48 && (scan_hex(t.ptr[to]) || t.ptr[to] == ':')) to++;
    *end = to;
    while (to > at + 1 && t.ptr[to - 1] == ':' && t.ptr[to - 2] != ':') to--;      /* "at fe80::1: it says" */
    for (size_t i = from; i < to; i++) digit = digit || scan_digit(t.ptr[i]);
    if (!digit || !scan_edges(t, from, to)) return false;
    const ac_view v = ac_view_slice(t, from, to);
    const char *entity = mac_form(v) ? "MAC_ADDRESS" : ipv6_form(v) ? "IP_ADDRESS" : NULL;
    if (entity) *out = (scan_span){ from, to, entity, 0.6 };
    return entity != NULL;
}

/* ---- the pass ---- */

static ac_status add(scan_hits *h, const scan_span *s, size_t *floor, ac_err *err)
{
    const bool note = strcmp(s->entity, "URL") == 0;
    const ac_scan_hit hit = { AC_SCAN_PERSONAL, note ? AC_FIND_NOTE : AC_FIND_WARN, s->entity, s->from, s->to, s->score };
    if (!note) *floor = s->to;                               /* an address inside an URL counts, too */
    return ac_scan_hits_add(h, &hit, err);
}

static const uint8_t stops[256] = {
    ['0'] = 1, ['1'] = 1, ['2'] = 1, ['3'] = 1, ['4'] = 1, ['5'] = 1, ['6'] = 1, ['7'] = 1, ['8'] = 1, ['9'] = 1,
    ['@'] = 2, [':'] = 3,
};

ac_status ac_scan_personal(ac_view t, scan_hits *out, ac_err *err)
{
    const unsigned char *p = (const unsigned char *)t.ptr;
    size_t i = 0, floor = 0;
    while (i < t.len) {
        scan_span s;
        size_t next = i + 1;
        bool found = false;
        if (!stops[p[i]]) {
            i++;
            continue;
        }
        if (p[i] == '@') found = email(t, i, floor, &s);
        else if (p[i] == ':') {
            found = url(t, i, floor, &s);
            if (!found) found = hex_groups(t, i, floor, &s, &next);
        } else {
            found = ac_scan_number(t, i, &s) && s.from >= floor;
            while (next < t.len && scan_digit(t.ptr[next])) next++;
        }
        if (found) {
            const bool is_url = strcmp(s.entity, "URL") == 0;
            const ac_status st = add(out, &s, &floor, err);
            if (st) return st;
            next = is_url ? i + 3 : s.to;
        }
        i = next > i ? next : i + 1;
    }
    return AC_OK;
}
