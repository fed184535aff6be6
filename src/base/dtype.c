#include "base/dtype.h"

#include "base/compiler.h"
#include "base/size.h"

static const struct {
    const char *name;
    unsigned char elems_log2, bytes;
} types[AC_DTYPE_COUNT] = {
    [AC_F32] = { "F32", 0, 4 },     [AC_F16] = { "F16", 0, 2 },     [AC_BF16] = { "BF16", 0, 2 },
    [AC_Q8_0] = { "Q8_0", 5, 34 },  [AC_Q4_0] = { "Q4_0", 5, 18 },  [AC_Q4_1] = { "Q4_1", 5, 20 },
    [AC_Q5_0] = { "Q5_0", 5, 22 },  [AC_Q5_1] = { "Q5_1", 5, 24 },  [AC_Q4_K] = { "Q4_K", 8, 144 },
    [AC_Q5_K] = { "Q5_K", 8, 176 }, [AC_Q6_K] = { "Q6_K", 8, 210 }, [AC_NF4] = { "NF4", 6, 36 },
    [AC_F64] = { "F64", 0, 8 },
    [AC_I8] = { "I8", 0, 1 },       [AC_U8] = { "U8", 0, 1 },       [AC_I16] = { "I16", 0, 2 },
    [AC_U16] = { "U16", 0, 2 },     [AC_I32] = { "I32", 0, 4 },     [AC_U32] = { "U32", 0, 4 },
    [AC_I64] = { "I64", 0, 8 },     [AC_U64] = { "U64", 0, 8 },     [AC_BOOL] = { "BOOL", 0, 1 },
};

static bool known(ac_dtype t)
{
    return (int)t >= 0 && (int)t < (int)AC_DTYPE_COUNT;
}

size_t ac_dtype_block_elems(ac_dtype t)
{
    return known(t) ? (size_t)1 << types[t].elems_log2 : 0;
}

size_t ac_dtype_block_bytes(ac_dtype t)
{
    return known(t) ? types[t].bytes : 0;
}

const char *ac_dtype_name(ac_dtype t)
{
    return known(t) ? types[t].name : "unknown";
}

bool ac_dtype_is_weight(ac_dtype t)
{
    return known(t) && t <= AC_NF4;
}

bool ac_dtype_row_bytes(size_t *out, ac_dtype t, size_t n)
{
    if (!known(t)) return false;
    const size_t elems = ac_dtype_block_elems(t);
    if (n % elems != 0) return false;
    return ac_size_mul(out, n / elems, ac_dtype_block_bytes(t));
}
