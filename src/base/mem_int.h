/* base/mem_int.h - the count of live bytes, for base's own allocators. */
#ifndef AC_BASE_MEM_INT_H
#define AC_BASE_MEM_INT_H

#include <stdint.h>

void ac_mem_count(int64_t delta);

#endif
