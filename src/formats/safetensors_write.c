/* formats/safetensors_write.c - one file, tensors in the order given, complete or absent. */
#include "formats/tensors_int.h"

#include <string.h>
#include "base/size.h"
#include "formats/json.h"

static ac_status check_one(const ac_tensor_out *t, size_t *bytes, ac_err *err)
{
    size_t elems, bad;
    if (!t->name || !t->name[0] || strcmp(t->name, "__metadata__") == 0 || !ac_utf8_valid(ac_view_of(t->name), &bad))
        return ac_fail(err, AC_EARG, "safetensors: \"%s\" cannot name a tensor", t->name ? t->name : "");
    if ((int)t->type < 0 || t->type >= AC_DTYPE_COUNT || ac_dtype_block_elems(t->type) != 1)
        return ac_fail(err, AC_EARG, "safetensors: tensor \"%s\" is %s, which the format does not know; expand it "
                       "first", t->name, ac_dtype_name(t->type));
    if (t->n_dims > AC_TENSOR_MAX_DIMS || !ac_tensor_sizes(&elems, bytes, t->type, t->dim, t->n_dims))
        return ac_fail(err, AC_EARG, "safetensors: the shape of tensor \"%s\" is out of range", t->name);
    if (*bytes && !t->data) return ac_fail(err, AC_EARG, "safetensors: tensor \"%s\" has no data", t->name);
    return AC_OK;
}

static ac_status check_all(const ac_tensor_out *tensors, size_t n, ac_err *err)
{
    ac_arena scratch = { 0 };
    ac_names names = { 0 };
    ac_view *name = ac_arena_alloc_array(&scratch, n, sizeof *name);
    ac_status st = name ? ac_names_reset(&names, n, err) : ac_fail_nomem(err, n * sizeof *name);
    for (size_t i = 0, bytes; i < n && !st; i++) {
        st = check_one(&tensors[i], &bytes, err);
        if (st) break;
        name[i] = ac_view_of(tensors[i].name);
        if (ac_names_add(&names, &name[i], 0))
            st = ac_fail(err, AC_EARG, "safetensors: two tensors are called \"%s\"", tensors[i].name);
    }
    ac_names_release(&names);
    ac_arena_release(&scratch);
    return st;
}

static void write_entry(ac_jw *w, const ac_tensor_out *t, size_t begin, size_t end)
{
    ac_jw_object(w, t->name);
    ac_jw_cstr(w, "dtype", ac_dtype_name(t->type));
    ac_jw_array(w, "shape");
    for (uint32_t i = 0; i < t->n_dims; i++) ac_jw_u64(w, NULL, t->dim[i]);
    ac_jw_end_array(w);
    ac_jw_array(w, "data_offsets");
    ac_jw_u64(w, NULL, begin);
    ac_jw_u64(w, NULL, end);
    ac_jw_end_array(w);
    ac_jw_end_object(w);
}

static ac_status make_header(ac_str *h, const ac_tensor_out *tensors, size_t n, const ac_metadata *meta,
                             size_t n_meta, ac_err *err)
{
    ac_jw w;
    size_t at = 0;
    ac_jw_init(&w, h, false);
    ac_jw_object(&w, NULL);
    if (n_meta) ac_jw_object(&w, "__metadata__");
    for (size_t i = 0; i < n_meta; i++)
        ac_jw_str(&w, meta[i].key, ac_view_of(meta[i].value ? meta[i].value : ""));
    if (n_meta) ac_jw_end_object(&w);
    for (size_t i = 0; i < n; i++) {
        size_t elems, bytes, end;
        if (!ac_tensor_sizes(&elems, &bytes, tensors[i].type, tensors[i].dim, tensors[i].n_dims)
            || !ac_size_add(&end, at, bytes))
            return ac_fail(err, AC_EARG, "safetensors: the tensors are larger than any file can be");
        write_entry(&w, &tensors[i], at, end);
        at = end;
    }
    ac_jw_end_object(&w);
    while (h->len % 8 && ac_str_ok(h)) ac_str_append_char(h, ' ');   /* data begins 8-byte aligned */
    return ac_str_ok(h) ? AC_OK : ac_fail_nomem(err, h->len);
}

ac_status ac_safetensors_write(const char *path, const ac_tensor_out *tensors, size_t n,
                               const ac_metadata *meta, size_t n_meta, ac_err *err)
{
    ac_str header = { 0 };
    ac_writer *w = NULL;
    uint8_t len[8];
    ac_status st = check_all(tensors, n, err);
    if (!st) st = make_header(&header, tensors, n, meta, n_meta, err);
    if (!st) st = ac_writer_open(&w, path, err);
    for (unsigned i = 0; i < 8; i++) len[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
    if (!st) st = ac_writer_write(w, len, sizeof len, err);
    if (!st) st = ac_writer_write(w, header.ptr, header.len, err);
    for (size_t i = 0, elems, bytes = 0; i < n && !st; i++) {
        (void)ac_tensor_sizes(&elems, &bytes, tensors[i].type, tensors[i].dim, tensors[i].n_dims);
        if (bytes) st = ac_writer_write(w, tensors[i].data, bytes, err);
    }
    if (!st) st = ac_writer_commit(&w, err);
    ac_writer_abort(&w);
    ac_str_release(&header);
    return st;
}

ac_status ac_safetensors_hash(ac_sha256 *out, const ac_tensor_out *tensors, size_t n, const ac_metadata *meta,
                              size_t n_meta, ac_err *err)
{
    ac_str header = { 0 };
    ac_sha256_state h;
    uint8_t len[8];
    ac_status st = check_all(tensors, n, err);
    if (!st) st = make_header(&header, tensors, n, meta, n_meta, err);
    if (!st) {
        for (unsigned i = 0; i < 8; i++) len[i] = (uint8_t)((uint64_t)header.len >> (8 * i));
        ac_sha256_init(&h);
        ac_sha256_add(&h, len, sizeof len);
        ac_sha256_add(&h, header.ptr, header.len);
        for (size_t i = 0, elems, bytes = 0; i < n; i++) {
            (void)ac_tensor_sizes(&elems, &bytes, tensors[i].type, tensors[i].dim, tensors[i].n_dims);
            ac_sha256_add(&h, tensors[i].data, bytes);
        }
        ac_sha256_done(&h, out);
    }
    ac_str_release(&header);
    return st;
}
