/* formats/nf4.c - matrices that bitsandbytes stored in 4 bits ("NF4"), each made one tensor of the type NF4.
 *
 * In the file such a matrix W is a row of bytes, two codes a byte, the high one first, with tensors beside it:
 *   W.absmax                             a scale for each `blocksize` numbers: binary32, or 8-bit codes, and then
 *   W.nested_quant_map, .nested_absmax   what those codes mean, and their own scales, for each `nested_blocksize`
 *   W.quant_map                          what the 4-bit codes mean
 *   W.quant_state.bitsandbytes__nf4      the rest, as JSON: shape, block sizes, nested_offset
 * A scale is nested_quant_map[code] * nested_absmax + nested_offset, each step in binary32, as the library has it. */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "base/size.h"
#include "formats/json.h"
#include "formats/tensors_int.h"

#define SHOWN(v) AC_VIEW_ARG(ac_view_slice((v), 0, 200))
#define STATE_MAX ((size_t)64 << 10)
enum { BLOCK = 64, BLOCK_BYTES = 36 };

static const char state_name[] = ".quant_state.bitsandbytes__";

static const float meaning[16] = {
    -1.0f, -0.6961928009986877f, -0.5250730514526367f, -0.39491748809814453f, -0.28444138169288635f, -0.18477343022823334f,
    -0.09105003625154495f, 0.0f, 0.07958029955625534f, 0.16093020141124725f, 0.24611230194568634f, 0.33791524171829224f,
    0.44070982933044434f, 0.5626170039176941f, 0.7229568362236023f, 1.0f };

typedef struct {
    ac_tensors *t;
    const char *path;
    ac_view name;                        /* of the matrix */
    bool *gone;                          /* tensors that are part of another */
    ac_tensor *w;
    size_t rows, cols, n;
    size_t block, nested_block, scales;
    double offset;
    const uint8_t *codes;                /* of the scales; NULL: they are binary32 */
    const float *scale, *nested_map, *nested_scale;
    ac_err *err;
} job;

static ac_status refuse(const job *j, const char *what)
{
    return ac_fail(j->err, AC_EFORMAT, "%s: " AC_VIEW_FMT ", stored by bitsandbytes: %s; take the unquantised safetensors, or a "
                   "GGUF", j->path, SHOWN(j->name), what);
}

/* The tensor beside it of that name, with n elements of a type; it is used up. */
static ac_status part(const job *j, const char *name, ac_dtype type, size_t n, const void **out)
{
    ac_str full = { 0 };
    ac_str_append(&full, j->name);
    ac_str_append_c(&full, name);
    const bool told = ac_str_ok(&full);
    const ac_names_slot *slot = told ? ac_names_find(&j->t->names, ac_view_of(ac_str_c(&full))) : NULL;
    ac_str_release(&full);
    if (!told) return ac_fail_nomem(j->err, j->name.len);
    const ac_tensor *x = slot ? &j->t->tensor[slot->index] : NULL;
    char what[96];
    (void)snprintf(what, sizeof what, "%s must be there, with %zu elements of type %s", name, n, ac_dtype_name(type));
    if (!x || x->type != type || x->bytes != n * ac_dtype_block_bytes(type)) return refuse(j, what);
    j->gone[slot->index] = true;
    *out = x->data;
    return AC_OK;
}

static ac_status read_shape(job *j, const ac_json *state)
{
    const ac_json *shape = ac_json_get(state, "shape");
    int64_t rows = 0, cols = 0;
    const bool two = shape && shape->type == AC_JSON_ARRAY && shape->n == 2 && ac_json_as_i64(shape->child, &rows) &&
                     ac_json_as_i64(shape->child->next, &cols);
    if (!two || rows < 1 || cols < 1 || !ac_size_from_u64(&j->rows, (uint64_t)rows) || !ac_size_from_u64(&j->cols, (uint64_t)cols) ||
        !ac_size_mul(&j->n, j->rows, j->cols))
        return refuse(j, "shape must be the rows and columns of a matrix");
    if (j->cols % BLOCK) return refuse(j, "its rows are no multiple of 64 long, so that scales cross rows");
    if (j->w->type != AC_U8 || j->w->bytes != j->n / 2) return refuse(j, "its bytes are not two codes each for its shape");
    return AC_OK;
}

static ac_status read_block(const job *j, const ac_json *state, const char *key, size_t *out)
{
    int64_t v = 0;
    if (!ac_json_as_i64(ac_json_get(state, key), &v) || v < BLOCK || v > 65536 || (v & (v - 1)) != 0) {
        char what[80];
        (void)snprintf(what, sizeof what, "%s must be a power of two from 64 to 65536", key);
        return refuse(j, what);
    }
    *out = (size_t)v;
    return AC_OK;
}

static ac_status read_nested(job *j, const ac_json *state)
{
    const void *at = NULL;
    const ac_json *offset = ac_json_get(state, "nested_offset");
    if (!offset || offset->type != AC_JSON_NUMBER || !(fabs(offset->number) < 1e30)) return refuse(j, "nested_offset must be a number");
    j->offset = offset->number;
    ac_status st = read_block(j, state, "nested_blocksize", &j->nested_block);
    if (!st) st = part(j, ".absmax", AC_U8, j->scales, &at);
    if (st) return st;
    j->codes = at;
    st = part(j, ".nested_quant_map", AC_F32, 256, &at);
    j->nested_map = at;
    if (!st) st = part(j, ".nested_absmax", AC_F32, (j->scales + j->nested_block - 1) / j->nested_block, &at);
    j->nested_scale = at;
    return st;
}

static ac_status read_parts(job *j, const ac_json *state)
{
    const void *at = NULL;
    const ac_json *type = ac_json_get(state, "quant_type");
    if (!type || type->type != AC_JSON_STRING || !ac_view_eq_str(type->text, "nf4")) return refuse(j, "quant_type must be \"nf4\"");
    ac_status st = read_shape(j, state);
    if (!st) st = read_block(j, state, "blocksize", &j->block);
    if (st) return st;
    j->scales = j->n / j->block + (j->n % j->block != 0);
    st = part(j, ".quant_map", AC_F32, 16, &at);
    if (!st && memcmp(at, meaning, sizeof meaning) != 0) st = refuse(j, "its quant_map is not NF4's");
    if (st) return st;
    if (ac_json_get(state, "nested_blocksize")) return read_nested(j, state);
    st = part(j, ".absmax", AC_F32, j->scales, &at);
    j->scale = at;
    return st;
}

static float scale_of(const job *j, size_t i)
{
    if (!j->codes) return j->scale[i];
    const float product = j->nested_map[j->codes[i]] * j->nested_scale[i / j->nested_block];
    return product + (float)j->offset;
}

static ac_status make(job *j)
{
    const uint8_t *codes = j->w->data;
    const size_t blocks = j->n / BLOCK;
    size_t bytes = 0;
    if (!ac_size_mul(&bytes, blocks, BLOCK_BYTES)) return ac_fail_nomem(j->err, SIZE_MAX);
    uint8_t *to = ac_arena_alloc(&j->t->arena, bytes);
    if (!to) return ac_fail_nomem(j->err, bytes);
    for (size_t i = 0; i < blocks; i++) {
        const float s = scale_of(j, i * BLOCK / j->block);
        memcpy(to + i * BLOCK_BYTES, &s, sizeof s);
        memcpy(to + i * BLOCK_BYTES + 4, codes + i * BLOCK / 2, BLOCK / 2);
    }
    *j->w = (ac_tensor){ .name = j->w->name, .type = AC_NF4, .n_dims = 2, .dim = { j->rows, j->cols, 1, 1 }, .data = to, .bytes = bytes };
    return AC_OK;
}

static ac_status join_one(job *j, const ac_tensor *state, ac_arena *scratch)
{
    const ac_json *root = NULL;
    const ac_json_limits limits = { .max_bytes = STATE_MAX, .max_values = 1000 };
    const ac_names_slot *slot = ac_names_find(&j->t->names, j->name);
    if (!slot) return refuse(j, "there is a quant_state without the matrix");
    j->w = &j->t->tensor[slot->index];
    if (state->type != AC_U8 || state->bytes > STATE_MAX) return refuse(j, "its quant_state must be at most 64 KiB of JSON");
    ac_status st = ac_json_parse(&root, (ac_view){ state->data, state->bytes }, scratch, "quant_state", 1, &limits, j->err);
    if (st) return ac_err_prefix(j->err, st, "%s: " AC_VIEW_FMT, j->path, SHOWN(j->name));
    st = read_parts(j, root);
    return st ? st : make(j);
}

static bool find_state(const ac_tensor *x, ac_view *matrix)
{
    const size_t at = ac_view_find(x->name, AC_VIEW(state_name), 0);
    if (at == SIZE_MAX || at == 0) return false;
    *matrix = ac_view_slice(x->name, 0, at);
    return true;
}

ac_status ac_nf4_join(ac_tensors *t, const char *path, ac_err *err)
{
    ac_arena scratch = { 0 };
    ac_view name;
    size_t states = 0, kept = 0;
    for (size_t i = 0; i < t->n; i++) states += find_state(&t->tensor[i], &name);
    if (!states) return AC_OK;
    bool *gone = ac_arena_alloc_array(&scratch, t->n, sizeof *gone);
    ac_status st = gone ? AC_OK : ac_fail_nomem(err, t->n * sizeof *gone);
    for (size_t i = 0; i < t->n && !st; i++) {
        job j = { .t = t, .path = path, .gone = gone, .err = err };
        if (!find_state(&t->tensor[i], &j.name)) continue;
        gone[i] = true;
        st = join_one(&j, &t->tensor[i], &scratch);
    }
    for (size_t i = 0; i < t->n && !st; i++)
        if (!gone[i]) t->tensor[kept++] = t->tensor[i];
    ac_arena_release(&scratch);
    if (st) return st;
    t->n = kept;
    return ac_tensors_index(t, path, err);
}
