#include "base/err.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>

/* Makes text safe for a terminal and for one log line. Names and quoted content come from files,
 * so control characters (C0, DEL and C1 as UTF-8) become '?', and a sequence that the buffer's end
 * cut in two is dropped. */
static void clean(char *text)
{
    size_t n = strlen(text);
    if (n == AC_ERR_TEXT_MAX - 1) {
        size_t back = n;
        while (back > 0 && n - back < 4 && ((unsigned char)text[back - 1] & 0xc0) == 0x80) back--;
        if (back > 0 && (unsigned char)text[back - 1] >= 0xc0) {
            const unsigned char lead = (unsigned char)text[back - 1];
            const size_t want = lead >= 0xf0 ? 4u : lead >= 0xe0 ? 3u : 2u;
            if (n - (back - 1) < want) text[n = back - 1] = '\0';
        }
    }
    for (size_t i = 0; i < n; i++) {
        const unsigned char c = (unsigned char)text[i];
        if (c < 0x20 || c == 0x7f) text[i] = '?';
        else if (c == 0xc2 && i + 1 < n && (unsigned char)text[i + 1] >= 0x80
                 && (unsigned char)text[i + 1] < 0xa0)
            text[i] = text[i + 1] = '?';
    }
}

/* ": " and more behind text[0, used), as far as they fit. */
static void join(char text[AC_ERR_TEXT_MAX], size_t used, const char *more)
{
    const char *const parts[] = { ": ", more };
    for (size_t i = 0; i < AC_COUNTOF(parts); i++) {
        const size_t room = AC_ERR_TEXT_MAX - 1 - used, n = strlen(parts[i]);
        memcpy(text + used, parts[i], n < room ? n : room);
        used += n < room ? n : room;
    }
    text[used] = '\0';
}

ac_status ac_fail(ac_err *err, ac_status st, const char *fmt, ...)
{
    if (!err || err->text[0]) return st;
    va_list ap;
    va_start(ap, fmt);
    if (vsnprintf(err->text, sizeof err->text, fmt, ap) < 0 || !err->text[0])
        (void)snprintf(err->text, sizeof err->text, "%s", ac_status_name(st));
    va_end(ap);
    clean(err->text);
    return st;
}

ac_status ac_err_prefix(ac_err *err, ac_status st, const char *fmt, ...)
{
    if (!err || !err->text[0]) return st;
    char old[AC_ERR_TEXT_MAX];
    memcpy(old, err->text, sizeof old);
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used > sizeof err->text - 1) used = sizeof err->text - 1;
    join(err->text, used, old);
    clean(err->text);
    return st;
}

ac_status ac_fail_nomem(ac_err *err, unsigned long long bytes)
{
    return ac_fail(err, AC_ENOMEM, "out of memory (%llu bytes wanted)", bytes);
}

ac_status ac_fail_errno(ac_err *err, ac_status st, int errno_value, const char *fmt, ...)
{
    if (!err || err->text[0]) return st;
    va_list ap;
    va_start(ap, fmt);
    const int n = vsnprintf(err->text, sizeof err->text, fmt, ap);
    va_end(ap);
    size_t used = n < 0 ? 0 : (size_t)n;
    if (used > sizeof err->text - 1) used = sizeof err->text - 1;
    char why[128];
#if defined(__GLIBC__)
    /* It may return its own constant text instead of filling the buffer. */
    const char *text = strerror_r(errno_value, why, sizeof why);
#else
    const char *text = strerror_r(errno_value, why, sizeof why) == 0 ? why : "unknown error";
#endif
    join(err->text, used, text);
    clean(err->text);
    return st;
}

const char *ac_status_name(ac_status st)
{
    switch (st) {
    case AC_OK: return "OK";
    case AC_ENOMEM: return "ENOMEM";
    case AC_EIO: return "EIO";
    case AC_EFORMAT: return "EFORMAT";
    case AC_EARG: return "EARG";
    case AC_ESTATE: return "ESTATE";
    case AC_ECANCEL: return "ECANCEL";
    case AC_ENOENT: return "ENOENT";
    case AC_EREFUSED: return "EREFUSED";
    case AC_ECONTRACT: return "ECONTRACT";
    case AC_EDIVERGED: return "EDIVERGED";
    case AC_ECREATE: return "ECREATE";
    case AC_ENO: return "ENO";
    case AC_EMOVE: return "EMOVE";
    }
    return "unknown status";
}
