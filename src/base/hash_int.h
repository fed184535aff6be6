/* base/hash_int.h - SHA-256's compression of whole blocks by the CPU's own instructions, where it has them. */
#ifndef AC_BASE_HASH_INT_H
#define AC_BASE_HASH_INT_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

bool ac_sha256_has_fast(void);
/* state: the eight words a to h. Called only where has_fast says so. */
void ac_sha256_blocks_fast(uint32_t state[8], const uint8_t *data, size_t n_blocks);

#endif
