/* formats/gguf.c - the reader: every length and count is compared with the bytes that remain before it is
 * believed, and nothing is allocated for what the file only claims to hold. */
#include "formats/gguf_int.h"

#include <stdarg.h>
#include <stdio.h>
#include <string.h>
#include "base/size.h"

#define KEYS_MAX      65536u
#define TENSORS_MAX   262144u
#define KEY_MAX       65535u
#define NAME_MAX_LEN  63u           /* what the format's own library accepts */
#define MIN_KV        13u           /* key length, one letter, type; the value has at least a byte */
#define MIN_INFO      33u           /* name length, one letter, n_dims, one dimension, type, offset */
#define ALIGN_DEFAULT 32u

typedef struct {
    ac_gguf *g;
    const char *path;
    const uint8_t *begin, *p, *end;
    ac_err *err;
} reader;

static ac_status refuse(const reader *r, const char *fmt, ...) AC_PRINTF(2, 3);
static ac_status refuse(const reader *r, const char *fmt, ...)
{
    char what[512];
    va_list ap;
    va_start(ap, fmt);
    (void)vsnprintf(what, sizeof what, fmt, ap);
    va_end(ap);
    return ac_fail(r->err, AC_EFORMAT, "%s: byte %zu: %s", r->path, (size_t)(r->p - r->begin), what);
}

static size_t remaining(const reader *r)
{
    return (size_t)(r->end - r->p);
}

/* ---- types ---- */

static const struct {
    const char *name;
    uint8_t bytes;
} types[AC_GGUF_TYPE_COUNT] = {
    [AC_GGUF_U8] = { "UINT8", 1 },      [AC_GGUF_I8] = { "INT8", 1 },   [AC_GGUF_U16] = { "UINT16", 2 },
    [AC_GGUF_I16] = { "INT16", 2 },     [AC_GGUF_U32] = { "UINT32", 4 }, [AC_GGUF_I32] = { "INT32", 4 },
    [AC_GGUF_F32] = { "FLOAT32", 4 },   [AC_GGUF_BOOL] = { "BOOL", 1 }, [AC_GGUF_STRING] = { "STRING", 0 },
    [AC_GGUF_ARRAY] = { "ARRAY", 0 },   [AC_GGUF_U64] = { "UINT64", 8 }, [AC_GGUF_I64] = { "INT64", 8 },
    [AC_GGUF_F64] = { "FLOAT64", 8 },
};

size_t ac_gguf_type_bytes(ac_gguf_type t)
{
    return types[t].bytes;
}

const char *ac_gguf_type_name(ac_gguf_type t)
{
    return types[t].name;
}

/* Tensor types by their number in the file. Those without a dtype are known by name only. */
typedef struct {
    const char *name;
    int dtype;                 /* -1: not supported */
} tensor_type;

static const tensor_type tensor_types[] = {
    [0] = { "F32", AC_F32 },     [1] = { "F16", AC_F16 },     [2] = { "Q4_0", AC_Q4_0 }, [3] = { "Q4_1", AC_Q4_1 },
    [6] = { "Q5_0", AC_Q5_0 },   [7] = { "Q5_1", AC_Q5_1 },   [8] = { "Q8_0", AC_Q8_0 }, [9] = { "Q8_1", -1 },
    [10] = { "Q2_K", -1 },       [11] = { "Q3_K", -1 },       [12] = { "Q4_K", AC_Q4_K }, [13] = { "Q5_K", AC_Q5_K },
    [14] = { "Q6_K", AC_Q6_K },  [15] = { "Q8_K", -1 },       [16] = { "IQ2_XXS", -1 },  [17] = { "IQ2_XS", -1 },
    [18] = { "IQ3_XXS", -1 },    [19] = { "IQ1_S", -1 },      [20] = { "IQ4_NL", -1 },   [21] = { "IQ3_S", -1 },
    [22] = { "IQ2_S", -1 },      [23] = { "IQ4_XS", -1 },     [24] = { "I8", -1 },       [25] = { "I16", -1 },
    [26] = { "I32", -1 },        [27] = { "I64", -1 },        [28] = { "F64", -1 },      [29] = { "IQ1_M", -1 },
    [30] = { "BF16", AC_BF16 },  [34] = { "TQ1_0", -1 },      [35] = { "TQ2_0", -1 },    [39] = { "MXFP4", -1 },
};

/* ---- small pieces ---- */

uint64_t ac_gguf_load(const uint8_t *p, size_t bytes)
{
    uint64_t v = 0;
    for (size_t i = 0; i < bytes; i++) v |= (uint64_t)p[i] << (8 * i);
    return v;
}

static ac_status read_int(reader *r, size_t bytes, uint64_t *out, const char *what)
{
    if (remaining(r) < bytes)
        return refuse(r, "the file ends where %s was expected; it is cut off, fetch it again", what);
    *out = ac_gguf_load(r->p, bytes);
    r->p += bytes;
    return AC_OK;
}

static ac_status read_string(reader *r, ac_view *out, const char *what)
{
    uint64_t len = 0;
    const ac_status st = read_int(r, 8, &len, what);
    if (st) return st;
    if (len > remaining(r)) {
        r->p -= 8;
        return refuse(r, "%s claims %llu bytes, and %zu remain; the file is cut off or damaged", what,
                      (unsigned long long)len, remaining(r) - 8);
    }
    *out = (ac_view){ (const char *)r->p, (size_t)len };
    r->p += len;
    return AC_OK;
}

/* Keys and tensor names: printable ASCII, so that messages and paths made of them hold no surprise. */
static ac_status read_name(reader *r, ac_view *out, size_t max, const char *what)
{
    const uint8_t *at = r->p;
    ac_status st = read_string(r, out, what);
    if (st) return st;
    bool plain = out->len > 0 && out->len <= max;
    for (size_t i = 0; plain && i < out->len; i++)
        plain = (unsigned char)out->ptr[i] > 0x20 && (unsigned char)out->ptr[i] < 0x7f;
    if (plain) return AC_OK;
    r->p = at;
    return refuse(r, "%s must be 1 to %zu printable ASCII characters; the file is damaged", what, max);
}

/* ---- key-value pairs ---- */

static ac_status skip_array(reader *r, ac_gguf_kv *kv)
{
    uint64_t elem = 0;
    const uint8_t *at = r->p;
    ac_status st = read_int(r, 4, &elem, "an array's element type");
    if (!st) st = read_int(r, 8, &kv->n, "an array's length");
    if (st) return st;
    if (elem >= AC_GGUF_TYPE_COUNT || elem == AC_GGUF_ARRAY) {
        r->p = at;
        return refuse(r, "key \"" AC_VIEW_FMT "\": array elements of type %llu (%s) are not supported",
                      AC_VIEW_ARG(kv->name), (unsigned long long)elem, elem == AC_GGUF_ARRAY ? "ARRAY" : "unknown");
    }
    kv->elem = (ac_gguf_type)elem;
    kv->value = r->p;
    const size_t each = types[elem].bytes ? types[elem].bytes : 8;
    if (!ac_size_count_fits(kv->n, each, remaining(r))) {
        r->p = at;
        return refuse(r, "key \"" AC_VIEW_FMT "\": an array of %llu elements cannot fit in the %zu bytes that remain",
                      AC_VIEW_ARG(kv->name), (unsigned long long)kv->n, remaining(r));
    }
    if (types[elem].bytes) {
        r->p += (size_t)kv->n * each;
        return AC_OK;
    }
    for (uint64_t i = 0; i < kv->n; i++) {
        ac_view s;
        st = read_string(r, &s, "a string of an array");
        if (st) return st;
    }
    return AC_OK;
}

static ac_status read_kv(reader *r, ac_gguf_kv *kv)
{
    uint64_t type = 0;
    ac_view s;
    ac_status st = read_name(r, &kv->name, KEY_MAX, "a key");
    if (!st) st = read_int(r, 4, &type, "a value's type");
    if (st) return st;
    if (type >= AC_GGUF_TYPE_COUNT) {
        r->p -= 4;
        return refuse(r, "key \"" AC_VIEW_FMT "\" has a value of unknown type %llu; the file is damaged or newer "
                      "than version 3", AC_VIEW_ARG(kv->name), (unsigned long long)type);
    }
    kv->type = (ac_gguf_type)type;
    kv->value = r->p;
    if (kv->type == AC_GGUF_ARRAY) return skip_array(r, kv);
    if (kv->type == AC_GGUF_STRING) return read_string(r, &s, "a string value");
    uint64_t v = 0;
    st = read_int(r, types[type].bytes, &v, "a value");
    if (!st && kv->type == AC_GGUF_BOOL && v > 1) {
        r->p--;
        return refuse(r, "key \"" AC_VIEW_FMT "\": a BOOL must be 0 or 1, found %u", AC_VIEW_ARG(kv->name), (unsigned)v);
    }
    return st;
}

static ac_status read_keys(reader *r, uint64_t n)
{
    ac_gguf *g = r->g;
    if (n > KEYS_MAX || !ac_size_count_fits(n, MIN_KV, remaining(r)))
        return refuse(r, "claims %llu keys, more than the file can hold or than %u; it is damaged",
                      (unsigned long long)n, KEYS_MAX);
    g->kv = ac_arena_alloc_array(&g->t.arena, (size_t)n, sizeof *g->kv);
    if (!g->kv) return ac_fail_nomem(r->err, n * sizeof *g->kv);
    ac_status st = ac_names_reset(&g->keys, (size_t)n, r->err);
    for (uint64_t i = 0; i < n && !st; i++) {
        ac_gguf_kv *kv = &g->kv[i];
        st = read_kv(r, kv);
        if (!st && ac_names_add(&g->keys, &kv->name, (uint32_t)i))
            st = refuse(r, "key \"" AC_VIEW_FMT "\" stands there twice; write the file anew", AC_VIEW_ARG(kv->name));
        if (!st) g->n_kv++;
    }
    return st;
}

/* ---- tensors ---- */

static ac_status read_dims(reader *r, ac_tensor *t)
{
    uint64_t n_dims = 0;
    ac_status st = read_int(r, 4, &n_dims, "a tensor's number of dimensions");
    if (st) return st;
    if (n_dims < 1 || n_dims > AC_TENSOR_MAX_DIMS)
        return refuse(r, "tensor \"" AC_VIEW_FMT "\" has %llu dimensions; 1 to %d are possible", AC_VIEW_ARG(t->name),
                      (unsigned long long)n_dims, AC_TENSOR_MAX_DIMS);
    t->n_dims = (uint32_t)n_dims;
    for (uint32_t i = 0; i < AC_TENSOR_MAX_DIMS; i++) t->dim[i] = 1;
    for (uint32_t i = 0; i < n_dims && !st; i++) {
        uint64_t d = 0;
        st = read_int(r, 8, &d, "a tensor's dimension");
        if (!st && (d < 1 || d > INT64_MAX || !ac_size_from_u64(&t->dim[n_dims - 1 - i], d)))
            st = refuse(r, "tensor \"" AC_VIEW_FMT "\": dimension %u is %lld; it must be at least 1",
                        AC_VIEW_ARG(t->name), i, (long long)d);
    }
    return st;
}

static ac_status read_type(reader *r, ac_tensor *t)
{
    uint64_t type = 0;
    const ac_status st = read_int(r, 4, &type, "a tensor's type");
    if (st) return st;
    const tensor_type *known = type < AC_COUNTOF(tensor_types) ? &tensor_types[type] : NULL;
    if (!known || !known->name)
        return refuse(r, "tensor \"" AC_VIEW_FMT "\" is of unknown type %llu; the file is damaged or newer than this "
                      "program", AC_VIEW_ARG(t->name), (unsigned long long)type);
    if (known->dtype < 0)
        return refuse(r, "tensor \"" AC_VIEW_FMT "\" is %s, which is not supported; use a file in F32, F16, BF16, "
                      "Q8_0, Q4_0, Q4_1, Q5_0, Q5_1, Q4_K, Q5_K or Q6_K", AC_VIEW_ARG(t->name), known->name);
    t->type = (ac_dtype)known->dtype;
    return AC_OK;
}

/* A tensor's description; its offset is returned, as the data's place is not known yet. */
static ac_status read_info(reader *r, ac_tensor *t, uint64_t *offset)
{
    size_t elems;
    ac_status st = read_name(r, &t->name, NAME_MAX_LEN, "a tensor's name");
    if (!st) st = read_dims(r, t);
    if (!st) st = read_type(r, t);
    if (!st) st = read_int(r, 8, offset, "a tensor's offset");
    if (st) return st;
    const size_t row = t->dim[t->n_dims - 1], block = ac_dtype_block_elems(t->type);
    if (row % block)
        return refuse(r, "tensor \"" AC_VIEW_FMT "\": rows of %zu elements do not divide into blocks of %zu (%s)",
                      AC_VIEW_ARG(t->name), row, block, ac_dtype_name(t->type));
    if (!ac_tensor_sizes(&elems, &t->bytes, t->type, t->dim, t->n_dims))
        return refuse(r, "tensor \"" AC_VIEW_FMT "\" is larger than any file can be", AC_VIEW_ARG(t->name));
    return AC_OK;
}

static ac_status read_alignment(const reader *r, size_t *out)
{
    const ac_gguf_kv *kv = ac_gguf_kv_find(r->g, "general.alignment");
    *out = ALIGN_DEFAULT;
    if (!kv) return AC_OK;
    if (kv->type != AC_GGUF_U32)
        return ac_fail(r->err, AC_EFORMAT, "%s: general.alignment must be UINT32, found %s", r->path,
                       types[kv->type].name);
    const uint64_t a = ac_gguf_load(kv->value, 4);
    if (a < 8 || a > 4096 || (a & (a - 1)))
        return ac_fail(r->err, AC_EFORMAT, "%s: general.alignment is %llu; it must be a power of two from 8 to 4096",
                       r->path, (unsigned long long)a);
    *out = (size_t)a;
    return AC_OK;
}

/* Tensors follow each other in file order, each padded to the alignment: the one layout that the format's own
 * library writes and accepts. Overlaps, holes and offsets that run backwards have no place in it. */
static ac_status place_tensors(reader *r, const uint64_t *offset)
{
    ac_tensors *t = &r->g->t;
    size_t align, start, at = 0;
    const size_t total = (size_t)(r->end - r->begin);
    ac_status st = read_alignment(r, &align);
    if (st) return st;
    if (!ac_size_align(&start, (size_t)(r->p - r->begin), align)) return refuse(r, "its header is too long");
    if (t->n && start > total) return refuse(r, "the file ends in front of the tensor data; fetch it again");
    const size_t room = start < total ? total - start : 0;
    for (size_t i = 0; i < t->n; i++) {
        ac_tensor *x = &t->tensor[i];
        if (offset[i] != at)
            return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" has offset %llu where %zu follows from the "
                           "tensors before it (alignment %zu); write the file anew", r->path, AC_VIEW_ARG(x->name),
                           (unsigned long long)offset[i], at, align);
        if (!ac_size_range(room, at, x->bytes))
            return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" needs bytes %zu to %zu of the data, and the "
                           "file holds %zu; it is cut off, fetch it again", r->path, AC_VIEW_ARG(x->name), at,
                           at + x->bytes, room);
        x->data = r->begin + start + at;
        if (!ac_size_align(&at, at + x->bytes, align)) return refuse(r, "the tensors are too large");
    }
    return AC_OK;
}

static ac_status read_tensors(reader *r, uint64_t n)
{
    ac_tensors *t = &r->g->t;
    if (n > TENSORS_MAX || !ac_size_count_fits(n, MIN_INFO, remaining(r)))
        return refuse(r, "claims %llu tensors, more than the file can hold or than %u; it is damaged",
                      (unsigned long long)n, TENSORS_MAX);
    ac_arena scratch = { 0 };
    uint64_t *offset = ac_arena_alloc_array(&scratch, (size_t)n, sizeof *offset);
    t->tensor = ac_arena_alloc_array(&t->arena, (size_t)n, sizeof *t->tensor);
    ac_status st = t->tensor && offset ? AC_OK : ac_fail_nomem(r->err, n * sizeof *t->tensor);
    for (uint64_t i = 0; i < n && !st; i++) {
        st = read_info(r, &t->tensor[i], &offset[i]);
        if (!st) t->n++;
    }
    if (!st) st = ac_tensors_index(t, r->path, r->err);
    if (!st) st = place_tensors(r, offset);
    ac_arena_release(&scratch);
    return st;
}

/* ---- the file ---- */

static ac_status read_version(reader *r)
{
    uint64_t version = 0;
    const ac_status st = read_int(r, 4, &version, "the version");
    if (st) return st;
    if (version == 2 || version == 3) {
        r->g->version = (uint32_t)version;
        return AC_OK;
    }
    r->p -= 4;
    if (version && (version & 0xffff) == 0) return refuse(r, "is a big-endian GGUF; only little-endian ones are read");
    return refuse(r, "is GGUF version %llu; versions 2 and 3 are read, convert the file", (unsigned long long)version);
}

static ac_status read_all(reader *r)
{
    uint64_t n_tensors = 0, n_kv = 0;
    if (remaining(r) < 4 || memcmp(r->p, "GGUF", 4) != 0)
        return refuse(r, "does not begin with \"GGUF\"; this is no GGUF file");
    r->p += 4;
    ac_status st = read_version(r);
    if (!st) st = read_int(r, 8, &n_tensors, "the number of tensors");
    if (!st) st = read_int(r, 8, &n_kv, "the number of keys");
    if (!st) st = read_keys(r, n_kv);
    if (!st) st = read_tensors(r, n_tensors);
    return st;
}

static ac_status parse(ac_gguf *g, const void *data, size_t len, const char *name, ac_err *err)
{
    static const uint8_t none[1] = { 0 };
    const uint8_t *begin = data ? data : none;
    reader r = { g, name, begin, begin, begin + len, err };
    g->path = ac_arena_strndup(&g->t.arena, name, strlen(name));
    return g->path ? read_all(&r) : ac_fail_nomem(err, strlen(name));
}

ac_status ac_gguf_parse(ac_gguf **out, const void *data, size_t len, const char *name, ac_err *err)
{
    ac_gguf *g = ac_calloc(1, sizeof *g);
    if (!g) return ac_fail_nomem(err, sizeof *g);
    const ac_status st = parse(g, data, len, name, err);
    if (st) ac_gguf_close(&g);
    else *out = g;
    return st;
}

ac_status ac_gguf_open(ac_gguf **out, const char *path, ac_err *err)
{
    ac_gguf *g = ac_calloc(1, sizeof *g);
    if (!g) return ac_fail_nomem(err, sizeof *g);
    ac_status st = ac_map_open(&g->map, path, err);
    if (!st) st = parse(g, g->map.ptr, g->map.len, path, err);
    if (st) ac_gguf_close(&g);
    else *out = g;
    return st;
}

void ac_gguf_close(ac_gguf **gp)
{
    if (!gp || !*gp) return;
    ac_gguf *g = *gp;
    ac_names_release(&g->keys);
    ac_tensors_drop(&g->t);
    ac_map_close(&g->map);
    ac_free(g);
    *gp = NULL;
}

const ac_tensors *ac_gguf_tensors(const ac_gguf *g)
{
    return &g->t;
}

uint32_t ac_gguf_version(const ac_gguf *g)
{
    return g->version;
}

const char *ac_gguf_path(const ac_gguf *g)
{
    return g->path;
}
