/* Characters that a person does not see, sees elsewhere, or takes for others. */
#include <stdio.h>
#include <string.h>
#include <utf8proc.h>

#include "data/scan_int.h"

typedef enum { OTHER, LATIN, CYRILLIC, GREEK } script;

static script script_of(uint32_t c)
{
    if ((c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z') || (c >= 0xc0 && c <= 0x24f && c != 0xd7 && c != 0xf7)
        || (c >= 0x1e00 && c <= 0x1eff)) return LATIN;
    if (c >= 0x400 && c <= 0x52f) return CYRILLIC;
    if (c >= 0x370 && c <= 0x3ff) return GREEK;
    return OTHER;
}

/* Letters that look like one of the other script: Cyrillic and Greek ones like Latin, and Latin ones like Cyrillic. */
static bool looks_alike(uint32_t c)
{
    static const uint16_t others[] = {
        0x405, 0x406, 0x408, 0x410, 0x412, 0x415, 0x41a, 0x41c, 0x41d, 0x41e, 0x420, 0x421, 0x422, 0x423, 0x425, 0x430, 0x435,
        0x43a, 0x43e, 0x440, 0x441, 0x443, 0x445, 0x455, 0x456, 0x458, 0x4ae, 0x4af, 0x4ba, 0x4bb, 0x4cf, 0x501, 0x51b, 0x51d,
        0x391, 0x392, 0x395, 0x396, 0x397, 0x399, 0x39a, 0x39c, 0x39d, 0x39f, 0x3a1, 0x3a4, 0x3a5, 0x3a7, 0x3bf,
    };
    if (c < 0x80) return strchr("aceopxyikABCEHKMOPTXSIJ", (int)c) != NULL && c;
    for (size_t i = 0; i < AC_COUNTOF(others); i++)
        if (others[i] == c) return true;
    return false;
}

/* The word in hand. */
typedef struct {
    unsigned n[4], alike[4];            /* letters of each script, and those that look like another's */
    size_t at[4];                       /* the first of those */
    uint32_t first[4];
} word;

static void mark(ac_unicode_mark *m, size_t at, uint32_t c)
{
    if (m->n++ == 0) {
        m->at = at;
        m->first = c;
    }
}

/* Latin with a few letters of another script that all pass for Latin ones, or the other way round. SMS with a Russian
 * ending has letters that pass for nothing, and is none. */
static void end_word(word *w, ac_unicode_mark out[AC_UNI_COUNT])
{
    for (int s = CYRILLIC; s <= GREEK; s++) {
        if (!w->n[LATIN] || !w->n[s]) continue;
        const int few = w->n[s] <= w->n[LATIN] ? s : LATIN;
        if (w->alike[few] == w->n[few] && (few != LATIN || s == CYRILLIC))
            mark(&out[AC_UNI_MIXED], w->at[few], w->first[few]);
    }
    memset(w, 0, sizeof *w);
}

static void letter(word *w, size_t at, uint32_t c, ac_unicode_mark out[AC_UNI_COUNT])
{
    const script s = script_of(c);
    const bool part = s != OTHER || (c >= 0x300 && c <= 0x36f);
    if (!part) {
        if (w->n[LATIN] || w->n[CYRILLIC] || w->n[GREEK]) end_word(w, out);
        return;
    }
    w->n[s]++;
    if (looks_alike(c) && w->alike[s]++ == 0) {
        w->at[s] = at;
        w->first[s] = c;
    }
}

/* Where joiners belong: Arabic and Indic scripts, and between the parts of an emoji. */
static bool takes_joiners(uint32_t c)
{
    return (c >= 0x600 && c <= 0x8ff) || (c >= 0x900 && c <= 0xdff) || (c >= 0x1000 && c <= 0x109f)
           || (c >= 0x1780 && c <= 0x18af) || (c >= 0x2190 && c <= 0x2bff) || c == 0xfe0f || c == 0x3030 || c == 0x303d
           || (c >= 0x1f000 && c <= 0x1ffff);
}

static bool right_to_left(uint32_t c)
{
    return (c >= 0x590 && c <= 0x8ff) || (c >= 0xfb1d && c <= 0xfdff) || (c >= 0xfe70 && c <= 0xfefc);
}

typedef struct {
    uint32_t before;                    /* the character in front */
    unsigned selectors;                 /* variation selectors in a row */
    bool flag;                          /* behind a black flag: tags are its region */
    bool rtl_known, rtl;
    word w;
} walk;

static bool has_rtl(walk *k, ac_view t)
{
    for (size_t i = 0; !k->rtl_known && i < t.len && !k->rtl;) {
        uint32_t c = 0;
        const size_t n = ac_utf8_decode(t.ptr + i, t.len - i, &c);
        k->rtl = n && right_to_left(c);
        i += n ? n : 1;
    }
    k->rtl_known = true;
    return k->rtl;
}

static bool is_selector(uint32_t c)
{
    return (c >= 0xfe00 && c <= 0xfe0f) || (c >= 0xe0100 && c <= 0xe01ef);
}

/* Many selectors in a row, or rare ones behind nothing that has variants, carry bytes and no form. */
static bool hidden(const walk *k, uint32_t c)
{
    const bool tag = c >= 0xe0000 && c <= 0xe007f;
    if (tag && !k->flag) return true;
    if (is_selector(c) && k->selectors >= 1) return true;
    if (c >= 0xe0100 && c <= 0xe01ef && k->before < 0x2e80) return true;
    return (c >= 0x202a && c <= 0x202e) || (c >= 0x2066 && c <= 0x2069);
}

static bool invisible(walk *k, ac_view t, uint32_t c, uint32_t after)
{
    switch (c) {
    case 0x200c: case 0x200d: return !(takes_joiners(k->before) || takes_joiners(after));
    case 0x200e: case 0x200f: case 0x061c: return !has_rtl(k, t);
    case 0x00ad: case 0x034f: case 0x115f: case 0x1160: case 0x17b4: case 0x17b5: case 0x180e: case 0x200b: case 0x2800:
    case 0x3164: case 0xfeff: case 0xffa0: return true;
    default: return (c >= 0x2060 && c <= 0x2064) || (c >= 0x206a && c <= 0x206f) || (c >= 0xfff9 && c <= 0xfffb);
    }
}

static bool noncharacter(uint32_t c)
{
    return (c >= 0xfdd0 && c <= 0xfdef) || (c & 0xfffe) == 0xfffe;
}

/* NFC would write c otherwise, or join it with the one in front. */
static bool not_composed(uint32_t before, uint32_t c)
{
    const utf8proc_property_t *p = utf8proc_get_property((utf8proc_int32_t)c);
    utf8proc_int32_t pair[2] = { (utf8proc_int32_t)before, (utf8proc_int32_t)c };
    const utf8proc_option_t compose = (utf8proc_option_t)(UTF8PROC_STABLE | UTF8PROC_COMPOSE);
    if (c >= 0xac00 && c <= 0xd7a3) return false;
    if (before && (p->combining_class || (c >= 0x1161 && c <= 0x11c2)) && utf8proc_normalize_utf32(pair, 2, compose) == 1)
        return true;
    if (p->decomp_type || p->decomp_seqindex == UINT16_MAX) return false;       /* compatibility only, or none */
    utf8proc_int32_t part[8];
    int last = 0;
    utf8proc_ssize_t n = utf8proc_decompose_char((utf8proc_int32_t)c, part, 8, UTF8PROC_DECOMPOSE, &last);
    if (n < 1 || n > 8) return false;
    n = utf8proc_normalize_utf32(part, n, compose);
    return n != 1 || part[0] != (utf8proc_int32_t)c;
}

static void beyond_ascii(walk *k, ac_view t, size_t at, uint32_t c, uint32_t after, ac_unicode_mark out[AC_UNI_COUNT])
{
    if (hidden(k, c)) mark(&out[AC_UNI_HIDDEN], at, c);
    else if (invisible(k, t, c, after)) mark(&out[AC_UNI_INVISIBLE], at, c);
    else if (c == 0xfffd) mark(&out[AC_UNI_REPLACEMENT], at, c);
    else if (c < 0xa0 || noncharacter(c)) mark(&out[AC_UNI_CONTROL], at, c);
    else if ((c >= 0xe000 && c <= 0xf8ff) || c >= 0xf0000) mark(&out[AC_UNI_PRIVATE], at, c);
    else if (not_composed(k->before, c)) mark(&out[AC_UNI_NOT_NFC], at, c);
    k->selectors = is_selector(c) ? k->selectors + 1 : 0;
    k->flag = c == 0x1f3f4 || (k->flag && c >= 0xe0000 && c <= 0xe007f);
}

/* Most texts are plain: found out eight bytes at a time. */
static bool plain(ac_view t)
{
    size_t i = 0;
    for (; i + 8 <= t.len; i += 8) {
        uint64_t x;
        memcpy(&x, t.ptr + i, 8);
        const uint64_t low = (x - UINT64_C(0x2020202020202020)) & ~x;          /* a byte under 0x20 */
        const uint64_t del = (x ^ UINT64_C(0x7f7f7f7f7f7f7f7f)) - UINT64_C(0x0101010101010101);
        if ((x | low | del) & UINT64_C(0x8080808080808080)) return false;
    }
    for (; i < t.len; i++)
        if ((unsigned char)t.ptr[i] < 0x20 || (unsigned char)t.ptr[i] >= 0x7f) return false;
    return true;
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

static void scan_ascii(ac_view t, ac_unicode_mark out[AC_UNI_COUNT])
{
    for (size_t i = 0; i < t.len; i++) {
        const unsigned char c = (unsigned char)t.ptr[i];
        if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) mark(&out[AC_UNI_CONTROL], i, c);
    }
}

void ac_unicode_scan(ac_view t, ac_unicode_mark out[AC_UNI_COUNT])
{
    walk k = { 0 };
    memset(out, 0, AC_UNI_COUNT * sizeof *out);
    if (plain(t)) return;
    if (ascii_only(t)) {
        scan_ascii(t, out);
        return;
    }
    for (size_t i = 0; i < t.len;) {
        uint32_t c = 0, after = 0;
        const size_t n = ac_utf8_decode(t.ptr + i, t.len - i, &c);
        if (!n) {
            mark(&out[AC_UNI_REPLACEMENT], i, 0xfffd);
            c = 0xfffd;
        } else if (c < 0x80) {
            if ((c < 0x20 && c != '\t' && c != '\n' && c != '\r') || c == 0x7f) mark(&out[AC_UNI_CONTROL], i, c);
            k.selectors = 0;
            k.flag = false;
        } else {
            if (i + n < t.len && !ac_utf8_decode(t.ptr + i + n, t.len - i - n, &after)) after = 0;
            beyond_ascii(&k, t, i, c, after, out);
        }
        letter(&k.w, i, c, out);
        k.before = c;
        i += n ? n : 1;
    }
    end_word(&k.w, out);
}

const char *ac_unicode_what(ac_unicode_kind kind)
{
    static const char *const what[AC_UNI_COUNT] = {
        [AC_UNI_HIDDEN] = "which hides or reorders text; remove it",
        [AC_UNI_INVISIBLE] = "which cannot be seen, usually an accident of copying",
        [AC_UNI_CONTROL] = "a control character or noncharacter, usually an accident of copying",
        [AC_UNI_REPLACEMENT] = "in place of a character that was lost on the way here",
        [AC_UNI_PRIVATE] = "which is for private use: no two fonts agree on it",
        [AC_UNI_MIXED] = "a look-alike from another script inside a word",
        [AC_UNI_NOT_NFC] = "which is not in composed form (NFC): the same word has two spellings",
    };
    return what[kind];
}

static size_t line_at(ac_view text, size_t at)
{
    size_t line = 1;
    for (size_t i = 0; i < at && i < text.len; i++) line += text.ptr[i] == '\n';
    return line;
}

/* line 0: a document, in which it is counted, and `what` is its path. */
static ac_status report(ac_findings *f, ac_severity hidden, ac_view text, uint64_t identity, size_t line, const char *what,
                        ac_err *err)
{
    ac_unicode_mark m[AC_UNI_COUNT];
    ac_status st = AC_OK;
    ac_unicode_scan(text, m);
    for (int k = 0; k < AC_UNI_COUNT && !st; k++) {
        if (!m[k].n) continue;
        const char *kind = k == AC_UNI_HIDDEN ? "unicode-hidden" : k == AC_UNI_MIXED ? "unicode-mixed"
            : k == AC_UNI_NOT_NFC ? "unicode-nfc" : "unicode";
        const size_t at = line ? line : line_at(text, m[k].at);
        char more[48] = "", place[32] = "";
        if (m[k].n > 1) (void)snprintf(more, sizeof more, " (%zu such in all)", m[k].n);
        if (!line) (void)snprintf(place, sizeof place, ":%zu", at);
        st = ac_finding_add(f, k == AC_UNI_HIDDEN ? hidden : AC_FIND_WARN, kind, identity + ((uint64_t)k << 32), at, 0,
                            (double)m[k].n, err, "%s%s holds U+%04X, %s%s", what, place, m[k].first,
                            ac_unicode_what((ac_unicode_kind)k), more);
    }
    return st;
}

ac_status ac_text_unicode(ac_findings *f, ac_severity hidden, ac_view text, uint64_t identity, size_t line, const char *what,
                          ac_err *err)
{
    return report(f, hidden, text, identity, line ? line : 1, what, err);
}

ac_status ac_document_unicode(ac_findings *f, ac_severity hidden, ac_view text, const char *path, ac_err *err)
{
    return report(f, hidden, text, ac_hash_bytes(11, text), 0, path, err);
}

ac_status ac_row_unicode(ac_findings *f, const ac_row *r, uint64_t row_hash, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < r->n_messages && !st; i++) {
        char what[64];
        (void)snprintf(what, sizeof what, "line %zu: turn %zu", r->line, i + 1);
        st = report(f, AC_FIND_FAIL, r->message[i].content, row_hash + i, r->line, what, err);
    }
    return st;
}
