/* What the texts themselves show: versions, forms, words. */
#include <string.h>

#include "base/hash.h"
#include "formats/json.h"
#include "plan/triage.h"

static bool is_digit(char c)
{
    return c >= '0' && c <= '9';
}

static bool is_letter(char c)
{
    return (c >= 'a' && c <= 'z') || (c >= 'A' && c <= 'Z');
}

static bool is_word(char c)
{
    return is_digit(c) || is_letter(c) || (unsigned char)c >= 0x80;
}

static char lower(char c)
{
    return c >= 'A' && c <= 'Z' ? (char)(c - 'A' + 'a') : c;
}

/* ---- versions and dates ---- */

/* "1.4.2" or longer from i; *end is behind it. Two numbers alone are as likely a price. */
static size_t dotted(ac_view t, size_t i, size_t *end)
{
    size_t parts = 0;
    while (i < t.len && is_digit(t.ptr[i])) {
        while (i < t.len && is_digit(t.ptr[i])) i++;
        parts++;
        *end = i;
        if (i + 1 >= t.len || t.ptr[i] != '.' || !is_digit(t.ptr[i + 1])) break;
        i++;
    }
    return parts;
}

/* 2026-01-31 or 2026/01/31, a year from 1900 to 2199. */
static bool iso_date(ac_view t, size_t i)
{
    static const char form[] = "dddd-dd-dd";
    if (i + 10 > t.len) return false;
    for (size_t k = 0; k < 10; k++) {
        const char c = t.ptr[i + k];
        if (form[k] == 'd' ? !is_digit(c) : c != '-' && c != '/') return false;
    }
    return (t.ptr[i] == '1' && t.ptr[i + 1] == '9') || (t.ptr[i] == '2' && (t.ptr[i + 1] == '0' || t.ptr[i + 1] == '1'));
}

static bool word_is(ac_view t, size_t from, size_t to, const char *const *list, size_t n)
{
    for (size_t k = 0; k < n; k++) {
        if (strlen(list[k]) != to - from) continue;
        size_t i = 0;
        while (i < to - from && lower(t.ptr[from + i]) == list[k][i]) i++;
        if (i == to - from) return true;
    }
    return false;
}

/* The word that ends in front of i, blanks between left out. */
static void word_before(ac_view t, size_t i, size_t *from, size_t *to)
{
    while (i > 0 && t.ptr[i - 1] == ' ') i--;
    *to = i;
    while (i > 0 && is_letter(t.ptr[i - 1])) i--;
    *from = i;
}

static bool month_date(ac_view t, size_t start)
{
    static const char *const months[] = { "january", "february", "march", "april", "may", "june", "july", "august",
                                          "september", "october", "november", "december" };
    size_t from, to;
    if (start + 4 > t.len) return false;
    for (size_t k = 0; k < 4; k++)
        if (!is_digit(t.ptr[start + k])) return false;
    if (start + 4 < t.len && is_digit(t.ptr[start + 4])) return false;
    size_t i = start;
    while (i > 0 && (t.ptr[i - 1] == ' ' || t.ptr[i - 1] == ',' || is_digit(t.ptr[i - 1]))) i--;   /* "31, " of "May 31, 2026" */
    word_before(t, i, &from, &to);
    return to > from && word_is(t, from, to, months, AC_COUNTOF(months));
}

static bool named(ac_view t, size_t i)
{
    static const char *const names[] = { "version", "release", "revision", "ver", "build" };
    size_t from, to;
    word_before(t, i, &from, &to);
    return to > from && word_is(t, from, to, names, AC_COUNTOF(names));
}

bool ac_text_names_version(ac_view t)
{
    for (size_t i = 0; i < t.len; i++) {
        if (!is_digit(t.ptr[i]) || (i && (is_digit(t.ptr[i - 1]) || t.ptr[i - 1] == '.'))) continue;
        size_t end = i;
        const size_t parts = dotted(t, i, &end);
        const bool v = i && lower(t.ptr[i - 1]) == 'v' && (i == 1 || !is_word(t.ptr[i - 2]));
        const bool apart = i == 0 || !is_word(t.ptr[i - 1]);
        /* Four numbers are an address of the Internet. */
        if (v || (apart && parts == 3)) return true;
        if (parts == 2 && apart && end + 2 < t.len && t.ptr[end] == '-' && is_letter(t.ptr[end + 1])) return true;
        if (apart && (iso_date(t, i) || month_date(t, i) || named(t, i))) return true;
    }
    return false;
}

/* ---- forms ---- */

typedef struct {
    uint64_t key;
    const char *name;
} form;

static uint64_t mix(uint64_t h, const void *p, size_t n)
{
    const unsigned char *c = p;
    for (size_t i = 0; i < n; i++) h = (h ^ c[i]) * 0x100000001b3u;      /* FNV-1a */
    return h;
}

#define FNV_START 0xcbf29ce484222325u

/* Keys of an object whatever their order; 0: the text is no JSON object. */
static uint64_t object_keys(ac_view t, const char **name, ac_arena *a)
{
    ac_arena own = { 0 };
    const ac_json *v = NULL;
    uint64_t sum = 1;
    if (ac_json_parse(&v, t, &own, "target", 1, NULL, NULL) || v->type != AC_JSON_OBJECT) {
        ac_arena_release(&own);
        return 0;
    }
    for (const ac_json *c = v->child; c; c = c->next) sum += mix(FNV_START, c->key.ptr, c->key.len);
    *name = ac_arena_printf(a, "a JSON object with the same %u keys", v->n);
    ac_arena_release(&own);
    return sum ? sum : 1;
}

static size_t count_words(ac_view t)
{
    size_t n = 0;
    for (size_t i = 0; i < t.len; i++)
        if (is_word(t.ptr[i]) && (i == 0 || !is_word(t.ptr[i - 1]))) n++;
    return n;
}

static bool is_list(ac_view t)
{
    size_t i = 0;
    if (t.len > 2 && (t.ptr[0] == '-' || t.ptr[0] == '*') && t.ptr[1] == ' ') return true;
    while (i < t.len && is_digit(t.ptr[i])) i++;
    return i > 0 && i + 1 < t.len && (t.ptr[i] == '.' || t.ptr[i] == ')') && t.ptr[i + 1] == ' ';
}

static form form_of(ac_view text, ac_arena *a)
{
    const ac_view t = ac_view_trim(text);
    form f = { 0, NULL };
    if (t.len && t.ptr[0] == '{' && (f.key = object_keys(t, &f.name, a))) return f;
    if (ac_view_starts(t, AC_VIEW("```"))) {
        size_t end = ac_view_find(t, AC_VIEW("\n"), 0);
        if (end == SIZE_MAX) end = t.len;
        return (form){ mix(FNV_START + 2, t.ptr, end), "a fenced block" };
    }
    if (is_list(t)) return (form){ 2, "a list" };
    if (count_words(t) <= 3 && ac_view_find(t, AC_VIEW("\n"), 0) == SIZE_MAX) return (form){ 3, "a label of up to three words" };
    size_t end = 0;
    while (end < t.len && is_word(t.ptr[end])) end++;
    uint64_t h = FNV_START + 1;
    for (size_t i = 0; i < end; i++) {
        const char c = lower(t.ptr[i]);
        h = mix(h, &c, 1);
    }
    f.key = h;
    f.name = ac_arena_printf(a, "texts that begin with \"%.*s\"", (int)(end < 24 ? end : 24), t.ptr);
    return f;
}

static void sort_forms(form *f, size_t n)
{
    for (size_t gap = n / 2; gap; gap /= 2)                              /* Shell's; rows are at most some millions */
        for (size_t i = gap; i < n; i++) {
            const form x = f[i];
            size_t k = i;
            for (; k >= gap && f[k - gap].key > x.key; k -= gap) f[k] = f[k - gap];
            f[k] = x;
        }
}

/* Longest run of one key in a sorted list. */
static size_t longest_run(const form *f, size_t n, size_t *at)
{
    size_t best = 0;
    for (size_t i = 0; i < n;) {
        size_t k = i;
        while (k < n && f[k].key == f[i].key) k++;
        if (k - i > best) {
            best = k - i;
            *at = i;
        }
        i = k;
    }
    return best;
}

static size_t run_of(const form *sorted, size_t n, uint64_t key)
{
    size_t lo = 0, hi = n;
    while (lo < hi) {
        const size_t mid = lo + (hi - lo) / 2;
        if (sorted[mid].key < key) lo = mid + 1;
        else hi = mid;
    }
    size_t k = lo;
    while (k < n && sorted[k].key == key) k++;
    return k - lo;
}

ac_status ac_text_form_share(double *share, const char **name, const ac_view *target, size_t n, ac_arena *a, ac_err *err)
{
    form *forms = ac_arena_alloc_array(a, n + 1, sizeof *forms), *whole = ac_arena_alloc_array(a, n + 1, sizeof *whole);
    form *own = ac_arena_alloc_array(a, n + 1, sizeof *own);
    if (!forms || !whole || !own) return ac_fail_nomem(err, n * 3 * sizeof *forms);
    for (size_t i = 0; i < n; i++) {
        const ac_view t = ac_view_trim(target[i]);
        own[i] = forms[i] = form_of(target[i], a);
        if (!forms[i].name) return ac_fail_nomem(err, 64);
        whole[i] = (form){ mix(FNV_START, t.ptr, t.len), "" };
    }
    sort_forms(forms, n);
    sort_forms(whole, n);
    size_t at = 0, like = 0;
    const size_t fixed = n / 100 > 3 ? n / 100 : 3;
    (void)longest_run(forms, n, &at);
    for (size_t i = 0; i < n; i++) {
        const ac_view t = ac_view_trim(target[i]);
        like += own[i].key == forms[at].key || run_of(whole, n, mix(FNV_START, t.ptr, t.len)) >= fixed;
    }
    *share = n ? (double)like / (double)n : 0;
    *name = n ? forms[at].name : "nothing";
    return AC_OK;
}

ac_status ac_text_words(ac_str *out, ac_view t, ac_err *err)
{
    ac_str_append_char(out, ' ');
    for (size_t i = 0; i < t.len;) {
        if (!is_word(t.ptr[i])) {
            i++;
            continue;
        }
        while (i < t.len && is_word(t.ptr[i])) ac_str_append_char(out, lower(t.ptr[i++]));
        ac_str_append_char(out, ' ');
    }
    return ac_str_ok(out) ? AC_OK : ac_fail_nomem(err, out->len);
}
