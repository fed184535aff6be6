/* formats/names.c - see names_int.h. Open addressing with linear probing, load at most one half. */
#include "formats/names_int.h"

#include <sodium.h>
#include <string.h>
#include "base/mem.h"
#include "base/size.h"
#include "base/time.h"

static uint64_t name_hash(const ac_names *s, ac_view v)
{
    unsigned char out[crypto_shorthash_BYTES];
    uint64_t h;
    crypto_shorthash(out, (const unsigned char *)(v.ptr ? v.ptr : ""), v.len, s->key);
    memcpy(&h, out, sizeof h);
    return h;
}

/* Unpredictable for the writer of a file is all that the key has to be; nothing seen outside
 * depends on it. */
static void draw_key(ac_names *s)
{
    const uint64_t a = (uint64_t)ac_mono_ns();
    const uint64_t b = (uint64_t)(uintptr_t)s ^ ((uint64_t)(uintptr_t)s->slot << 20);
    memcpy(s->key, &a, sizeof a);
    memcpy(s->key + 8, &b, sizeof b);
}

ac_status ac_names_reset(ac_names *s, size_t max_n, ac_err *err)
{
    size_t cap = 16, bytes;
    while (cap / 2 < max_n) {
        if (!ac_size_mul(&cap, cap, 2)) return ac_fail_nomem(err, max_n);
    }
    if (!ac_size_mul(&bytes, cap, sizeof *s->slot)) return ac_fail_nomem(err, max_n);
    if (cap > s->allocated) {
        ac_names_slot *slot = ac_malloc(bytes);
        if (!slot) return ac_fail_nomem(err, bytes);
        ac_free(s->slot);
        s->slot = slot;
        s->allocated = cap;
        draw_key(s);
    }
    memset(s->slot, 0, bytes);      /* only what this round needs: small sets after a large one stay cheap */
    s->cap = cap;
    s->n = 0;
    return AC_OK;
}

static size_t probe(const ac_names *s, ac_view name, uint64_t hash)
{
    const size_t mask = s->cap - 1;
    size_t i = (size_t)hash & mask;
    const uint32_t h32 = (uint32_t)(hash >> 32);
    while (s->slot[i].name) {
        if (s->slot[i].hash == h32 && ac_view_eq(*s->slot[i].name, name)) break;
        i = (i + 1) & mask;
    }
    return i;
}

const ac_names_slot *ac_names_add(ac_names *s, const ac_view *name, uint32_t index)
{
    const uint64_t hash = name_hash(s, *name);
    ac_names_slot *slot = &s->slot[probe(s, *name, hash)];
    if (slot->name) return slot;
    *slot = (ac_names_slot){ .name = name, .hash = (uint32_t)(hash >> 32), .index = index };
    s->n++;
    return NULL;
}

const ac_names_slot *ac_names_find(const ac_names *s, ac_view name)
{
    if (!s->cap) return NULL;
    const ac_names_slot *slot = &s->slot[probe(s, name, name_hash(s, name))];
    return slot->name ? slot : NULL;
}

void ac_names_release(ac_names *s)
{
    ac_free(s->slot);
    *s = (ac_names){ 0 };
}
