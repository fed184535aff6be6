/* Telephone numbers. Few forms are theirs alone; the others need a word beside them that says what they are. */
#include <string.h>

#include "data/scan_int.h"

#define MAX_GROUPS 9u

typedef struct {
    size_t from, to;                    /* with + and ( */
    size_t digits_from, digits_to;      /* without an extension */
    unsigned n, n_groups;               /* digits, groups of them */
    unsigned len[MAX_GROUPS];
    size_t start[MAX_GROUPS];
    char sep[MAX_GROUPS];               /* in front of the group; ')' before one that follows a closed area code */
    unsigned paren;                     /* the group in parentheses plus one; 0: none */
    bool plus, ext, more;
} phone;

static bool is_sep(char c)
{
    return c == ' ' || c == '-' || c == '.' || c == '/';
}

/* Digits and at most one separator, or an area code in parentheses, until something else. */
static void read_groups(ac_view t, size_t i, phone *p)
{
    bool open = false;
    char sep = 0;
    if (i < t.len && t.ptr[i] == '+') i++;
    if (i < t.len && t.ptr[i] == '(') {
        open = true;
        i++;
    }
    for (;;) {
        const size_t start = i;
        while (i < t.len && scan_digit(t.ptr[i]) && i - start < 20) i++;
        if (i == start) return;
        if (p->n_groups == MAX_GROUPS || i - start == 20) {
            p->more = true;
            return;
        }
        p->start[p->n_groups] = start;
        p->sep[p->n_groups] = sep;
        p->len[p->n_groups++] = (unsigned)(i - start);
        p->n += (unsigned)(i - start);
        p->digits_to = p->to = i;
        sep = 0;
        if (open) {
            open = false;
            if (i >= t.len || t.ptr[i] != ')') return;
            p->paren = p->n_groups;
            p->to = ++i;
            sep = ')';
            if (i < t.len && is_sep(t.ptr[i])) i++;
        } else if (i < t.len && is_sep(t.ptr[i])) sep = t.ptr[i++];
        if (i < t.len && t.ptr[i] == '(' && !p->paren && p->n_groups == 1) {
            open = true;
            sep = '(';
            i++;
        }
        if (i >= t.len || !scan_digit(t.ptr[i]) || !sep) return;
    }
}

/* x123, ext. 123: digits that belong to it. */
static void read_extension(ac_view t, phone *p)
{
    size_t i = p->to, from;
    while (i < t.len && t.ptr[i] == ' ' && i - p->to < 2) i++;
    if (i + 3 < t.len && (t.ptr[i] == 'e' || t.ptr[i] == 'E') && (t.ptr[i + 1] == 'x' || t.ptr[i + 1] == 'X')
        && (t.ptr[i + 2] == 't' || t.ptr[i + 2] == 'T')) i += 3;
    else if (i < t.len && (t.ptr[i] == 'x' || t.ptr[i] == 'X')) i++;
    else return;
    if (i < t.len && t.ptr[i] == '.') i++;
    if (i < t.len && t.ptr[i] == ' ') i++;
    for (from = i; i < t.len && scan_digit(t.ptr[i]);) i++;
    if (i == from || i - from > 6 || (i < t.len && scan_wordc(t.ptr[i]))) return;
    p->ext = true;
    p->to = i;
}

static bool all_seps(const phone *p, unsigned from, char c)
{
    for (unsigned i = from; i < p->n_groups; i++)
        if (p->sep[i] != c) return false;
    return true;
}

static unsigned number_of(ac_view t, const phone *p, unsigned group)
{
    unsigned x = 0;
    for (unsigned i = 0; i < p->len[group] && i < 8; i++) x = x * 10 + (unsigned)(t.ptr[p->start[group] + i] - '0');
    return x;
}

/* 2023-10-15, 15.10.2023, 10/15/23 4: no number to call. */
static bool is_date(ac_view t, const phone *p)
{
    if (p->n_groups < 3 || p->paren) return false;
    const unsigned a = number_of(t, p, 0), b = number_of(t, p, 1), c = number_of(t, p, 2);
    const bool year_first = p->len[0] == 4 && a >= 1000 && a <= 2999 && p->len[1] <= 2 && p->len[2] <= 2 && b <= 12 && c <= 31;
    const bool year_last = p->len[2] == 4 && c >= 1000 && c <= 2999 && p->len[0] <= 2 && p->len[1] <= 2 && a <= 31 && b <= 31;
    return year_first || year_last;
}

/* 1900-1920, 1000/200: two numbers. */
static bool is_pair(ac_view t, const phone *p)
{
    if (p->plus || p->paren) return false;
    for (unsigned i = 1; i < p->n_groups; i++)
        if (p->sep[i] == '/' && t.ptr[p->start[0]] != '0') return true;
    return p->n_groups == 2 && p->len[0] == 4 && p->len[1] == 4 && t.ptr[p->start[0]] <= '2' && t.ptr[p->start[1]] <= '2';
}

/* Nothing of a larger number, a sum or a name may touch it. */
static bool clear_around(ac_view t, const phone *p)
{
    if (p->more) return false;
    if (p->from > 0) {
        const char c = t.ptr[p->from - 1];
        if (scan_wordc(c) || c == '$' || c == '\\' || c == '+' || c == '*') return false;
        if (p->from > 1 && strchr(".,-/:", c) && scan_digit(t.ptr[p->from - 2])) return false;
        if (p->from > 1 && (unsigned char)c >= 0x80 && strchr("\xa3\xa5\xac", c)) return false;      /* pound, yen, euro */
    }
    if (p->to < t.len) {
        const char c = t.ptr[p->to];
        if (scan_wordc(c) || c == '%') return false;
        if (p->to + 1 < t.len && strchr(".,-/:", c) && scan_digit(t.ptr[p->to + 1])) return false;
    }
    return true;
}

/* Three, three and four digits, as in North America, with its country code or without. */
static bool is_nanp(ac_view t, const phone *p)
{
    const unsigned k = p->n_groups;
    if (k < 3 || k > 4 || p->len[k - 1] != 4 || p->len[k - 2] != 3 || p->len[k - 3] != 3) return false;
    if (k == 4 && number_of(t, p, 0) != 1) return false;
    if (k == 4 && p->len[0] > 3) return false;
    const bool dashes = p->sep[k - 1] == '-' && (p->sep[k - 2] == '-' || p->sep[k - 2] == ')');
    const bool points = p->sep[k - 1] == '.' && p->sep[k - 2] == '.';
    const bool area = p->paren && p->sep[k - 2] == ')' && strchr("- .", p->sep[k - 1]);
    return (dashes || points || area) && t.ptr[p->start[k - 3]] >= '2';
}

static double by_form(ac_view t, const phone *p)
{
    const char first = t.ptr[p->start[0]];
    if (p->plus && p->n >= 8 && p->n <= 15 && first != '0' && (p->n_groups > 1 || p->n >= 10)) return 0.7;
    if (is_nanp(t, p)) return 0.6;
    if (p->ext && p->n >= 9 && p->n_groups > 1) return 0.6;
    if (p->paren == 1 && p->n_groups > 1 && p->n >= 8 && p->n <= 12 && first == '0' && p->len[0] >= 2) return 0.5;
    if (p->n >= 11 && p->n <= 15 && p->n_groups >= 3 && first == '0' && p->len[0] >= 3 && t.ptr[p->start[0] + 1] == '0'
        && all_seps(p, 1, p->sep[1])) return 0.5;
    return 0;
}

static bool by_words(ac_view t, const phone *p)
{
    static const char strong[] = "phone|phones|telephone|tel|mobile|cell|cellphone|fax|whatsapp|hotline|voicemail|sms|dial";
    static const char weak[] = "call|calls|called|calling|desk|office|contact|reach|ring|text";
    if (p->n < 7 || p->n > 15 || is_date(t, p) || is_pair(t, p)) return false;
    if (p->n_groups > 1 && p->len[p->n_groups - 1] < 2) return false;             /* 1-1000181-1 is a number of something */
    if (ac_scan_before(t, p->from, 32, strong) || ac_scan_after(t, p->to, 12, strong)) return true;
    return p->n_groups > 1 && (ac_scan_before(t, p->from, 32, weak) || ac_scan_after(t, p->to, 10, "office|home|work|desk"));
}

bool ac_scan_phone(ac_view t, size_t at, scan_span *out)
{
    phone p = { .from = at, .digits_from = at };
    if (p.from > 0 && t.ptr[p.from - 1] == '(') p.from--;
    if (p.from > 0 && t.ptr[p.from - 1] == '+' && (p.from < 2 || !(scan_wordc(t.ptr[p.from - 2]) || t.ptr[p.from - 2] == ')'))) {
        p.from--;
        p.plus = true;
    }
    read_groups(t, p.from, &p);
    if (p.n < 7 || p.n > 15) return false;
    read_extension(t, &p);
    if (t.ptr[p.from] == '(' && !p.paren) p.from++;              /* the parenthesis is the sentence's */
    if (!clear_around(t, &p)) return false;
    double score = is_date(t, &p) ? 0 : by_form(t, &p);
    const bool said = by_words(t, &p);
    if (score <= 0 && !said) return false;
    score = score <= 0 ? 0.5 : said ? 0.85 : score;
    *out = (scan_span){ p.from, p.to, "PHONE_NUMBER", score };
    return true;
}
