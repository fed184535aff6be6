/* train/trace.c - trace.jsonl (B9): the bits of each step and the hash over them.
 *
 * h_0 is 32 zero bytes; h_t = SHA-256(h_{t-1} || loss || norm), both as the 8 little-endian bytes of their binary64.
 * A step that was undone (T6) hashes 7ff8000000000000 for both, since a NaN's own bits differ between CPUs. */
#include <inttypes.h>
#include <stdio.h>
#include <string.h>

#include "formats/json.h"
#include "train/train_int.h"

#define NOT_FINITE UINT64_C(0x7ff8000000000000)

static void chain(ac_sha256 *h, uint64_t loss, uint64_t norm)
{
    uint8_t bytes[48];
    memcpy(bytes, h->byte, 32);
    for (unsigned i = 0; i < 8; i++) {
        bytes[32 + i] = (uint8_t)(loss >> (8 * i));
        bytes[40 + i] = (uint8_t)(norm >> (8 * i));
    }
    *h = ac_sha256_of(bytes, sizeof bytes);
}

static size_t render(char out[AC_TRACE_LINE_MAX], ac_sha256 *h, uint64_t step, uint64_t loss, uint64_t norm)
{
    char hex[AC_SHA256_HEX];
    chain(h, loss, norm);
    ac_sha256_hex(hex, h);
    const bool undone = loss == NOT_FINITE && norm == NOT_FINITE;
    const int n = snprintf(out, AC_TRACE_LINE_MAX, "{\"step\":%" PRIu64 ",\"loss_bits\":\"%016" PRIx64
                           "\",\"grad_norm_bits\":\"%016" PRIx64 "\",%s\"h\":\"%s\"}", step, loss, norm,
                           undone ? "\"undone\":true," : "", hex);
    return (size_t)n;
}

size_t ac_trace_line(char out[AC_TRACE_LINE_MAX], ac_sha256 *h, uint64_t step, double loss, double norm,
                     bool undone)
{
    uint64_t loss_bits = NOT_FINITE, norm_bits = NOT_FINITE;
    if (!undone) {
        memcpy(&loss_bits, &loss, sizeof loss_bits);
        memcpy(&norm_bits, &norm, sizeof norm_bits);
    }
    return render(out, h, step, loss_bits, norm_bits);
}

static bool hex64(ac_view v, uint64_t *out)
{
    uint64_t x = 0;
    if (v.len != 16) return false;
    for (size_t i = 0; i < 16; i++) {
        const char c = v.ptr[i];
        if (c >= '0' && c <= '9') x = x << 4 | (uint64_t)(c - '0');
        else if (c >= 'a' && c <= 'f') x = x << 4 | (uint64_t)(c - 'a' + 10);
        else return false;
    }
    *out = x;
    return true;
}

/* The 16 digits after key in a line that we wrote ourselves; what is not ours fails the comparison below. */
static bool bits_after(ac_view line, ac_view key, uint64_t *out)
{
    const size_t at = ac_view_find(line, key, 0);
    return at != SIZE_MAX && hex64(ac_view_slice(line, at + key.len, at + key.len + 16), out);
}

static bool follows(ac_view line, ac_sha256 *h, uint64_t step)
{
    uint64_t loss, norm;
    char want[AC_TRACE_LINE_MAX];
    if (!bits_after(line, AC_VIEW("\"loss_bits\":\""), &loss)) return false;
    if (!bits_after(line, AC_VIEW("\"grad_norm_bits\":\""), &norm)) return false;
    const size_t n = render(want, h, step, loss, norm);
    return line.len == n && memcmp(line.ptr, want, n) == 0;
}

/* The first `step` lines are `bytes` long and lead to h. */
static ac_status check_lines(const char *path, uint64_t step, uint64_t bytes, const ac_sha256 *h, ac_err *err)
{
    ac_lines *l = NULL;
    ac_status st = ac_lines_open(&l, path, 1 << 16, err);
    ac_sha256 now = { { 0 } };
    uint64_t n = 0, used = 0;
    while (!st && n < step) {
        ac_view line;
        size_t number;
        st = ac_lines_next(l, &line, &number, err);
        if (st || !line.ptr) break;
        used += line.len + 1;
        if (!follows(line, &now, ++n)) {
            st = ac_fail(err, AC_EFORMAT, "%s:%zu: does not follow from the lines before it; expected the line of "
                         "step %" PRIu64 " as it was written; put the file back or start a new run", path, number, n);
        }
    }
    ac_lines_close(&l);
    if (!st && (n != step || used != bytes || memcmp(now.byte, h->byte, sizeof now.byte) != 0)) {
        st = ac_fail(err, AC_EFORMAT, "%s: its first %" PRIu64 " lines lead to another hash than the checkpoint of "
                     "that step holds; put the file back or start a new run", path, step);
    }
    return st;
}

ac_status ac_trace_cut(const char *path, uint64_t step, uint64_t bytes, const ac_sha256 *h, ac_err *err)
{
    if (step == 0 && !ac_path_exists(path)) return AC_OK;
    uint64_t size = 0;
    ac_status st = ac_file_size(path, &size, err);
    if (!st && size < bytes) {
        st = ac_fail(err, AC_EFORMAT, "%s: has %" PRIu64 " bytes, the checkpoint of step %" PRIu64 " was made after %"
                     PRIu64 "; put the file back or start a new run", path, size, step, bytes);
    }
    if (!st) st = check_lines(path, step, bytes, h, err);
    if (!st && size > bytes) st = ac_truncate(path, bytes, err);
    return st;
}

ac_status ac_trace_check(const char *path, uint64_t *steps, ac_sha256 *h, ac_err *err)
{
    ac_lines *l = NULL;
    ac_sha256 now = { { 0 } };
    uint64_t n = 0, size = 0, used = 0;
    ac_status st = ac_file_size(path, &size, err);
    if (!st) st = ac_lines_open(&l, path, 1 << 16, err);
    while (!st) {
        ac_view line;
        size_t number;
        st = ac_lines_next(l, &line, &number, err);
        if (st || !line.ptr) break;
        used += line.len + 1;
        if (used > size) break;                          /* cut off in the middle */
        if (!follows(line, &now, ++n))
            st = ac_fail(err, AC_EFORMAT, "%s:%zu: does not follow from the lines before it: the trace was changed", path, number);
    }
    ac_lines_close(&l);
    if (st) return st;
    *steps = n;
    *h = now;
    return AC_OK;
}
