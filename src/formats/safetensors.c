/* formats/safetensors.c - the reader: one file, a folder, or shards under an index.
 *
 * The rules are those of the format's own validate(), and a little stricter where parsers are known to
 * differ: the header begins with '{', holds no key twice, and the data is covered once and completely
 * (no holes, no overlaps), so that a file means one thing only. */
#include "formats/tensors_int.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include "base/size.h"
#include "formats/json.h"

#define HEADER_MAX   ((size_t)100000000)   /* the format's own limit */
#define VALUES_MAX   ((size_t)2 << 20)
#define TENSORS_MAX  ((size_t)262144)
#define META_MAX     ((size_t)16 << 20)
#define SHARDS_MAX   ((size_t)4096)
#define INDEX_MAX    ((size_t)64 << 20)
#define DIM_MAX      ((int64_t)1 << 53)

typedef struct {
    const char *path;
    const uint8_t *data;       /* behind the header */
    size_t data_len;
    ac_tensors *t;
    ac_err *err;
} reader;

typedef struct {
    size_t begin, end, order;
    ac_tensor tensor;
} entry;

static const struct {
    const char *name;
    ac_dtype type;
} dtypes[] = {
    { "F32", AC_F32 }, { "F16", AC_F16 }, { "BF16", AC_BF16 }, { "F64", AC_F64 }, { "I8", AC_I8 },
    { "U8", AC_U8 },   { "I16", AC_I16 }, { "U16", AC_U16 },   { "I32", AC_I32 }, { "U32", AC_U32 },
    { "I64", AC_I64 }, { "U64", AC_U64 }, { "BOOL", AC_BOOL },
};

#define SHOWN(v) AC_VIEW_ARG(ac_view_slice((v), 0, 100))

/* ---- one tensor's entry ---- */

static ac_status bad_entry(const reader *r, ac_view name, const char *finding)
{
    return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\": %s", r->path, SHOWN(name), finding);
}

/* Digits only: 1e3, "2", -1 and 2.0 are no dimensions, whatever other parsers make of them. */
static bool plain_size(const ac_json *v, size_t *out)
{
    int64_t i;
    if (v->type != AC_JSON_NUMBER || !ac_parse_i64(v->text, &i) || v->text.ptr[0] == '-') return false;
    return i <= DIM_MAX && ac_size_from_i64(out, i);
}

static ac_status read_dtype(const reader *r, ac_view name, const ac_json *v, ac_dtype *out)
{
    if (v->type != AC_JSON_STRING) return bad_entry(r, name, "\"dtype\" must be a string such as \"F32\"");
    for (size_t i = 0; i < AC_COUNTOF(dtypes); i++) {
        if (ac_view_eq_str(v->text, dtypes[i].name)) {
            *out = dtypes[i].type;
            return AC_OK;
        }
    }
    return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\": dtype \"" AC_VIEW_FMT
                   "\" is not supported; convert the file to BF16, F16 or F32", r->path, SHOWN(name), SHOWN(v->text));
}

static ac_status read_shape(const reader *r, ac_view name, const ac_json *v, ac_tensor *t)
{
    if (v->type != AC_JSON_ARRAY) return bad_entry(r, name, "\"shape\" must be an array of whole numbers");
    if (v->n > AC_TENSOR_MAX_DIMS)
        return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" has %u dimensions; at most %d are supported",
                       r->path, SHOWN(name), v->n, AC_TENSOR_MAX_DIMS);
    for (uint32_t i = 0; i < AC_TENSOR_MAX_DIMS; i++) t->dim[i] = 1;
    for (const ac_json *d = v->child; d; d = d->next)
        if (!plain_size(d, &t->dim[t->n_dims++]))
            return bad_entry(r, name, "each dimension must be a whole number from 0 to 2^53, written in digits");
    return AC_OK;
}

static ac_status read_offsets(const reader *r, ac_view name, const ac_json *v, entry *e)
{
    if (v->type != AC_JSON_ARRAY || v->n != 2 || !plain_size(v->child, &e->begin)
        || !plain_size(v->child->next, &e->end))
        return bad_entry(r, name, "\"data_offsets\" must be two whole numbers, begin and end");
    if (e->begin > e->end || e->end > r->data_len)
        return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" claims bytes %zu to %zu of %zu; the file is "
                       "cut off or damaged, fetch it again", r->path, SHOWN(name), e->begin, e->end, r->data_len);
    return AC_OK;
}

static ac_status read_entry(const reader *r, const ac_json *v, entry *e)
{
    const ac_view name = v->key;
    const ac_json *dtype = ac_json_get(v, "dtype"), *shape = ac_json_get(v, "shape");
    const ac_json *offsets = ac_json_get(v, "data_offsets");
    if (v->type != AC_JSON_OBJECT) return bad_entry(r, name, "its entry must be an object");
    if (!dtype || !shape || !offsets || v->n != 3)
        return bad_entry(r, name, "its entry must hold dtype, shape and data_offsets, and nothing else");
    if (name.len == 0 || memchr(name.ptr, 0, name.len))
        return bad_entry(r, name, "a name must not be empty or contain NUL");
    ac_tensor *t = &e->tensor;
    ac_status st = read_dtype(r, name, dtype, &t->type);
    if (!st) st = read_shape(r, name, shape, t);
    if (!st) st = read_offsets(r, name, offsets, e);
    if (st) return st;
    size_t elems;
    if (!ac_tensor_sizes(&elems, &t->bytes, t->type, t->dim, t->n_dims))
        return bad_entry(r, name, "its shape is larger than any file can be");
    if (t->bytes != e->end - e->begin)
        return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" needs %zu bytes by shape and dtype, but its "
                       "offsets span %zu; write the file anew", r->path, SHOWN(name), t->bytes, e->end - e->begin);
    char *own = ac_arena_strndup(&r->t->arena, name.ptr, name.len);
    if (!own) return ac_fail_nomem(r->err, name.len);
    t->name = (ac_view){ own, name.len };
    return AC_OK;
}

/* ---- the whole header ---- */

static ac_status read_metadata(const reader *r, const ac_json *v)
{
    size_t bytes = 0;
    if (v->type != AC_JSON_OBJECT)
        return ac_fail(r->err, AC_EFORMAT, "%s: __metadata__ must be an object of strings", r->path);
    ac_meta_pair *meta = ac_arena_alloc_array(&r->t->arena, v->n, sizeof *meta);
    if (!meta) return ac_fail_nomem(r->err, v->n * sizeof *meta);
    size_t n = 0;
    for (const ac_json *c = v->child; c; c = c->next) {
        if (c->type != AC_JSON_STRING)
            return ac_fail(r->err, AC_EFORMAT, "%s: __metadata__ \"" AC_VIEW_FMT "\" must be a string, found %s",
                           r->path, SHOWN(c->key), ac_json_type_name(c->type));
        bytes += c->key.len + c->text.len;
        if (bytes > META_MAX)
            return ac_fail(r->err, AC_EFORMAT, "%s: __metadata__ holds more than %zu bytes", r->path, META_MAX);
        char *key = ac_arena_strndup(&r->t->arena, c->key.ptr, c->key.len);
        char *text = ac_arena_strndup(&r->t->arena, c->text.ptr, c->text.len);
        if (!key || !text) return ac_fail_nomem(r->err, c->text.len);
        meta[n].key = (ac_view){ key, c->key.len };
        meta[n++].value = (ac_view){ text, c->text.len };
    }
    r->t->meta = meta;
    r->t->n_meta = n;
    return AC_OK;
}

static int by_offset(const void *pa, const void *pb)
{
    const entry *a = pa, *b = pb;
    if (a->begin != b->begin) return a->begin < b->begin ? -1 : 1;
    if (a->end != b->end) return a->end < b->end ? -1 : 1;
    return a->order < b->order ? -1 : 1;
}

/* In offset order each tensor begins where the one before ended, and the last ends with the file. A tensor
 * without elements may stand at any such border. */
static ac_status check_coverage(const reader *r, const entry *e, size_t n)
{
    size_t at = 0;
    for (size_t i = 0; i < n; i++) {
        if (e[i].begin != at)
            return ac_fail(r->err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" begins at byte %zu of the data, but %zu "
                           "is where the one before it ends (%s); write the file anew", r->path,
                           SHOWN(e[i].tensor.name), e[i].begin, at, e[i].begin < at ? "overlap" : "hole");
        at = e[i].end;
    }
    if (at != r->data_len)
        return ac_fail(r->err, AC_EFORMAT, "%s: the tensors end at byte %zu of the data, but the file holds %zu; "
                       "it is damaged or carries something else", r->path, at, r->data_len);
    return AC_OK;
}

/* Kernels read elements in place. Files of early writers may hold them at odd addresses; those are copied. */
static ac_status place_data(const reader *r, entry *e)
{
    const uint8_t *p = r->data ? r->data + e->begin : NULL;
    if (e->tensor.bytes && (uintptr_t)p % ac_dtype_block_bytes(e->tensor.type) != 0) {
        void *copy = ac_arena_alloc(&r->t->arena, e->tensor.bytes);
        if (!copy) return ac_fail_nomem(r->err, e->tensor.bytes);
        memcpy(copy, p, e->tensor.bytes);
        p = copy;
    }
    e->tensor.data = p;
    return AC_OK;
}

/* Appends to t->tensor; the array has room for all shards' tensors or is made here for one file. */
static ac_status keep_tensors(const reader *r, entry *e, size_t n)
{
    ac_tensors *t = r->t;
    if (t->n + n > t->room) {
        size_t room = t->n + n > t->room * 2 ? t->n + n : t->room * 2;
        ac_tensor *all = ac_arena_alloc_array(&t->arena, room, sizeof *all);
        if (!all) return ac_fail_nomem(r->err, room * sizeof *all);
        if (t->n) memcpy(all, t->tensor, t->n * sizeof *all);
        t->tensor = all;
        t->room = room;
    }
    for (size_t i = 0; i < n; i++) {
        const ac_status st = place_data(r, &e[i]);
        if (st) return st;
        t->tensor[t->n++] = e[i].tensor;
    }
    return AC_OK;
}

static ac_status read_entries(const reader *r, const ac_json *header)
{
    if (header->n > TENSORS_MAX)
        return ac_fail(r->err, AC_EFORMAT, "%s: has %u tensors; at most %zu are read", r->path, header->n, TENSORS_MAX);
    ac_arena scratch = { 0 };
    entry *e = ac_arena_alloc_array(&scratch, header->n, sizeof *e);
    ac_status st = e ? AC_OK : ac_fail_nomem(r->err, header->n * sizeof *e);
    size_t n = 0;
    for (const ac_json *v = header->child; v && !st; v = v->next) {
        if (ac_view_eq_str(v->key, "__metadata__")) {
            st = read_metadata(r, v);
        } else {
            e[n].order = n;
            st = read_entry(r, v, &e[n++]);
        }
    }
    if (!st && n) qsort(e, n, sizeof *e, by_offset);
    if (!st) st = check_coverage(r, e, n);
    if (!st) st = keep_tensors(r, e, n);
    ac_arena_release(&scratch);
    return st;
}

/* Files of other kinds under this name are told apart, because what to do next differs. */
static ac_status wrong_kind(const char *path, const uint8_t *data, size_t len, ac_err *err)
{
    if (len >= 4 && memcmp(data, "GGUF", 4) == 0)
        return ac_fail(err, AC_EFORMAT, "%s: is a GGUF file; give it the ending .gguf", path);
    if (len >= 4 && memcmp(data, "PK\x03\x04", 4) == 0)
        return ac_fail(err, AC_EFORMAT, "%s: is a zip archive, probably a PyTorch checkpoint; pickles are never "
                       "loaded, convert it to safetensors", path);
    if (len >= 2 && data[0] == 0x80 && data[1] <= 5 && data[1] >= 2 && len >= 8 && (data[6] || data[7]))
        return ac_fail(err, AC_EFORMAT, "%s: is a Python pickle, which is never loaded; convert it to safetensors", path);
    return AC_OK;
}

static ac_status read_one(ac_tensors *t, const void *bytes, size_t len, const char *path, ac_err *err)
{
    const uint8_t *data = bytes;
    uint64_t header_len = 0;
    size_t n = 0;
    ac_status st = wrong_kind(path, data, len, err);
    if (st) return st;
    if (len < 8)
        return ac_fail(err, AC_EFORMAT, "%s: has %zu bytes, too few for a safetensors file; fetch it again", path, len);
    for (unsigned i = 0; i < 8; i++) header_len |= (uint64_t)data[i] << (8 * i);
    if (header_len > HEADER_MAX || !ac_size_from_u64(&n, header_len) || n > len - 8)
        return ac_fail(err, AC_EFORMAT, "%s: claims a header of %llu bytes in a file of %zu; it is cut off or no "
                       "safetensors file", path, (unsigned long long)header_len, len);
    if (n == 0 || data[8] != '{')
        return ac_fail(err, AC_EFORMAT, "%s: byte 8: the header must begin with '{'; this is no safetensors file", path);
    /* A copy: what is parsed must not change under the parser when somebody writes to the file. */
    ac_arena scratch = { 0 };
    char *copy = ac_arena_strndup(&scratch, (const char *)data + 8, n);
    const ac_json *header = NULL;
    const ac_json_limits limits = { .max_bytes = HEADER_MAX, .max_values = VALUES_MAX };
    st = copy ? ac_json_parse(&header, (ac_view){ copy, n }, &scratch, "header", 1, &limits, err)
              : ac_fail_nomem(err, n);
    if (st && copy) st = ac_err_prefix(err, st, "%s", path);
    reader r = { path, data + 8 + n, len - 8 - n, t, err };
    if (!st) st = read_entries(&r, header);
    ac_arena_release(&scratch);
    return st;
}

/* ---- files ---- */

static ac_status read_map(ac_tensors *t, const char *path, ac_err *err)
{
    const ac_status st = ac_map_open(&t->map[t->n_maps], path, err);
    if (st) return st;
    const ac_map m = t->map[t->n_maps++];
    return read_one(t, m.ptr, m.len, path, err);
}

static ac_status read_file(ac_tensors *t, const char *path, ac_err *err)
{
    t->map = ac_arena_alloc_array(&t->arena, 1, sizeof *t->map);
    if (!t->map) return ac_fail_nomem(err, sizeof *t->map);
    const ac_status st = read_map(t, path, err);
    return st ? st : ac_tensors_index(t, path, err);
}

typedef struct {
    ac_view *name;         /* distinct shard files, sorted */
    size_t n;
    const ac_json *map;    /* tensor -> shard */
} shards;

static int view_order(const void *a, const void *b)
{
    return ac_view_cmp(*(const ac_view *)a, *(const ac_view *)b);
}

static ac_status list_shards(shards *s, const ac_json *root, const char *path, ac_arena *scratch, ac_err *err)
{
    s->map = ac_json_get(root, "weight_map");
    if (!s->map || s->map->type != AC_JSON_OBJECT || s->map->n == 0)
        return ac_fail(err, AC_EFORMAT, "%s: \"weight_map\" must be an object that names a file for each tensor", path);
    s->name = ac_arena_alloc_array(scratch, s->map->n, sizeof *s->name);
    if (!s->name) return ac_fail_nomem(err, s->map->n * sizeof *s->name);
    size_t n = 0;
    for (const ac_json *v = s->map->child; v; v = v->next) {
        if (v->type != AC_JSON_STRING || !ac_path_component_ok(v->text))
            return ac_fail(err, AC_EFORMAT, "%s: weight_map \"" AC_VIEW_FMT "\" must name a file in the same folder",
                           path, SHOWN(v->key));
        if (!ac_view_ends(v->text, AC_VIEW(".safetensors")))
            return ac_fail(err, AC_EFORMAT, "%s: weight_map names \"" AC_VIEW_FMT "\", which is no .safetensors file; "
                           "convert the model to safetensors", path, SHOWN(v->text));
        s->name[n++] = v->text;
    }
    qsort(s->name, n, sizeof *s->name, view_order);
    for (size_t i = 0; i < n; i++)
        if (s->n == 0 || !ac_view_eq(s->name[s->n - 1], s->name[i])) s->name[s->n++] = s->name[i];
    if (s->n > SHARDS_MAX)
        return ac_fail(err, AC_EFORMAT, "%s: names %zu files; at most %zu are read", path, s->n, SHARDS_MAX);
    return AC_OK;
}

/* Index and shards agree in both directions: each tensor stands where the index says, and nowhere else. */
static ac_status check_index(const ac_tensors *t, const size_t *shard_end, const shards *s, const char *path,
                             ac_err *err)
{
    size_t found = 0;
    for (const ac_json *v = s->map->child; v; v = v->next) {
        const ac_names_slot *slot = ac_names_find(&t->names, v->key);
        size_t shard = 0;
        if (slot) {
            while (slot->index >= shard_end[shard]) shard++;
            found++;
        }
        if (!slot || !ac_view_eq(s->name[shard], v->text))
            return ac_fail(err, AC_EFORMAT, "%s: tensor \"" AC_VIEW_FMT "\" should stand in " AC_VIEW_FMT
                           " and does not; the shards belong to different downloads, fetch them again", path,
                           SHOWN(v->key), SHOWN(v->text));
    }
    if (found != t->n)
        return ac_fail(err, AC_EFORMAT, "%s: the shards hold %zu tensors, weight_map names %zu; fetch them again", path,
                       t->n, found);
    return AC_OK;
}

static ac_status read_shards(ac_tensors *t, const shards *s, const char *dir, const char *path,
                             ac_arena *scratch, ac_err *err)
{
    size_t *shard_end = ac_arena_alloc_array(scratch, s->n, sizeof *shard_end);
    t->map = ac_arena_alloc_array(&t->arena, s->n, sizeof *t->map);
    if (!t->map || !shard_end) return ac_fail_nomem(err, s->n * sizeof *t->map);
    for (size_t i = 0; i < s->n; i++) {
        const char *file = ac_path_join(scratch, dir, s->name[i].ptr);
        if (!file) return ac_fail_nomem(err, s->name[i].len);
        ac_status st = read_map(t, file, err);
        if (st) return st == AC_ENOENT ? ac_err_prefix(err, st, "%s names a missing shard", path) : st;
        shard_end[i] = t->n;
        if (t->n > TENSORS_MAX)
            return ac_fail(err, AC_EFORMAT, "%s: more than %zu tensors", path, TENSORS_MAX);
    }
    const ac_status st = ac_tensors_index(t, path, err);
    return st ? st : check_index(t, shard_end, s, path, err);
}

static ac_status read_index(ac_tensors *t, const char *path, ac_err *err)
{
    ac_arena scratch = { 0 };
    const ac_json *root;
    shards s = { 0 };
    const ac_json_limits limits = { .max_bytes = INDEX_MAX, .max_values = VALUES_MAX };
    const char *slash = strrchr(path, '/');
    const char *dir = slash ? ac_arena_strndup(&scratch, path, (size_t)(slash - path) + 1) : "";
    ac_status st = dir ? ac_json_parse_file(&root, path, &scratch, &limits, err) : ac_fail_nomem(err, strlen(path));
    if (!st) st = list_shards(&s, root, path, &scratch, err);
    if (!st) st = read_shards(t, &s, dir, path, &scratch, err);
    ac_arena_release(&scratch);
    return st;
}

/* In a folder: an index, else model.safetensors, else the only *.safetensors file. */
static ac_status choose_file(const char **file, const char *dir, ac_arena *scratch, ac_err *err)
{
    static const char *const usual[] = { "model.safetensors.index.json", "model.safetensors" };
    for (size_t i = 0; i < AC_COUNTOF(usual); i++) {
        const char *p = ac_path_join(scratch, dir, usual[i]);
        if (!p) return ac_fail_nomem(err, strlen(dir));
        if (ac_path_exists(p)) {
            *file = p;
            return AC_OK;
        }
    }
    char **name;
    size_t n, found = 0;
    const ac_status st = ac_dir_list(dir, scratch, &name, &n, err);
    if (st) return st;
    for (size_t i = 0; i < n; i++) {
        if (!ac_view_ends(ac_view_of(name[i]), AC_VIEW(".safetensors"))) continue;
        *file = ac_path_join(scratch, dir, name[i]);
        if (!*file) return ac_fail_nomem(err, strlen(dir));
        found++;
    }
    if (found == 0)
        return ac_fail(err, AC_ENOENT, "%s: holds no .safetensors file; give the folder of a model", dir);
    if (found > 1)
        return ac_fail(err, AC_ENOENT, "%s: holds %zu .safetensors files and no model.safetensors.index.json; "
                       "name one file or add the index", dir, found);
    return AC_OK;
}

ac_status ac_safetensors_open(ac_tensors **out, const char *path, ac_err *err)
{
    ac_tensors *t = ac_calloc(1, sizeof *t);
    if (!t) return ac_fail_nomem(err, sizeof *t);
    ac_arena scratch = { 0 };
    const char *file = path;
    ac_status st = ac_path_is_dir(path) ? choose_file(&file, path, &scratch, err) : AC_OK;
    if (!st)
        st = ac_view_ends(ac_view_of(file), AC_VIEW(".json")) ? read_index(t, file, err) : read_file(t, file, err);
    if (!st) st = ac_nf4_join(t, path, err);
    ac_arena_release(&scratch);
    if (st) ac_tensors_close(&t);
    else *out = t;
    return st;
}

ac_status ac_safetensors_parse(ac_tensors **out, const void *data, size_t len, const char *name, ac_err *err)
{
    ac_tensors *t = ac_calloc(1, sizeof *t);
    if (!t) return ac_fail_nomem(err, sizeof *t);
    ac_status st = read_one(t, data, len, name, err);
    if (!st) st = ac_tensors_index(t, name, err);
    if (!st) st = ac_nf4_join(t, name, err);
    if (st) ac_tensors_close(&t);
    else *out = t;
    return st;
}

ac_view ac_safetensors_metadata(const ac_tensors *t, const char *key)
{
    for (size_t i = 0; t && t->n_maps <= 1 && i < t->n_meta; i++)
        if (ac_view_eq_str(t->meta[i].key, key)) return t->meta[i].value;
    return (ac_view){ NULL, 0 };
}
