/* A header of 64 bytes would waste room on small blocks; 16 bytes keep what malloc aligned to 16
 * aligned. The header sits right in front of the user's block in both variants, and `lead` tells
 * how far in front of it the system's block begins. */
#include "base/mem.h"

#include <stdarg.h>
#include <stdatomic.h>
#include <stdbool.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#if defined(__GLIBC__)
#include <malloc.h>
#endif

#include "base/fault.h"
#include "base/mem_int.h"
#include "base/secret.h"
#include "base/size.h"

typedef struct {
    size_t bytes;
    size_t lead;
} header;

_Static_assert(sizeof(header) <= 16, "the header must keep blocks 16-byte aligned");
#if !defined(__APPLE__)      /* which aligns to 16 although no type of its asks for more than 8 */
_Static_assert(_Alignof(max_align_t) >= 16 || sizeof(void *) == 4, "malloc aligns to 16");
#endif

#define LEAD         ((size_t)16)
#define LEAD_ALIGNED ((size_t)64)

static _Atomic int64_t live_bytes, peak_bytes;

void ac_mem_count(int64_t delta)
{
    const int64_t now = atomic_fetch_add_explicit(&live_bytes, delta, memory_order_relaxed) + delta;
    int64_t peak = atomic_load_explicit(&peak_bytes, memory_order_relaxed);
    while (now > peak
           && !atomic_compare_exchange_weak_explicit(&peak_bytes, &peak, now, memory_order_relaxed,
                                                     memory_order_relaxed)) { }
}

static header *header_of(void *p)
{
    return (header *)((char *)p - sizeof(header));
}

static void *begin(char *base, size_t lead, size_t bytes)
{
    char *p = base + lead;
    *header_of(p) = (header){ bytes, lead };
    ac_mem_count((int64_t)bytes);
    return p;
}

static bool too_big(size_t bytes)
{
    return bytes > (size_t)INT64_MAX / 2;
}

void *ac_malloc(size_t bytes)
{
    if (ac_fault_hit(AC_FAULT_ALLOC) || too_big(bytes)) return NULL;
    char *base = malloc(bytes + LEAD);
    return base ? begin(base, LEAD, bytes) : NULL;
}

void *ac_calloc(size_t n, size_t size)
{
    size_t bytes;
    if (ac_fault_hit(AC_FAULT_ALLOC) || !ac_size_mul(&bytes, n, size) || too_big(bytes)) return NULL;
    char *base = calloc(1, bytes + LEAD);       /* large blocks come zeroed from the system */
    return base ? begin(base, LEAD, bytes) : NULL;
}

void *ac_malloc_aligned(size_t bytes)
{
    size_t padded;
    if (ac_fault_hit(AC_FAULT_ALLOC) || too_big(bytes)) return NULL;
    if (!ac_size_align(&padded, bytes, LEAD_ALIGNED)) return NULL;
    char *base = aligned_alloc(LEAD_ALIGNED, padded + LEAD_ALIGNED);
    return base ? begin(base, LEAD_ALIGNED, bytes) : NULL;
}

void *ac_realloc(void *p, size_t bytes)
{
    if (!p) return ac_malloc(bytes);
    const header h = *header_of(p);
    if (h.lead != LEAD) {                       /* realloc does not keep an alignment of 64 */
        void *fresh = ac_malloc_aligned(bytes);
        if (!fresh) return NULL;
        memcpy(fresh, p, bytes < h.bytes ? bytes : h.bytes);
        ac_free(p);
        return fresh;
    }
    if (ac_fault_hit(AC_FAULT_ALLOC) || too_big(bytes)) return NULL;
    char *base = realloc((char *)p - LEAD, bytes + LEAD);
    if (!base) return NULL;
    ac_mem_count(-(int64_t)h.bytes);
    return begin(base, LEAD, bytes);
}

void ac_free(void *p)
{
    if (!p) return;
    const header h = *header_of(p);
    ac_mem_count(-(int64_t)h.bytes);
    free((char *)p - h.lead);
}

char *ac_strdup(const char *s)
{
    const size_t n = strlen(s) + 1;
    char *p = ac_malloc(n);
    if (p) memcpy(p, s, n);
    return p;
}

/* Reads and writes the byte, so that its page is ours. */
static void touch(volatile unsigned char *at)
{
    const unsigned char was = *at;
    *at = was;
}

void ac_mem_touch(void *p, size_t bytes)
{
    enum { PAGE = 4096 };
    volatile unsigned char *at = p;
    for (size_t i = 0; i < bytes; i += PAGE) touch(at + i);
    if (bytes) touch(at + bytes - 1);
}

void ac_mem_settle(void)
{
#if defined(__GLIBC__)
    (void)mallopt(M_MMAP_THRESHOLD, 1 << 20);        /* which also stops glibc from raising it */
    (void)mallopt(M_TRIM_THRESHOLD, 1 << 20);
#endif
    ac_mem_give_back();
}

void ac_mem_give_back(void)
{
#if defined(__GLIBC__)
    (void)malloc_trim(0);
#endif
}

int64_t ac_live_bytes(void)
{
    return atomic_load_explicit(&live_bytes, memory_order_relaxed);
}

int64_t ac_peak_bytes(void)
{
    return atomic_load_explicit(&peak_bytes, memory_order_relaxed);
}

/* ---- arenas ---- */

struct ac_arena_block {
    ac_arena_block *next;
    size_t used, cap;
    bool secret;
    _Alignas(16) unsigned char data[];
};

#define ARENA_BLOCK_MIN ((size_t)4096)
#define ARENA_BLOCK_MAX ((size_t)1 << 20)

void *ac_arena_alloc(ac_arena *a, size_t bytes)
{
    size_t need, total;
    if (!ac_size_align(&need, bytes ? bytes : 1, 16)) return NULL;
    if (!ac_size_add(&total, a->used_bytes, need)) return NULL;
    if (a->max_bytes && total > a->max_bytes) return NULL;
    ac_arena_block *b = a->head;
    if (!b || b->cap - b->used < need) {
        size_t cap = b ? b->cap * 2 : ARENA_BLOCK_MIN, whole;
        if (cap > ARENA_BLOCK_MAX) cap = ARENA_BLOCK_MAX;
        const bool own = need > cap / 2;        /* a large piece gets a block of its own ... */
        if (own) cap = need;
        if (!ac_size_add(&whole, sizeof *b, cap)) return NULL;
        ac_arena_block *fresh = ac_calloc(1, whole);
        if (!fresh) return NULL;
        fresh->cap = cap;
        if (own && b) {                         /* ... behind the head, whose rest stays usable */
            fresh->next = b->next;
            b->next = fresh;
        } else {
            fresh->next = b;
            a->head = fresh;
        }
        b = fresh;
    }
    void *p = b->data + b->used;
    b->used += need;
    a->used_bytes = total;
    return p;
}

void *ac_arena_alloc_secret(ac_arena *a, size_t bytes)
{
    size_t whole, total;
    if (!ac_size_add(&whole, sizeof(ac_arena_block), bytes) || !ac_size_add(&total, a->used_bytes, bytes)) return NULL;
    if (a->max_bytes && total > a->max_bytes) return NULL;
    ac_arena_block *b = ac_secret_alloc(whole);
    if (!b) return NULL;
    b->used = b->cap = bytes;                   /* full: nothing else goes into it */
    b->secret = true;
    if (a->head) {
        b->next = a->head->next;
        a->head->next = b;
    } else {
        a->head = b;
    }
    a->used_bytes = total;
    a->wipe = true;
    return b->data;
}

void *ac_arena_alloc_array(ac_arena *a, size_t n, size_t size)
{
    size_t bytes;
    if (!ac_size_mul(&bytes, n, size)) return NULL;
    return ac_arena_alloc(a, bytes);
}

char *ac_arena_strndup(ac_arena *a, const char *s, size_t len)
{
    size_t bytes;
    if (!ac_size_add(&bytes, len, 1)) return NULL;
    char *p = ac_arena_alloc(a, bytes);
    if (p && len) memcpy(p, s, len);
    return p;
}

char *ac_arena_printf(ac_arena *a, const char *fmt, ...)
{
    va_list ap, again;
    va_start(ap, fmt);
    va_copy(again, ap);
    char *p = NULL;
    const int n = vsnprintf(NULL, 0, fmt, ap);
    if (n >= 0) p = ac_arena_alloc(a, (size_t)n + 1);
    if (p) (void)vsnprintf(p, (size_t)n + 1, fmt, again);
    va_end(again);
    va_end(ap);
    return p;
}

void ac_arena_reset(ac_arena *a)
{
    if (a->wipe) {                              /* nothing secret stays, and what comes next is secret too */
        ac_arena_release(a);
        a->wipe = true;
        return;
    }
    ac_arena_block *b = a->head;
    while (b && b->next) {
        ac_arena_block *next = b->next;
        if (b->cap > next->cap && b->cap <= ARENA_BLOCK_MAX) {   /* the larger of the two stays */
            b->next = next->next;
            ac_free(next);
        } else {
            ac_free(b);
            b = next;
        }
    }
    if (b && b->cap > ARENA_BLOCK_MAX) {
        ac_free(b);
        b = NULL;
    }
    if (b) {
        memset(b->data, 0, b->used);
        b->used = 0;
    }
    a->head = b;
    a->used_bytes = 0;
}

void ac_arena_release(ac_arena *a)
{
    for (ac_arena_block *b = a->head; b;) {
        ac_arena_block *next = b->next;
        if (b->secret) ac_secret_free(b);
        else {
            if (a->wipe) ac_wipe(b->data, b->used);
            ac_free(b);
        }
        b = next;
    }
    a->head = NULL;
    a->used_bytes = 0;
    a->wipe = false;
}
