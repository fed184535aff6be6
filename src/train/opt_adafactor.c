/* train/opt_adafactor.c - Adafactor (Shazeer and Stern, 2018), in torch's order: the second moment of a matrix is kept
 * as the means of its rows and of its columns, so that the state is as small as its sides. No first moment. */
#include <math.h>

#include "train/train_int.h"

static bool is_factored(const ac_param *p)
{
    return p->kind != AC_PARAM_VECTOR;
}

void ac_plan_adafactor(const ac_train_opts *o, const ac_adapter *ad, ac_optim_need *need, ac_optim_part *part)
{
    AC_UNUSED(o);
    AC_UNUSED(part);
    for (size_t i = 0; i < ad->n_tensors; i++) {
        const ac_param *p = &ad->tensor[i];
        if (is_factored(p)) need->factors += p->rows + p->cols;
        else need->v += p->rows * p->cols;
        if (is_factored(p) && p->cols > need->scratch) need->scratch = p->cols;
    }
}

void ac_step_adafactor(ac_optimizer *o, const ac_optim_step *s)
{
    const double weight = ac_pow_f64((double)s->t, -0.8), cap = 1.0 / sqrt((double)s->t);
    size_t factor_at = 0, v_at = 0;
    for (size_t i = 0; i < o->ad->n_tensors; i++) {
        const ac_param *p = &o->ad->tensor[i];
        ac_adafactor_args a = {
            .p = ac_ref_at(s->p, p->at), .g = ac_ref_at(s->g, p->at), .rows = p->rows, .cols = p->cols,
            .grad_scale = s->grad_scale, .keep = ac_param_decays(p) ? s->keep : 1.0f,
            .b2 = (float)(1.0 - weight), .one_minus_b2 = (float)weight,
            .rho = s->lr < cap ? s->lr : cap, .scratch = s->scratch,
        };
        if (is_factored(p)) {
            a.row = (ac_ref){ s->state[AC_STATE_FACTORS], factor_at };
            a.col = ac_ref_at(a.row, p->rows);
            factor_at += p->rows + p->cols;
        } else {
            a.v = (ac_ref){ s->state[AC_STATE_V], v_at };
            v_at += p->rows * p->cols;
        }
        o->dev->op->adafactor(o->dev, &a);
    }
}
