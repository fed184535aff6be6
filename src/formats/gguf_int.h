/* formats/gguf_int.h - an open GGUF, shared by the reader of the file and the reader of its values. */
#ifndef AC_FORMATS_GGUF_INT_H
#define AC_FORMATS_GGUF_INT_H

#include "formats/gguf.h"
#include "formats/tensors_int.h"

typedef enum {
    AC_GGUF_U8, AC_GGUF_I8, AC_GGUF_U16, AC_GGUF_I16, AC_GGUF_U32, AC_GGUF_I32, AC_GGUF_F32, AC_GGUF_BOOL,
    AC_GGUF_STRING, AC_GGUF_ARRAY, AC_GGUF_U64, AC_GGUF_I64, AC_GGUF_F64, AC_GGUF_TYPE_COUNT
} ac_gguf_type;

typedef struct {
    ac_view name;
    ac_gguf_type type, elem;   /* elem: of an ARRAY */
    uint64_t n;                /* elements of an ARRAY */
    const uint8_t *value;      /* checked to lie in the file: the scalar, the string's length, the first element */
} ac_gguf_kv;

struct ac_gguf {
    ac_tensors t;
    ac_map map;
    char *path;
    uint32_t version;
    ac_gguf_kv *kv;
    size_t n_kv;
    ac_names keys;
};

size_t ac_gguf_type_bytes(ac_gguf_type t);        /* 0 for strings and arrays */
const char *ac_gguf_type_name(ac_gguf_type t);    /* "UINT32" */
uint64_t ac_gguf_load(const uint8_t *p, size_t bytes);   /* little-endian */
const ac_gguf_kv *ac_gguf_kv_find(const ac_gguf *g, const char *key);

/* Reads from memory, for fuzzing and tests. Borrows data, which outlives *out. */
ac_status ac_gguf_parse(ac_gguf **out, const void *data, size_t len, const char *name, ac_err *err);

#endif
