/* formats/gguf.h - GGUF v2 and v3, little-endian (source: the GGUF specification of ggml).
 *
 * G1  The header is read with bounds before anything is allocated; counts are checked against the bytes
 *     that remain. Keys and tensor names are unique; alignment is a power of two from 8 to 4096.
 * G2  Typed access only: a key of another type is AC_EFORMAT and names key, found and wanted type.
 * G3  Types F32 F16 BF16 Q8_0 Q4_0 Q4_1 Q5_0 Q5_1 Q4_K Q5_K Q6_K; others are refused by name. */
#ifndef AC_FORMATS_GGUF_H
#define AC_FORMATS_GGUF_H

#include <stdbool.h>
#include "formats/tensors.h"

typedef struct ac_gguf ac_gguf;

ac_status ac_gguf_open(ac_gguf **out, const char *path, ac_err *err);
void      ac_gguf_close(ac_gguf **g);
const ac_tensors *ac_gguf_tensors(const ac_gguf *g);     /* borrowed; closed with the file */
uint32_t  ac_gguf_version(const ac_gguf *g);
const char *ac_gguf_path(const ac_gguf *g);

bool      ac_gguf_has(const ac_gguf *g, const char *key);
size_t    ac_gguf_key_count(const ac_gguf *g);
/* Key name and, for inspect, its value as short text (long arrays abbreviated) appended to s. */
ac_view   ac_gguf_key_at(const ac_gguf *g, size_t i, ac_str *value_text);
/* AC_ENOENT when absent (message set), AC_EFORMAT when of another type or out of range.
 * Integer reads accept any integer type that holds the value. */
ac_status ac_gguf_u64(uint64_t *out, const ac_gguf *g, const char *key, ac_err *err);
ac_status ac_gguf_f64(double *out, const ac_gguf *g, const char *key, ac_err *err);
ac_status ac_gguf_bool(bool *out, const ac_gguf *g, const char *key, ac_err *err);
ac_status ac_gguf_str(ac_view *out, const ac_gguf *g, const char *key, ac_err *err);
/* Arrays: count, then elements. Views borrow from the map. */
ac_status ac_gguf_array_count(size_t *out, const ac_gguf *g, const char *key, ac_err *err);
/* Fills n views for a string array (O(n), one pass). n must equal the count. */
ac_status ac_gguf_str_array(ac_view *out, size_t n, const ac_gguf *g, const char *key, ac_err *err);
ac_status ac_gguf_f32_array(float *out, size_t n, const ac_gguf *g, const char *key, ac_err *err);
ac_status ac_gguf_i32_array(int32_t *out, size_t n, const ac_gguf *g, const char *key, ac_err *err);

#endif
