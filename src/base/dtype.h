/* base/dtype.h - element types of stored tensors, with their block geometry.
 *
 * A block holds `block_elems` consecutive elements of a row in `block_bytes` bytes. How each type
 * expands to binary32 is fixed by one formula (rule B5) and written in docs/numerics.md.
 * Sources: the GGUF specification and ggml-common.h's block layouts, as public formats. NF4 has no file of its own: it is
 * what formats/nf4.c makes of bitsandbytes' tensors. */
#ifndef AC_BASE_DTYPE_H
#define AC_BASE_DTYPE_H

#include <stdbool.h>
#include <stddef.h>

typedef enum {
    AC_F32 = 0, AC_F16, AC_BF16, AC_Q8_0, AC_Q4_0, AC_Q4_1, AC_Q5_0, AC_Q5_1, AC_Q4_K, AC_Q5_K,
    AC_Q6_K, AC_NF4, AC_F64, AC_I8, AC_U8, AC_I16, AC_U16, AC_I32, AC_U32, AC_I64, AC_U64, AC_BOOL,
    AC_DTYPE_COUNT
} ac_dtype;

size_t      ac_dtype_block_elems(ac_dtype t);  /* 1, 32, 64 or 256 */
size_t      ac_dtype_block_bytes(ac_dtype t);
const char *ac_dtype_name(ac_dtype t);         /* "Q4_1" */
bool        ac_dtype_is_weight(ac_dtype t);    /* F32 .. NF4: kernels can expand it */
/* Bytes of a row of n elements; n must be a multiple of the block (false otherwise, or overflow). */
bool        ac_dtype_row_bytes(size_t *out, ac_dtype t, size_t n);

#endif
