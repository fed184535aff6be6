/* Bech32 of 32 bytes: 52 symbols of 5 bits (4 of the last padding), and 6 of checksum. */
#include <string.h>

#include "base/secret.h"
#include "seal/age_int.h"

static const char symbol[] = "qpzry9x8gf2tvdw0s3jn54khce6mua7l";

static uint32_t step(uint32_t c, uint8_t v)
{
    static const uint32_t gen[5] = { 0x3b6a57b2, 0x26508e6d, 0x1ea119fa, 0x3d4233dd, 0x2a1462b3 };
    const uint32_t top = c >> 25;
    c = (c & 0x1ffffff) << 5 ^ v;
    for (unsigned i = 0; i < 5; i++)
        if (top >> i & 1) c ^= gen[i];
    return c;
}

static uint32_t start(const char *hrp)
{
    uint32_t c = 1;
    for (const char *p = hrp; *p; p++) c = step(c, (uint8_t)(*p >> 5));
    c = step(c, 0);
    for (const char *p = hrp; *p; p++) c = step(c, (uint8_t)(*p & 31));
    return c;
}

static char upper_of(char c)
{
    return c >= 'a' && c <= 'z' ? (char)(c - 'a' + 'A') : c;
}

void ac_bech32_encode32(char *out, const char *hrp, const uint8_t data[32], bool upper)
{
    uint8_t five[58];
    uint32_t c = start(hrp);
    for (size_t i = 0; i < 52; i++) {
        const size_t bit = i * 5, at = bit / 8;
        const unsigned two = (unsigned)data[at] << 8 | (at + 1 < 32 ? data[at + 1] : 0u);
        five[i] = (uint8_t)(two >> (11 - bit % 8) & 31);
        c = step(c, five[i]);
    }
    for (size_t i = 0; i < 6; i++) c = step(c, 0);
    for (size_t i = 0; i < 6; i++) five[52 + i] = (uint8_t)((c ^ 1) >> (5 * (5 - i)) & 31);
    size_t n = strlen(hrp);
    memcpy(out, hrp, n);
    out[n++] = '1';
    for (size_t i = 0; i < 58; i++) out[n++] = symbol[five[i]];
    out[n] = '\0';
    if (upper)
        for (size_t i = 0; i < n; i++) out[i] = upper_of(out[i]);
    ac_wipe(five, sizeof five);
}

bool ac_bech32_decode32(uint8_t out[32], const char *hrp, ac_view text, bool upper)
{
    const size_t head = strlen(hrp);
    uint8_t five[58] = { 0 }, made[32] = { 0 };
    uint32_t c = start(hrp);
    bool ok = text.len == head + 1 + 58 && text.ptr[head] == '1';
    for (size_t i = 0; i < head && ok; i++) ok = text.ptr[i] == (upper ? upper_of(hrp[i]) : hrp[i]);
    for (size_t i = 0; i < 58 && ok; i++) {
        uint8_t v = 0;
        while (v < 32 && (upper ? upper_of(symbol[v]) : symbol[v]) != text.ptr[head + 1 + i]) v++;
        five[i] = v;
        ok = v < 32;
        if (ok) c = step(c, v);
    }
    ok = ok && c == 1 && (five[51] & 15) == 0;       /* the padding is zero */
    for (size_t i = 0; i < 51 && ok; i++)
        for (unsigned b = 0; b < 5; b++)
            if (five[i] >> (4 - b) & 1) made[(i * 5 + b) / 8] |= (uint8_t)(128 >> (i * 5 + b) % 8);
    if (ok && five[51] >> 4 & 1) made[31] |= 1;
    if (ok) memcpy(out, made, 32);
    ac_wipe(five, sizeof five);
    ac_wipe(made, sizeof made);
    return ok;
}
