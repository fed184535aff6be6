#include "guard/linux/linux_int.h"

#include <stdio.h>
#include <string.h>

#include "base/file.h"
#include "base/mem.h"
#include "base/sysfile.h"

#define TEXT_BYTES 16384

/* The line that begins with `key`, without it. ptr NULL: none. */
static ac_view line_in(ac_view text, ac_view key)
{
    for (size_t at = 0; at < text.len;) {
        const char *lf = memchr(text.ptr + at, '\n', text.len - at);
        const size_t end = lf ? (size_t)(lf - text.ptr) : text.len;
        const ac_view line = ac_view_slice(text, at, end);
        if (ac_view_starts(line, key)) return ac_view_trim(ac_view_slice(line, key.len, line.len));
        at = end + 1;
    }
    return (ac_view){ NULL, 0 };
}

const char *ac_linux_line(char *out, size_t size, const char *root, const char *path, const char *key)
{
    char text[TEXT_BYTES];
    size_t len;
    const char *why = ac_sysfile_read(text, sizeof text, &len, root, path);
    if (why) return why;
    const ac_view line = line_in((ac_view){ text, len }, ac_view_of(key));
    if (!line.ptr) return "not as expected";
    const size_t n = line.len < size - 1 ? line.len : size - 1;
    memcpy(out, line.ptr, n);
    out[n] = '\0';
    return NULL;
}

const char *ac_linux_number(int64_t *out, const char *root, const char *path, const char *key)
{
    char text[64];
    int64_t v;
    const char *why = ac_linux_line(text, sizeof text, root, path, key);
    if (why) return why;
    const size_t sign = text[0] == '-', digits = sign + strspn(text + sign, "0123456789");
    if (text[digits] && text[digits] != ' ') return "not as expected";
    if (!ac_parse_i64((ac_view){ text, digits }, &v) || v > AC_LINUX_HUGE || v < -AC_LINUX_HUGE) return "not as expected";
    *out = v;
    return NULL;
}

bool ac_linux_word(int64_t *out, const char *text, int nth)
{
    for (; nth > 0; nth--) {
        text += strcspn(text, " ");
        text += strspn(text, " ");
    }
    return ac_parse_i64((ac_view){ text, strcspn(text, " ") }, out) && *out >= 0 && *out <= AC_LINUX_HUGE;
}

ac_status ac_linux_names(char ***names, size_t *n, ac_arena *a, const char *root, const char *dir, ac_err *err)
{
    char full[1024];
    *n = 0;
    const int len = snprintf(full, sizeof full, "%s%s", root, dir);
    if (len < 0 || (size_t)len >= sizeof full) return AC_OK;
    const ac_status st = ac_dir_list(full, a, names, n, NULL);
    if (st == AC_ENOMEM) return ac_fail(err, st, "out of memory listing %s", full);
    if (st) *n = 0;                                    /* not there: no signal, and the reader says so */
    return AC_OK;
}
