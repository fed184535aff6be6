/* Check digits and checksums, by which a number is told from one that only looks like it. */
#include <string.h>

#include "base/hash.h"
#include "data/scan_int.h"

bool ac_check_luhn(ac_view d)
{
    unsigned sum = 0;
    for (size_t i = 0; i < d.len; i++) {
        unsigned x = (unsigned)(d.ptr[d.len - 1 - i] - '0');
        if (i & 1) x = x * 2 > 9 ? x * 2 - 9 : x * 2;
        sum += x;
    }
    return d.len > 0 && sum % 10 == 0;
}

/* Country and length, from the register of ISO 13616. */
static const char iban_lengths[] =
    "AD24AE23AL28AT20AZ28BA20BE16BG22BH22BI27BR29BY28CH21CR22CY28CZ24DE22DJ27DK18DO28EE20EG29ES24FI18FK18FO18FR27GB22"
    "GE22GI23GL18GR27GT28HN28HR21HU28IE22IL23IQ23IS26IT27JO30KW30KZ20LB28LC32LI21LT20LU20LV21LY25MC27MD24ME22MK19MN20"
    "MR27MT31MU30NI28NL18NO15OM23PK24PL28PS29PT25QA29RO24RS22RU33SA24SC31SD18SE24SI19SK24SM27SO23ST25SV28TL23TN24TR26"
    "UA29VA22VG24XK20YE30";

bool ac_check_iban(ac_view v)
{
    size_t want = 0;
    unsigned rest = 0;
    for (const char *p = iban_lengths; v.len >= 4 && *p && !want; p += 4)
        if (p[0] == v.ptr[0] && p[1] == v.ptr[1]) want = (size_t)(p[2] - '0') * 10 + (size_t)(p[3] - '0');
    if (!want || v.len != want) return false;
    for (size_t i = 0; i < v.len; i++) {
        const char c = v.ptr[(i + 4) % v.len];
        if (scan_digit(c)) rest = (rest * 10 + (unsigned)(c - '0')) % 97;
        else if (scan_upper(c)) rest = (rest * 100 + (unsigned)(c - 'A') + 10) % 97;
        else return false;
    }
    return rest == 1;
}

bool ac_check_base58(ac_view v)
{
    static const char letters[] = "123456789ABCDEFGHJKLMNPQRSTUVWXYZabcdefghijkmnopqrstuvwxyz";
    uint8_t raw[25] = { 0 };
    if (v.len < 26 || v.len > 35) return false;
    for (size_t i = 0; i < v.len; i++) {
        const char *p = memchr(letters, v.ptr[i], 58);
        if (!p) return false;
        unsigned carry = (unsigned)(p - letters);
        for (size_t k = sizeof raw; k-- > 0;) {
            carry += raw[k] * 58u;
            raw[k] = (uint8_t)(carry & 0xff);
            carry >>= 8;
        }
        if (carry) return false;
    }
    if (raw[0] != 0x00 && raw[0] != 0x05) return false;          /* pay to a key's, or a script's, hash */
    const ac_sha256 once = ac_sha256_of(raw, 21), twice = ac_sha256_of(once.byte, 32);
    return memcmp(twice.byte, raw + 21, 4) == 0;
}

static uint32_t polymod(uint32_t c, unsigned v)
{
    static const uint32_t gen[5] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
    const uint32_t top = c >> 25;
    c = (c & 0x1ffffff) << 5 ^ v;
    for (unsigned i = 0; i < 5; i++)
        if (top >> i & 1) c ^= gen[i];
    return c;
}

bool ac_check_bech32(ac_view v)
{
    static const char letters[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";
    uint32_t c = 1;
    if (v.len < 14 || v.len > 90 || memcmp(v.ptr, "bc1", 3) != 0) return false;
    c = polymod(polymod(polymod(polymod(polymod(c, 'b' >> 5), 'c' >> 5), 0), 'b' & 31), 'c' & 31);
    for (size_t i = 3; i < v.len; i++) {
        const char *p = memchr(letters, v.ptr[i], 32);
        if (!p) return false;
        c = polymod(c, (unsigned)(p - letters));
    }
    return c == 1 || c == 0x2bc830a3;                            /* bech32, bech32m */
}

bool ac_check_nhs(ac_view d)
{
    unsigned sum = 0;
    for (size_t i = 0; i < 9; i++) sum += (unsigned)(d.ptr[i] - '0') * (unsigned)(10 - i);
    const unsigned check = (11 - sum % 11) % 11;
    return check < 10 && check == (unsigned)(d.ptr[9] - '0');
}

bool ac_check_aba(ac_view d)
{
    static const unsigned weight[9] = { 3, 7, 1, 3, 7, 1, 3, 7, 1 };
    unsigned sum = 0;
    for (size_t i = 0; i < 9; i++) sum += weight[i] * (unsigned)(d.ptr[i] - '0');
    return sum % 10 == 0 && sum > 0;
}

bool ac_check_dea(ac_view v)
{
    const char *d = v.ptr + 2;
    if (!strchr("ABCDEFGHJKLMPRSTUX", v.ptr[0])) return false;
    const unsigned odd = (unsigned)(d[0] + d[2] + d[4] - 3 * '0'), even = (unsigned)(d[1] + d[3] + d[5] - 3 * '0');
    return (odd + 2 * even) % 10 == (unsigned)(d[6] - '0');
}

bool ac_check_nif(ac_view v)
{
    unsigned n = 0;
    for (size_t i = 0; i < 8; i++) n = n * 10 + (unsigned)(v.ptr[i] - '0');
    return "TRWAGMYFPDXBNJZSQVHLCKE"[n % 23] == v.ptr[8];
}

bool ac_check_codice_fiscale(ac_view v)
{
    static const uint8_t odd_digit[10] = { 1, 0, 5, 7, 9, 13, 15, 17, 19, 21 };
    static const uint8_t odd_letter[26] = { 1, 0, 5, 7, 9, 13, 15, 17, 19, 21, 2, 4, 18, 20, 11, 3, 6, 8, 12, 14, 16, 10,
                                            22, 25, 24, 23 };
    static const char form[] = "aaaaaa00a00a000a";
    unsigned sum = 0;
    for (size_t i = 0; i < 16; i++) {
        const char c = v.ptr[i];
        if (form[i] == '0' ? !scan_digit(c) : !scan_upper(c)) return false;
        const unsigned x = scan_digit(c) ? (unsigned)(c - '0') : (unsigned)(c - 'A');
        if (i < 15) sum += i % 2 ? x : scan_digit(c) ? odd_digit[x] : odd_letter[x];
    }
    return (unsigned)(v.ptr[15] - 'A') == sum % 26;
}
