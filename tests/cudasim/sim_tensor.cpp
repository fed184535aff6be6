/* tests/cudasim/sim_tensor.cpp - the instructions of cuda_ptx.cuh: fragments as the PTX manual lays them out ("Matrix Fragments
 * for mma.m16n8k16", "ldmatrix"). A product's sums are binary32, from c on in the order of k; a GPU's own order is not known. */
#include "backend/cuda/cuda_ptx.cuh"
#include "sim_int.h"

namespace sim {

struct product {
    float *c;
    const uint32_t *a;
    uint32_t b[2];
};

static float half_of(uint32_t two, unsigned which)
{
    return __uint_as_float(which ? two & 0xffff0000u : two << 16);
}

static SIM_INLINE void add(row8 c[16], const float a[16][16], const row8 b[16])
{
    for (unsigned i = 0; i < 16; i++) {
        row8 sum = c[i];
        for (unsigned k = 0; k < 16; k++) sum += a[i][k] * b[k];
        c[i] = sum;
    }
}

static SIM_WIDE void add_wide(row8 c[16], const float a[16][16], const row8 b[16])
{
    add(c, a, b);
}

static void do_mma(void *const arg[32], unsigned)
{
    float a[16][16];
    row8 b[16], c[16];
    for (unsigned lane = 0; lane < 32; lane++) {
        const product *p = (const product *)arg[lane];
        const unsigned g = lane / 4, t = lane % 4 * 2;
        for (unsigned e = 0; e < 2; e++) {
            a[g][t + e] = half_of(p->a[0], e);
            a[g + 8][t + e] = half_of(p->a[1], e);
            a[g][t + 8 + e] = half_of(p->a[2], e);
            a[g + 8][t + 8 + e] = half_of(p->a[3], e);
            b[t + e][g] = half_of(p->b[0], e);
            b[t + 8 + e][g] = half_of(p->b[1], e);
            c[g][t + e] = p->c[e];
            c[g + 8][t + e] = p->c[2 + e];
        }
    }
    static const bool wide = SIM_HAS_WIDE;
    if (wide) add_wide(c, a, b);
    else add(c, a, b);
    for (unsigned lane = 0; lane < 32; lane++) {
        const product *p = (const product *)arg[lane];
        const unsigned g = lane / 4, t = lane % 4 * 2;
        for (unsigned e = 0; e < 2; e++) {
            p->c[e] = c[g][t + e];
            p->c[2 + e] = c[g + 8][t + e];
        }
    }
}

struct load {
    uint32_t *r;
    const unsigned char *row;
};

static uint32_t u16_at(const unsigned char *p)
{
    uint16_t v;
    memcpy(&v, p, sizeof v);
    return v;
}

template <bool TURNED> static void do_load(void *const arg[32], unsigned)
{
    for (unsigned lane = 0; lane < 32; lane++)
        for (unsigned m = 0; m < 4; m++) {
            const unsigned r = TURNED ? lane % 4 * 2 : lane / 4, c = TURNED ? lane / 4 : lane % 4 * 2;
            const unsigned char *lo = ((const load *)arg[8 * m + r])->row + 2 * c;
            const unsigned char *hi = TURNED ? ((const load *)arg[8 * m + r + 1])->row + 2 * c : lo + 2;
            ((const load *)arg[lane])->r[m] = u16_at(lo) | u16_at(hi) << 16;
        }
}

static void check_place(const void *p, const char *what)
{
    if ((uintptr_t)p % 16) fail("%s of an address that is no multiple of 16", what);
    if (!in_shared(p, 16)) fail("%s outside the block's shared memory", what);
}

}

void sim_mma(float c[4], const uint32_t a[4], uint32_t b0, uint32_t b1)
{
    sim::product p = { c, a, { b0, b1 } };
    sim::together(0xffffffffu, sim::do_mma, "mma", &p);
}

void sim_matrices(uint32_t r[4], const void *row, bool turned)
{
    sim::load l = { r, (const unsigned char *)row };
    sim::check_place(row, "ldmatrix");
    if (turned) sim::together(0xffffffffu, sim::do_load<true>, "ldmatrix.trans", &l);
    else sim::together(0xffffffffu, sim::do_load<false>, "ldmatrix", &l);
}

void sim_copy16(void *to, const void *from, bool there)
{
    sim::check_place(to, "cp.async to shared memory");
    if ((uintptr_t)from % 16) sim::fail("cp.async from an address that is no multiple of 16");
    if (there && !sim::on_device(from, 16)) sim::fail("cp.async from %p, which is not device memory", from);
    sim::copy_later(to, from, there);
}

void sim_awaited()
{
    sim::await_previous();
}

void sim_commit()
{
    sim::copies_commit();
}

void sim_wait(unsigned left)
{
    sim::copies_wait(left);
}
