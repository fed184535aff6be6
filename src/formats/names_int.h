/* formats/names_int.h - a hash set of names that came out of a file.
 *
 * Duplicate keys, tensor names and metadata keys are all found with it, so that a hostile file with a
 * hundred thousand names costs linear time. The hash is SipHash-2-4 under a key drawn per table:
 * a file cannot be built to collide. */
#ifndef AC_FORMATS_NAMES_INT_H
#define AC_FORMATS_NAMES_INT_H

#include <stddef.h>
#include <stdint.h>
#include "base/err.h"
#include "base/str.h"

typedef struct {
    const ac_view *name;   /* borrowed; NULL: free slot */
    uint32_t hash, index;
} ac_names_slot;

typedef struct {
    ac_names_slot *slot;
    size_t allocated, cap; /* cap: slots in use now, a power of two, at least twice max_n */
    size_t n;
    unsigned char key[16];
} ac_names;                /* {0} is a valid empty set */

/* Empties the set and makes room for max_n names; keeps memory that is large enough. */
ac_status ac_names_reset(ac_names *s, size_t max_n, ac_err *err);
/* Adds *name (which must stay where it is). Returns the slot that already holds an equal name, or NULL
 * when it was new. At most max_n names may be added. */
const ac_names_slot *ac_names_add(ac_names *s, const ac_view *name, uint32_t index);
/* The slot of an equal name, or NULL. */
const ac_names_slot *ac_names_find(const ac_names *s, ac_view name);
void ac_names_release(ac_names *s);

#endif
