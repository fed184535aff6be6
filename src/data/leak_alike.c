/* Leaks in look-alike letters: a question in which some letters are those of another script (a Cyrillic a for a Latin one)
 * has other words, so the leak check does not see it. Texts with such words are written in Latin letters here, and checked once
 * more; what is found then only warns, for the lock's version of the checks counts what blocks.
 *
 * The table is short on purpose: one Latin letter for each that looks like it in ordinary type, upper and lower case apart
 * (a Cyrillic V looks like B, its small form like nothing), from Cyrillic, Greek and the phonetic letters. */
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "data/data_int.h"

/* Pairs of one character that is not ASCII and the letter that it looks like. */
static const struct {
    uint16_t cp;
    char looks;
} alike[] = {
    { 0x0131, 'i' }, { 0x0251, 'a' }, { 0x0261, 'g' },
    { 0x0391, 'A' }, { 0x0392, 'B' }, { 0x0395, 'E' }, { 0x0396, 'Z' }, { 0x0397, 'H' }, { 0x0399, 'I' }, { 0x039a, 'K' },
    { 0x039c, 'M' }, { 0x039d, 'N' }, { 0x039f, 'O' }, { 0x03a1, 'P' }, { 0x03a4, 'T' }, { 0x03a5, 'Y' }, { 0x03a7, 'X' },
    { 0x03b1, 'a' }, { 0x03b9, 'i' }, { 0x03ba, 'k' }, { 0x03bd, 'v' }, { 0x03bf, 'o' }, { 0x03c1, 'p' }, { 0x03c5, 'u' },
    { 0x03c7, 'x' }, { 0x03f2, 'c' }, { 0x03f3, 'j' },
    { 0x0405, 'S' }, { 0x0406, 'I' }, { 0x0408, 'J' }, { 0x0410, 'A' }, { 0x0412, 'B' }, { 0x0415, 'E' }, { 0x041a, 'K' },
    { 0x041c, 'M' }, { 0x041d, 'H' }, { 0x041e, 'O' }, { 0x0420, 'P' }, { 0x0421, 'C' }, { 0x0422, 'T' }, { 0x0423, 'Y' },
    { 0x0425, 'X' }, { 0x0430, 'a' }, { 0x0435, 'e' }, { 0x043a, 'k' }, { 0x043e, 'o' }, { 0x0440, 'p' }, { 0x0441, 'c' },
    { 0x0443, 'y' }, { 0x0445, 'x' }, { 0x0455, 's' }, { 0x0456, 'i' }, { 0x0458, 'j' }, { 0x0474, 'V' }, { 0x0475, 'v' },
    { 0x04ae, 'Y' }, { 0x04bb, 'h' }, { 0x04c0, 'I' }, { 0x04cf, 'l' }, { 0x0501, 'd' }, { 0x051a, 'Q' }, { 0x051b, 'q' },
    { 0x051c, 'W' }, { 0x051d, 'w' },
};

static char look_of(uint32_t cp)
{
    size_t from = 0, to = AC_COUNTOF(alike);
    while (from < to) {
        const size_t mid = (from + to) / 2;
        if (alike[mid].cp == cp) return alike[mid].looks;
        if (alike[mid].cp < cp) from = mid + 1;
        else to = mid;
    }
    return 0;
}

static bool is_latin(uint32_t c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool ascii_only(ac_view t)
{
    size_t i = 0;
    for (; i + 8 <= t.len; i += 8) {
        uint64_t x;
        memcpy(&x, t.ptr + i, 8);
        if (x & UINT64_C(0x8080808080808080)) return false;
    }
    for (; i < t.len; i++)
        if ((unsigned char)t.ptr[i] >= 0x80) return false;
    return true;
}

/* Is there a word of Latin letters and look-alikes? Without one nothing hides here: a text in another script is its own. */
static bool mixes(ac_view t)
{
    bool latin = false, other = false;
    if (ascii_only(t)) return false;
    for (size_t i = 0, n; i < t.len; i += n ? n : 1) {
        uint32_t c = 0;
        n = ac_utf8_decode(t.ptr + i, t.len - i, &c);
        const bool looks = n > 1 && look_of(c);
        if (!is_latin(c) && !looks) latin = other = false;
        latin = latin || is_latin(c);
        other = other || looks;
        if (latin && other) return true;
    }
    return false;
}

static ac_status in_latin(ac_view t, ac_arena *a, ac_view *out, ac_err *err)
{
    *out = t;
    if (ascii_only(t)) return AC_OK;
    char *to = ac_arena_alloc(a, t.len + 1);             /* never longer */
    size_t at = 0;
    if (!to) return ac_fail_nomem(err, t.len + 1);
    for (size_t i = 0, n; i < t.len; i += n) {
        uint32_t c = 0;
        n = ac_utf8_decode(t.ptr + i, t.len - i, &c);
        if (!n) n = 1;
        const char looks = n > 1 ? look_of(c) : 0;
        if (looks) to[at++] = looks;
        else {
            memcpy(to + at, t.ptr + i, n);
            at += n;
        }
    }
    *out = (ac_view){ to, at };
    return AC_OK;
}

/* ---- rows and cases ---- */

static bool row_mixes(const ac_row *r)
{
    for (size_t i = 0; i < r->n_messages; i++)
        if (mixes(r->message[i].content)) return true;
    return false;
}

static ac_status row_in_latin(ac_row *out, const ac_row *r, ac_arena *a, ac_err *err)
{
    ac_status st = AC_OK;
    *out = *r;
    out->message = ac_arena_alloc_array(a, r->n_messages + 1, sizeof *out->message);
    if (!out->message) return ac_fail_nomem(err, r->n_messages * sizeof *out->message);
    for (size_t i = 0; i < r->n_messages && !st; i++) {
        out->message[i] = r->message[i];
        st = in_latin(r->message[i].content, a, &out->message[i].content, err);
    }
    return st;
}

static ac_status cases_in_latin(ac_leak_text *out, const ac_leak_text *cases, size_t n, bool *any, ac_arena *a, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < n && !st; i++) {
        out[i] = cases[i];
        *any = *any || mixes(cases[i].prompt) || mixes(cases[i].context) || mixes(cases[i].answer);
        st = in_latin(cases[i].prompt, a, &out[i].prompt, err);
        if (!st) st = in_latin(cases[i].context, a, &out[i].context, err);
        if (!st) st = in_latin(cases[i].answer, a, &out[i].answer, err);
    }
    return st;
}

/* Rows that mix letters; all of them where a case does. */
static ac_status rows_in_latin(ac_row_file *out, const ac_row_file *rows, bool all, ac_arena *a, ac_err *err)
{
    ac_status st = AC_OK;
    size_t n = 0;
    *out = (ac_row_file){ .format = rows->format, .path = rows->path, .hash = rows->hash };
    for (size_t i = 0; i < rows->n; i++) n += all || row_mixes(&rows->row[i]);
    if (!n) return AC_OK;
    if (!(out->row = ac_arena_alloc_array(a, n, sizeof *out->row))) return ac_fail_nomem(err, n * sizeof *out->row);
    for (size_t i = 0; i < rows->n && !st; i++)
        if (all || row_mixes(&rows->row[i])) st = row_in_latin(&out->row[out->n++], &rows->row[i], a, err);
    return st;
}

static bool known(const ac_findings *f, const ac_finding *x)
{
    for (size_t i = 0; i < f->n; i++)
        if (f->finding[i].severity == AC_FIND_FAIL && f->finding[i].line_a == x->line_a && f->finding[i].line_b == x->line_b)
            return true;
    return false;
}

static ac_status add_new(ac_findings *f, const ac_findings *again, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < again->n && !st; i++) {
        const ac_finding *x = &again->finding[i];
        /* Cases against each other are another list's affair. */
        if (x->severity != AC_FIND_FAIL || strncmp(x->kind, "leak-", 5) != 0 || known(f, x)) continue;
        st = ac_finding_add(f, AC_FIND_WARN, "similar-alike", ac_hash_bytes(1, ac_view_of(x->id)), x->line_a, x->line_b, x->score,
                            err, "in letters of another script that look like Latin ones: %s", x->text);
        if (!st) f->finding[f->n - 1].path_b = x->path_b;
    }
    return st;
}

ac_status ac_leak_alike(ac_findings *f, const ac_leak_text *cases, size_t n_cases, const ac_row_file *rows, ac_err *err)
{
    ac_arena a = { 0 };
    ac_findings again = { 0 };
    ac_row_file some = { .n = 0 };
    bool all = false;
    ac_leak_text *own = ac_arena_alloc_array(&a, n_cases + 1, sizeof *own);
    ac_status st = own ? cases_in_latin(own, cases, n_cases, &all, &a, err) : ac_fail_nomem(err, n_cases * sizeof *own);
    if (!st) st = rows_in_latin(&some, rows, all, &a, err);
    if (!st && some.n) st = ac_leak_check(&again, own, n_cases, &some, NULL, err);
    if (!st) st = add_new(f, &again, err);
    ac_findings_release(&again);
    ac_arena_release(&a);
    return st;
}
