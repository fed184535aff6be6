/* kernels/pack.c - stored rows into the layout of few_int.h. Codes and scales are moved, never computed with. */
#include "kernels/few_int.h"
#include "base/mem.h"
#include "base/size.h"

/* Elements of k and bytes of a strip's block; false for a type that has no packed form. */
static bool shape_of(ac_dtype type, size_t *step, size_t *bytes)
{
    switch (type) {
    case AC_F32:  *step = 1;  *bytes = 64;       return true;
    case AC_F16:  *step = 1;  *bytes = 32;       return true;
    case AC_BF16: *step = 2;  *bytes = 64;       return true;
    case AC_Q8_0: *step = 32; *bytes = 32 + 512; return true;
    case AC_Q4_0: *step = 32; *bytes = 32 + 256; return true;
    case AC_Q4_1: *step = 32; *bytes = 64 + 256; return true;
    default:      return false;
    }
}

static size_t strips_of(size_t n)
{
    return (n + AC_STRIP - 1) / AC_STRIP;
}

size_t ac_packed_bytes(ac_dtype type, size_t n, size_t k)
{
    size_t step, bytes, all;
    if (!n || !k || n > SIZE_MAX - AC_STRIP || !shape_of(type, &step, &bytes)) return 0;
    const size_t blocks = k / step + (k % step != 0);
    if (!ac_size_mul(&all, strips_of(n), blocks) || !ac_size_mul(&all, all, bytes)) return 0;
    return all;
}

/* ---- one block of one row -------------------------------------------------------------------------- */

/* Eight codes of eight bytes' low nibbles, as K3 places them. */
static uint32_t eight_codes(const uint8_t *q, unsigned shift)
{
    uint64_t v = 0;
    for (size_t i = 0; i < 8; i++)                   /* the first one to the top */
        v = v << 8 | q[i];
    v = v >> shift & 0x0f0f0f0f0f0f0f0full;
    v = (v | v >> 4) & 0x00ff00ff00ff00ffull;
    v = (v | v >> 8) & 0x0000ffff0000ffffull;
    v = (v | v >> 16) & 0xffffffffull;
    return (uint32_t)(v >> 9 | v << 23);
}

static void put_codes_4(uint8_t *to, const uint8_t *q)
{
    for (size_t i = 0; i < 4; i++) {
        const uint32_t v = eight_codes(q + i % 2 * 8, i < 2 ? 0 : 4);
        memcpy(to + i * 64, &v, 4);
    }
}

/* K4, for both places; a negative zero comes out of the plain formula only. */
static bool exact_in_mantissa(const uint8_t *block)
{
    const uint16_t dh = ac_load_u16(block), mh = ac_load_u16(block + 2);
    const float d = ac_f32_of_f16(dh), m = ac_f32_of_f16(mh);
    if ((dh & 0x8000u) && mh == 0x8000u) return false;
    for (float by = 16; by <= 256; by *= 16) {
        const float rest = m - d * by;
        if ((double)m - (double)d * (double)by != (double)rest) return false;
    }
    return true;
}

/* Lane r of a strip's block from row bytes `src`; kc: elements that there are. Returns false for K4's mark. */
static bool put_lane(uint8_t *to, size_t r, const uint8_t *src, ac_dtype type, size_t kc)
{
    switch (type) {
    case AC_F32:
        memcpy(to + 4 * r, src, 4);
        break;
    case AC_F16:
        memcpy(to + 2 * r, src, 2);
        break;
    case AC_BF16:
        memset(to + 4 * r, 0, 4);
        memcpy(to + 4 * r, src, kc < 2 ? 2 : 4);
        break;
    case AC_Q8_0:
        memcpy(to + 2 * r, src, 2);
        for (size_t i = 0; i < 32; i++) to[32 + 16 * i + r] = src[2 + i];
        break;
    case AC_Q4_0:
        memcpy(to + 2 * r, src, 2);
        put_codes_4(to + 32 + 4 * r, src + 2);
        break;
    default:
        memcpy(to + 2 * r, src, 2);
        memcpy(to + 32 + 2 * r, src + 2, 2);
        put_codes_4(to + 64 + 4 * r, src + 4);
        return exact_in_mantissa(src);
    }
    return true;
}

/* ---- a matrix ------------------------------------------------------------------------------------------ */

typedef struct {
    const ac_packed *p;
    const uint8_t *b;
    size_t row_bytes;
} pack_job;

static void pack_group(void *ctx, size_t group, size_t worker)
{
    AC_UNUSED(worker);
    const pack_job *j = ctx;
    const ac_packed *p = j->p;
    const size_t block_bytes = ac_dtype_block_bytes(p->type), elems = ac_dtype_block_elems(p->type);
    const size_t from = group * AC_GROUP_STRIPS, end = strips_of(p->n);
    bool exact = true;
    for (size_t s = from; s < from + AC_GROUP_STRIPS && s < end; s++) {
        size_t stride;
        uint8_t *to = (uint8_t *)(uintptr_t)ac_packed_strip(p, s, &stride);
        for (size_t r = 0; r < AC_STRIP; r++) {
            const size_t row = s * AC_STRIP + r;
            const uint8_t *src = j->b + (row < p->n ? row : p->n - 1) * j->row_bytes;
            for (size_t i = 0; i < p->blocks; i++)
                exact &= put_lane(to + i * stride, r, src + i * p->step / elems * block_bytes, p->type,
                                  p->k - i * p->step);
        }
    }
    p->inexact[group] = !exact;
}

ac_status ac_packed_open(ac_packed **out, ac_pool *pool, ac_dtype type, const void *b, size_t row_bytes,
                         size_t n, size_t k, ac_err *err)
{
    const size_t bytes = ac_packed_bytes(type, n, k);
    if (!bytes)
        return ac_fail(err, AC_EARG, "weights of type %s (%zu x %zu) have no packed form",
                       ac_dtype_name(type), n, k);
    const size_t groups = (strips_of(n) + AC_GROUP_STRIPS - 1) / AC_GROUP_STRIPS;
    ac_packed *p = ac_calloc(1, sizeof *p);
    if (!p) return ac_fail_nomem(err, sizeof *p);
    *p = (ac_packed){ .type = type, .n = n, .k = k, .data = ac_malloc_aligned(bytes),
                      .inexact = ac_malloc(groups) };
    if (!p->data || !p->inexact) {
        ac_packed_close(&p);
        return ac_fail_nomem(err, bytes);
    }
    (void)shape_of(type, &p->step, &p->bytes);
    p->blocks = k / p->step + (k % p->step != 0);
    pack_job j = { p, b, row_bytes };
    ac_pool_run(pool, groups, pack_group, &j);
    *out = p;
    return AC_OK;
}

void ac_packed_close(ac_packed **p)
{
    if (!p || !*p) return;
    ac_free((*p)->data);
    ac_free((*p)->inexact);
    ac_free(*p);
    *p = NULL;
}
