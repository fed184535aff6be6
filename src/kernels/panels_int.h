/* kernels/panels_int.h - weights laid out ahead for the tile kernels.
 *
 * P1  Logically B is k rows of n columns, whichever way it is stored. Blocks of k (AC_K_BLOCK; the last perhaps shorter)
 *     stand one after another; a block is its panels in order; a panel of nr columns stands as [k][nr] (T2).
 * P2  Columns past the last one are +0, and no tile stores what comes of them.
 * Elements are binary32, expanded by B5: what a tile reads is what it would read if B were expanded at each call. */
#ifndef AC_KERNELS_PANELS_INT_H
#define AC_KERNELS_PANELS_INT_H

#include "kernels/kernels_int.h"

struct ac_panels {
    size_t nr, n, k, width;        /* width: n filled up to whole panels */
    float *data;
};

/* The panel of column j (a multiple of nr) in the block that begins at k0; its kc is as long as the block. */
AC_INLINE const float *ac_panels_at(const ac_panels *p, size_t k0, size_t j)
{
    const size_t left = p->k - k0, kc = left < AC_K_BLOCK ? left : AC_K_BLOCK;
    return p->data + k0 * p->width + j * kc;
}

#endif
