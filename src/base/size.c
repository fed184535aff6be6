#include "base/size.h"

bool ac_size_add(size_t *out, size_t a, size_t b)
{
    if (b > SIZE_MAX - a) return false;
    *out = a + b;
    return true;
}

bool ac_size_mul(size_t *out, size_t a, size_t b)
{
    if (a != 0 && b > SIZE_MAX / a) return false;
    *out = a * b;
    return true;
}

bool ac_size_range(size_t total, size_t offset, size_t length)
{
    return offset <= total && length <= total - offset;
}

bool ac_size_count_fits(uint64_t n, size_t min_bytes, size_t remaining)
{
    if (min_bytes == 0) min_bytes = 1;      /* nothing stored takes no room at all */
    return n <= (uint64_t)(remaining / min_bytes);
}

bool ac_size_from_u64(size_t *out, uint64_t v)
{
    if (v > (uint64_t)SIZE_MAX) return false;
    *out = (size_t)v;
    return true;
}

bool ac_size_from_i64(size_t *out, int64_t v)
{
    if (v < 0) return false;
    return ac_size_from_u64(out, (uint64_t)v);
}

bool ac_size_align(size_t *out, size_t v, size_t align)
{
    if (align == 0 || (align & (align - 1)) != 0 || v > SIZE_MAX - (align - 1)) return false;
    *out = (v + (align - 1)) & ~(align - 1);
    return true;
}
