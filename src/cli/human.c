#include "cli/human.h"

#include <stdio.h>
#include <string.h>

void ac_human_count(char out[32], uint64_t n)
{
    char digits[24];
    const int len = snprintf(digits, sizeof digits, "%llu", (unsigned long long)n);
    size_t at = 0;
    for (int i = 0; i < len; i++) {
        if (i && (len - i) % 3 == 0) out[at++] = ',';
        out[at++] = digits[i];
    }
    out[at] = '\0';
}

void ac_human_bytes(char out[32], uint64_t n)
{
    static const char *const units[] = { "B", "KiB", "MiB", "GiB", "TiB", "PiB", "EiB" };
    double v = (double)n;
    size_t u = 0;
    for (; v >= 1023.95 && u + 1 < sizeof units / sizeof units[0]; u++) v /= 1024;
    (void)snprintf(out, 32, u == 0 ? "%.0f %s" : v < 100 ? "%.1f %s" : "%.0f %s", v, units[u]);
}

void ac_human_time(char out[32], double seconds)
{
    if (!(seconds >= 0)) seconds = 0;
    if (seconds > 3.6e9) seconds = 3.6e9;
    const unsigned long long s = (unsigned long long)(seconds + 0.5);
    if (s >= 3600)
        (void)snprintf(out, 32, "%llu:%02llu:%02llu", s / 3600, s / 60 % 60, s % 60);
    else
        (void)snprintf(out, 32, "%llu:%02llu", s / 60, s % 60);
}
