/* formats/tensors.h - named tensors of a weight file, whatever wrote it.
 *
 * N1  Shapes are outermost first: a linear layer is {out, in}, as Hugging Face writes it. GGUF's order is
 *     turned round by its reader. Elements are contiguous, the last dimension fastest.
 * N2  Data is mapped read-only and was range-checked on opening. Names are unique.
 * N3  A file cut short after mapping turns a read into SIGBUS; cli turns that into exit 74. */
#ifndef AC_FORMATS_TENSORS_H
#define AC_FORMATS_TENSORS_H

#include <stddef.h>
#include <stdint.h>
#include "base/dtype.h"
#include "base/err.h"
#include "base/hash.h"
#include "base/str.h"

#define AC_TENSOR_MAX_DIMS 4

typedef struct {
    ac_view name;
    ac_dtype type;
    uint32_t n_dims;
    size_t dim[AC_TENSOR_MAX_DIMS];   /* unused ones are 1 */
    const void *data;
    size_t bytes;
} ac_tensor;

typedef struct ac_tensors ac_tensors;   /* an open file or set of shards */

size_t           ac_tensors_count(const ac_tensors *t);
const ac_tensor *ac_tensors_at(const ac_tensors *t, size_t i);           /* file order */
const ac_tensor *ac_tensors_find(const ac_tensors *t, const char *name); /* NULL when absent */
void             ac_tensors_close(ac_tensors **t);

/* safetensors: one file, or a folder / index.json with shards (names as ac_path_component_ok asks). */
ac_status ac_safetensors_open(ac_tensors **out, const char *path, ac_err *err);
/* The string map __metadata__ of a single file; empty view when absent. */
ac_view   ac_safetensors_metadata(const ac_tensors *t, const char *key);

/* Writes one file: tensors in the order given, 8-byte aligned header, data after it. Atomic. */
typedef struct {
    const char *name;
    ac_dtype type;
    uint32_t n_dims;
    size_t dim[AC_TENSOR_MAX_DIMS];
    const void *data;
} ac_tensor_out;
typedef struct { const char *key, *value; } ac_metadata;
ac_status ac_safetensors_write(const char *path, const ac_tensor_out *tensors, size_t n,
                               const ac_metadata *meta, size_t n_meta, ac_err *err);
/* SHA-256 of the file that ac_safetensors_write would write. */
ac_status ac_safetensors_hash(ac_sha256 *out, const ac_tensor_out *tensors, size_t n, const ac_metadata *meta,
                              size_t n_meta, ac_err *err);

#endif
