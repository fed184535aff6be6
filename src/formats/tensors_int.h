/* formats/tensors_int.h - what the readers of weight files share. */
#ifndef AC_FORMATS_TENSORS_INT_H
#define AC_FORMATS_TENSORS_INT_H

#include <stdbool.h>
#include "base/file.h"
#include "base/mem.h"
#include "formats/names_int.h"
#include "formats/tensors.h"

typedef struct {
    ac_view key, value;
} ac_meta_pair;

struct ac_tensors {
    ac_arena arena;          /* names, the arrays below, and data that stood misaligned in its file */
    ac_tensor *tensor;
    size_t n, room;
    ac_names names;
    ac_map *map;             /* one a shard */
    size_t n_maps;
    ac_meta_pair *meta;
    size_t n_meta;
};

/* Elements and bytes of a shape: n_dims, dim[] outermost first. False on overflow, or when the last
 * dimension is no multiple of the type's block. */
bool ac_tensor_sizes(size_t *elems, size_t *bytes, ac_dtype type, const size_t *dim, uint32_t n_dims);
/* Indexes the names of all t->n tensors; a name that stands twice is AC_EFORMAT. */
ac_status ac_tensors_index(ac_tensors *t, const char *path, ac_err *err);
void ac_tensors_drop(ac_tensors *t);    /* everything but the struct itself */

/* nf4.c: puts together what bitsandbytes split, where there is any of it. Names were indexed, and are again. */
ac_status ac_nf4_join(ac_tensors *t, const char *path, ac_err *err);

/* Reads one safetensors file from memory, for fuzzing. Borrows data, which outlives *out. */
ac_status ac_safetensors_parse(ac_tensors **out, const void *data, size_t len, const char *name, ac_err *err);

#endif
