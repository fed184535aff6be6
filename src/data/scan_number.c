/* Numbers that say something about a person, by form, check digits, and where those are weak by the words in front. */
#include <string.h>

#include "data/scan_int.h"

/* Digits from `at` on with single blanks or hyphens between them, as people write long numbers. */
typedef struct {
    char digit[40];
    size_t n, end;              /* digits; behind the last of them */
    unsigned n_groups;
    size_t group[12];           /* digits in each */
    char separator;             /* the same between all groups; '?': several sorts; 0: none */
    bool more;                  /* it goes on behind the limit */
} digits;

static void read_digits(ac_view t, size_t at, digits *d)
{
    memset(d, 0, sizeof *d);
    for (size_t i = at;;) {
        const size_t start = i;
        while (i < t.len && scan_digit(t.ptr[i]) && d->n < sizeof d->digit) d->digit[d->n++] = t.ptr[i++];
        if (d->n_groups == AC_COUNTOF(d->group) || d->n == sizeof d->digit) {
            d->more = true;
            return;
        }
        d->group[d->n_groups++] = i - start;
        d->end = i;
        if (i + 1 >= t.len || !(t.ptr[i] == ' ' || t.ptr[i] == '-') || !scan_digit(t.ptr[i + 1])) return;
        if (d->separator && d->separator != t.ptr[i]) d->separator = '?';
        else if (!d->separator) d->separator = t.ptr[i];
        i++;
    }
}

/* Part of a decimal, a longer number or a name? */
static bool stands_alone(ac_view t, size_t from, size_t to)
{
    if (!scan_edges(t, from, to)) return false;
    if (from > 1 && strchr(".,", t.ptr[from - 1]) && scan_digit(t.ptr[from - 2])) return false;
    return !(to + 1 < t.len && strchr(".,", t.ptr[to]) && scan_digit(t.ptr[to + 1]));
}

static bool is(scan_span *out, size_t from, size_t to, const char *entity, double score)
{
    *out = (scan_span){ from, to, entity, score };
    return true;
}

/* ---- payment cards ---- */

static unsigned prefix(const digits *d, size_t n)
{
    unsigned x = 0;
    for (size_t i = 0; i < n; i++) x = x * 10 + (unsigned)(d->digit[i] - '0');
    return x;
}

/* 2: issuer's prefix and length are its alone; 1: shared with other numbers; 0: no card. */
static int card_kind(const digits *d)
{
    const unsigned p2 = prefix(d, 2), p3 = prefix(d, 3), p4 = prefix(d, 4);
    if (d->n == 16 && d->digit[0] == '4') return 2;
    if (d->n == 16 && ((p2 >= 51 && p2 <= 55) || (p4 >= 2221 && p4 <= 2720))) return 2;
    if (d->n == 15 && (p2 == 34 || p2 == 37)) return 2;
    if (d->n == 16 && (p4 == 6011 || p2 == 65 || (p3 >= 644 && p3 <= 649) || (p4 >= 3528 && p4 <= 3589))) return 2;
    if (d->n == 14 && ((p3 >= 300 && p3 <= 305) || p2 == 36 || p2 == 38 || p2 == 39)) return 1;
    if ((d->n == 13 || d->n == 19) && d->digit[0] == '4') return 1;
    if (d->n >= 16 && d->n <= 19 && (p2 == 62 || p2 == 50 || (p2 >= 56 && p2 <= 69))) return 1;
    return 0;
}

static bool card_groups(const digits *d)
{
    if (d->n_groups == 1) return true;
    if (d->n == 15) return d->n_groups == 3 && d->group[0] == 4 && d->group[1] == 6 && d->group[2] == 5;
    if (d->n == 14) return d->n_groups == 3 && d->group[0] == 4 && d->group[1] == 6 && d->group[2] == 4;
    for (unsigned i = 0; i + 1 < d->n_groups; i++)
        if (d->group[i] != 4) return false;
    return d->group[d->n_groups - 1] <= 4;
}

static bool card(ac_view t, size_t at, const digits *d, scan_span *out)
{
    static const char words[] = "card|cards|credit|debit|visa|mastercard|amex|payment|cc|maestro|discover|unionpay|diners";
    const int kind = d->n >= 13 && d->n <= 19 && !d->more && d->separator != '?' ? card_kind(d) : 0;
    bool same = true;
    for (size_t i = 1; i < d->n; i++) same = same && d->digit[i] == d->digit[0];
    if (!kind || same || !card_groups(d) || !stands_alone(t, at, d->end)) return false;
    if (!ac_check_luhn((ac_view){ d->digit, d->n })) return false;
    if (kind == 1 && !ac_scan_before(t, at, 48, words)) return false;
    return is(out, at, d->end, "CREDIT_CARD", 1);
}

/* ---- numbers with letters in them ---- */

static bool iban(ac_view t, size_t at, scan_span *out)
{
    char compact[40];
    size_t n = 0, i = at - 2, end = 0;
    if (at < 2 || !scan_upper(t.ptr[at - 1]) || !scan_upper(t.ptr[at - 2]) || (at > 2 && scan_wordc(t.ptr[at - 3]))) return false;
    if (at + 1 >= t.len || !scan_digit(t.ptr[at + 1])) return false;
    while (i < t.len && n < 34 && !end) {
        const char c = t.ptr[i];
        if (scan_upper(c) || scan_digit(c)) compact[n++] = c;
        else if (!((c == ' ' || c == '-') && n % 4 == 0)) break;
        i++;
        if (n >= 15 && (i >= t.len || !scan_wordc(t.ptr[i])) && ac_check_iban((ac_view){ compact, n })) end = i;
    }
    return end && is(out, at - 2, end, "IBAN_CODE", 1);
}

static bool crypto(ac_view t, size_t at, scan_span *out)
{
    size_t from = at, to = at;
    const bool segwit = t.ptr[at] == '1' && at >= 2 && t.ptr[at - 1] == 'c' && t.ptr[at - 2] == 'b';
    if (segwit) from -= 2;
    else if (t.ptr[at] != '1' && t.ptr[at] != '3') return false;
    while (to < t.len && scan_alnum(t.ptr[to]) && to - from < 96) to++;
    if (to - from < 26 || !scan_edges(t, from, to)) return false;
    const ac_view v = ac_view_slice(t, from, to);
    return (segwit ? ac_check_bech32(v) : ac_check_base58(v)) && is(out, from, to, "CRYPTO", 1);
}

/* Two letters and seven digits; six letters and then ten more; eight digits and a letter. */
static bool with_letters(ac_view t, size_t at, const digits *d, scan_span *out)
{
    size_t letters = 0;
    while (letters < 7 && at > letters && scan_upper(t.ptr[at - 1 - letters])) letters++;
    if (letters == 2 && d->group[0] == 7 && scan_edges(t, at - 2, at + 7) && ac_check_dea(ac_view_slice(t, at - 2, at + 7)))
        return is(out, at - 2, at + 7, "MEDICAL_LICENSE", 0.8);
    if (letters == 6 && d->group[0] == 2 && at + 10 <= t.len && scan_edges(t, at - 6, at + 10)
        && ac_check_codice_fiscale(ac_view_slice(t, at - 6, at + 10)))
        return is(out, at - 6, at + 10, "IT_FISCAL_CODE", 1);
    if (letters == 0 && d->group[0] == 8 && at + 9 <= t.len && scan_upper(t.ptr[at + 8]) && scan_edges(t, at, at + 9)
        && ac_check_nif(ac_view_slice(t, at, at + 9)))
        return is(out, at, at + 9, "ES_NIF", 0.8);
    return false;
}

/* ---- addresses of machines ---- */

static bool ipv4(ac_view t, size_t at, scan_span *out)
{
    size_t i = at;
    unsigned octet[4];
    for (unsigned k = 0; k < 4; k++) {
        const size_t start = i;
        unsigned x = 0;
        while (i < t.len && scan_digit(t.ptr[i]) && i - start < 4) x = x * 10 + (unsigned)(t.ptr[i++] - '0');
        if (i == start || i - start > 3 || x > 255 || (i - start > 1 && t.ptr[start] == '0')) return false;
        octet[k] = x;
        if (k < 3 && (i >= t.len || t.ptr[i++] != '.')) return false;
    }
    if (!scan_edges(t, at, i) || (at > 1 && t.ptr[at - 1] == '.')) return false;
    if (i + 1 < t.len && t.ptr[i] == '.' && scan_digit(t.ptr[i + 1])) return false;
    if (octet[0] == 0 || octet[0] == 127 || octet[0] == 255 || octet[3] == 0) return false;   /* this host, masks, nets */
    const bool small = octet[0] < 20 && octet[1] < 20 && octet[2] < 20 && octet[3] < 20;
    if (small && ac_scan_before(t, at, 24, "version|versions|v|ver|release|section|clause|chapter|figure|table")) return false;
    const bool inside = octet[0] == 10 || (octet[0] == 192 && octet[1] == 168) || (octet[0] == 172 && octet[1] / 16 == 1);
    return is(out, at, i, "IP_ADDRESS", small || inside ? 0.4 : 0.6);
}

/* ---- numbers of offices ---- */

static bool ssn(ac_view t, size_t at, const digits *d, scan_span *out)
{
    if (d->n != 9 || d->more || d->separator == '?' || !stands_alone(t, at, d->end)) return false;
    const bool grouped = d->n_groups == 3 && d->group[0] == 3 && d->group[1] == 2;
    const bool said = ac_scan_before(t, at, 40, "ssn|ssns|social|itin|taxpayer");
    if (!(grouped && d->separator == '-') && !(said && (grouped || d->n_groups == 1))) return false;
    const unsigned area = prefix(d, 3);
    const unsigned group = (unsigned)(d->digit[3] - '0') * 10 + (unsigned)(d->digit[4] - '0');
    if (!memcmp(d->digit, "078051120", 9) || !memcmp(d->digit, "219099999", 9)) return false;     /* printed on samples */
    if (!memcmp(d->digit + 5, "0000", 4) || group == 0 || area == 0 || area == 666) return false;
    if (area < 900) return is(out, at, d->end, "US_SSN", said ? 0.85 : 0.6);
    const bool itin = (group >= 50 && group <= 65) || (group >= 70 && group <= 88) || (group >= 90 && group <= 99 && group != 93);
    return itin && is(out, at, d->end, "US_ITIN", said ? 0.85 : 0.5);
}

/* Forms that only the words in front tell. */
static bool by_context(ac_view t, size_t at, const digits *d, scan_span *out)
{
    size_t from = at, to = d->n_groups ? at + d->group[0] : at;
    while (from > 0 && at - from < 3 && scan_upper(t.ptr[from - 1])) from--;
    while (to < t.len && (scan_upper(t.ptr[to]) || scan_digit(t.ptr[to])) && to - from < 20) to++;
    const size_t n = to - from;
    if (!scan_edges(t, from, to)) from = to;
    if (from < to && n >= 6 && n <= 14 && ac_scan_before(t, from, 48, "license|licence|licenses|licences|dl")
        && ac_scan_before(t, from, 64, "driver|drivers|driving|dl"))
        return is(out, from, to, "US_DRIVER_LICENSE", 0.6);
    if (from < to && n >= 8 && n <= 9 && ac_scan_before(t, from, 40, "passport"))
        return is(out, from, to, "US_PASSPORT", 0.6);
    if (d->n == 10 && !d->more && stands_alone(t, at, d->end) && ac_scan_before(t, at, 40, "nhs")
        && ac_check_nhs((ac_view){ d->digit, d->n }))
        return is(out, at, d->end, "UK_NHS", 0.9);
    if (d->n == 9 && d->n_groups == 1 && scan_edges(t, at, d->end) && ac_scan_before(t, at, 32, "routing|aba")
        && ac_check_aba((ac_view){ d->digit, d->n }))
        return is(out, at, d->end, "ABA_ROUTING_NUMBER", 0.8);
    if (d->n >= 8 && d->n <= 17 && d->n_groups == 1 && scan_edges(t, at, d->end) && ac_scan_before(t, at, 32, "account|acct")
        && ac_scan_before(t, at, 48, "bank|checking|savings"))
        return is(out, at, d->end, "US_BANK_NUMBER", 0.6);
    return false;
}

bool ac_scan_number(ac_view t, size_t at, scan_span *out)
{
    digits d;
    if (at > 0 && scan_digit(t.ptr[at - 1])) return false;
    read_digits(t, at, &d);
    if (iban(t, at, out) || crypto(t, at, out)) return true;
    if (d.group[0] <= 3 && ipv4(t, at, out)) return true;
    if (with_letters(t, at, &d, out)) return true;
    if (d.n >= 13 && card(t, at, &d, out)) return true;
    if (d.n == 9 && ssn(t, at, &d, out)) return true;
    if (d.n >= 4 && by_context(t, at, &d, out)) return true;
    return ac_scan_phone(t, at, out);
}
