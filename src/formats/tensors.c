/* formats/tensors.c - named tensors, whatever file they came from. */
#include "formats/tensors_int.h"

#include "base/size.h"

size_t ac_tensors_count(const ac_tensors *t)
{
    return t ? t->n : 0;
}

const ac_tensor *ac_tensors_at(const ac_tensors *t, size_t i)
{
    return t && i < t->n ? &t->tensor[i] : NULL;
}

const ac_tensor *ac_tensors_find(const ac_tensors *t, const char *name)
{
    if (!t) return NULL;
    const ac_names_slot *slot = ac_names_find(&t->names, ac_view_of(name));
    return slot ? &t->tensor[slot->index] : NULL;
}

bool ac_tensor_sizes(size_t *elems, size_t *bytes, ac_dtype type, const size_t *dim, uint32_t n_dims)
{
    const size_t last = n_dims ? dim[n_dims - 1] : 1;
    size_t n = last, b;
    if (!ac_dtype_row_bytes(&b, type, last)) return false;
    for (uint32_t i = 0; i + 1 < n_dims; i++)
        if (!ac_size_mul(&n, n, dim[i]) || !ac_size_mul(&b, b, dim[i])) return false;
    *elems = n;
    *bytes = b;
    return true;
}

ac_status ac_tensors_index(ac_tensors *t, const char *path, ac_err *err)
{
    const ac_status st = ac_names_reset(&t->names, t->n, err);
    if (st) return st;
    for (size_t i = 0; i < t->n; i++)
        if (ac_names_add(&t->names, &t->tensor[i].name, (uint32_t)i))
            return ac_fail(err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" stands there twice; write the file anew",
                           path, AC_VIEW_ARG(t->tensor[i].name));
    return AC_OK;
}

void ac_tensors_drop(ac_tensors *t)
{
    for (size_t i = 0; i < t->n_maps; i++) ac_map_close(&t->map[i]);
    ac_names_release(&t->names);
    ac_arena_release(&t->arena);
    *t = (ac_tensors){ 0 };
}

void ac_tensors_close(ac_tensors **t)
{
    if (!t || !*t) return;
    ac_tensors_drop(*t);
    ac_free(*t);
    *t = NULL;
}
