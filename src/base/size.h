/* base/size.h - the one module that does arithmetic on sizes read from files.
 * Each returns false on overflow or out of range, and then leaves *out alone. */
#ifndef AC_BASE_SIZE_H
#define AC_BASE_SIZE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

bool ac_size_add(size_t *out, size_t a, size_t b) AC_NODISCARD;
bool ac_size_mul(size_t *out, size_t a, size_t b) AC_NODISCARD;
/* [offset, offset + length) lies inside [0, total). */
bool ac_size_range(size_t total, size_t offset, size_t length) AC_NODISCARD;
/* n records of at least min_bytes each fit in remaining; ask before allocating n of anything. */
bool ac_size_count_fits(uint64_t n, size_t min_bytes, size_t remaining) AC_NODISCARD;
bool ac_size_from_u64(size_t *out, uint64_t v) AC_NODISCARD;
bool ac_size_from_i64(size_t *out, int64_t v) AC_NODISCARD;   /* false when negative */
bool ac_size_align(size_t *out, size_t v, size_t align) AC_NODISCARD; /* align: a power of two */

#endif
