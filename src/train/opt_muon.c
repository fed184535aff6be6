/* train/opt_muon.c - Muon (Jordan et al., 2024): matrices go along their orthogonalised Nesterov momentum; vectors and
 * the embedding take AdamW. A matrix's step is lr * 0.2 * sqrt(larger side) (Liu et al., 2025), which gives its update
 * the size that AdamW's has, so that one lr and one weight decay serve both. */
#include <math.h>

#include "train/train_int.h"

void ac_step_muon(ac_optimizer *o, const ac_optim_step *s)
{
    ac_step_moments(o, s);                    /* AdamW's parts are done, the others have their update in the gradient */
    for (size_t i = 0; i < o->ad->n_tensors; i++) {
        const ac_param *p = &o->ad->tensor[i];
        if (p->kind != AC_PARAM_MATRIX) continue;
        const ac_muon_args a = {
            .p = ac_ref_at(s->p, p->at), .x = ac_ref_at(s->g, p->at), .rows = p->rows, .cols = p->cols,
            .keep = s->keep, .scratch = s->scratch,
            .step = (float)(s->lr * 0.2 * sqrt((double)(p->rows > p->cols ? p->rows : p->cols))),
        };
        o->dev->op->muon(o->dev, &a);
    }
}
