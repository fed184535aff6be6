/* base/mem.h - the only calls to malloc, and arenas over them.
 *
 * M1  Every block comes from here, so that ac_live_bytes() is 0 when all was released and
 *     ac_fault (base/fault.h) can fail the n-th allocation.
 * M2  An arena grows in blocks and is dropped whole; memory from it is zeroed.
 * M3  NULL means out of memory; callers turn it into ac_fail_nomem.
 * Threads: malloc calls from any thread; an arena belongs to one thread at a time. */
#ifndef AC_BASE_MEM_H
#define AC_BASE_MEM_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>
#include "base/compiler.h"

void *ac_malloc(size_t bytes);                    /* bytes may be 0: a unique pointer */
void *ac_calloc(size_t n, size_t size);           /* checks n * size */
void *ac_realloc(void *p, size_t bytes);
void  ac_free(void *p);                           /* accepts NULL */
char *ac_strdup(const char *s);
/* 64-byte aligned, not zeroed; freed with ac_free. */
void *ac_malloc_aligned(size_t bytes);

void  ac_mem_give_back(void);                     /* freed memory that the C library keeps goes back to the system */
/* Makes every page of a block the process's own now, so that memory that is not there shows here and not hours later. What
 * the block holds stays. */
void  ac_mem_touch(void *p, size_t bytes);
/* Gives freed memory back to the system, and from now on blocks of a mebibyte and more with ac_free, so that the process
 * holds what it uses. */
void  ac_mem_settle(void);

int64_t ac_live_bytes(void);                      /* bytes asked for and not yet freed */
int64_t ac_peak_bytes(void);

typedef struct ac_arena_block ac_arena_block;
typedef struct {
    ac_arena_block *head;
    size_t max_bytes;                             /* 0: no limit; over it, NULL */
    size_t used_bytes;
    bool wipe;                                    /* release overwrites everything first */
} ac_arena;                                       /* {0} is a valid empty arena */

void *ac_arena_alloc(ac_arena *a, size_t bytes);              /* 16-byte aligned, zeroed */
/* The same in a block of secret memory (base/secret.h); from then on the whole arena is wiped on release, for what is
 * parsed from secret bytes is secret too. */
void *ac_arena_alloc_secret(ac_arena *a, size_t bytes);
void *ac_arena_alloc_array(ac_arena *a, size_t n, size_t size); /* checks n * size */
char *ac_arena_strndup(ac_arena *a, const char *s, size_t len); /* adds the final NUL */
char *ac_arena_printf(ac_arena *a, const char *fmt, ...) AC_PRINTF(2, 3);
void  ac_arena_reset(ac_arena *a);                            /* empties, keeps one block for what follows */
void  ac_arena_release(ac_arena *a);                          /* leaves a valid empty arena */

#endif
