/* train/opt_moments.c - rules that go element by element over one or two moments: AdamW (Loshchilov and Hutter,
 * 2019), SGD with momentum as torch has it, Lion (Chen et al., 2023), and the momentum in front of Muon. */
#include <math.h>

#include "base/rng.h"
#include "train/train_int.h"

static ac_rule rule_of(const ac_train_opts *o, const ac_param *p)
{
    switch (o->optimizer) {
    case AC_OPTIM_SGD: return AC_RULE_SGD;
    case AC_OPTIM_LION: return AC_RULE_LION;
    case AC_OPTIM_MUON: return p->kind == AC_PARAM_MATRIX ? AC_RULE_NESTEROV : AC_RULE_ADAMW;
    default: return AC_RULE_ADAMW;
    }
}

static size_t blocks(size_t n)
{
    return n / AC_STATE_BLOCK + (n % AC_STATE_BLOCK != 0);
}

static void add_part(const ac_train_opts *o, const ac_optim_part *part, ac_optim_need *need)
{
    const bool has_m = part->rule != AC_RULE_SGD || o->momentum > 0;
    need->m += has_m ? part->n : 0;
    need->m_blocks += has_m ? blocks(part->n) : 0;
    need->v += part->has_v ? part->n : 0;
    need->v_blocks += part->has_v ? blocks(part->n) : 0;
    need->parts++;
}

void ac_plan_moments(const ac_train_opts *o, const ac_adapter *ad, ac_optim_need *need, ac_optim_part *out)
{
    for (size_t i = 0, next; i < ad->n_tensors; i = next) {
        const ac_rule rule = rule_of(o, &ad->tensor[i]);
        ac_optim_part part = { .rule = rule, .at = ad->tensor[i].at, .has_v = rule == AC_RULE_ADAMW,
                               .decays = ac_param_decays(&ad->tensor[i]), .m_at = need->m,
                               .v_at = need->v, .m_block = need->m_blocks, .v_block = need->v_blocks };
        for (next = i; next < ad->n_tensors; next++) {
            const ac_param *p = &ad->tensor[next];
            if (rule_of(o, p) != rule || ac_param_decays(p) != part.decays) break;
            const size_t scratch = rule == AC_RULE_NESTEROV ? ac_muon_scratch(p->rows, p->cols) : 0;
            part.n += p->rows * p->cols;
            if (scratch > need->scratch) need->scratch = scratch;
        }
        if (out) out[need->parts] = part;
        add_part(o, &part, need);
    }
}

static ac_moment moment(const ac_optim_step *s, size_t array, size_t at, size_t block)
{
    return (ac_moment){ s->state[array], at, { s->state[array + 1], block } };
}

static void set_adamw(ac_optim_args *a, const ac_optim_step *s)
{
    const ac_train_opts *o = s->opts;
    const double bc1 = 1.0 - ac_pow_int(o->beta1, s->t), bc2 = 1.0 - ac_pow_int(o->beta2, s->t);
    a->step = (float)(s->lr / bc1);
    a->inv_sqrt_bc2 = (float)(1.0 / sqrt(bc2));
    a->eps = (float)o->eps;
}

void ac_step_moments(ac_optimizer *o, const ac_optim_step *s)
{
    const ac_train_opts *opts = s->opts;
    for (size_t i = 0; i < o->n_parts; i++) {
        const ac_optim_part *part = &o->part[i];
        const bool momentum = part->rule == AC_RULE_SGD || part->rule == AC_RULE_NESTEROV;
        const double b1 = momentum ? opts->momentum : opts->beta1;
        ac_optim_args a = {
            .rule = part->rule, .state = opts->optimizer_state, .p = ac_ref_at(s->p, part->at),
            .g = ac_ref_at(s->g, part->at), .n = part->n, .m = moment(s, AC_STATE_M, part->m_at, part->m_block),
            .grad_scale = s->grad_scale, .keep = part->decays ? s->keep : 1.0f, .b1 = (float)b1,
            .one_minus_b1 = (float)(1.0 - b1),
            .b2 = (float)opts->beta2, .one_minus_b2 = (float)(1.0 - opts->beta2), .step = (float)s->lr,
            .draw = { .seed = opts->seed, .step = s->t, .index = part->at, .stream = AC_RNG_STATE_M },
        };
        if (part->has_v) a.v = moment(s, AC_STATE_V, part->v_at, part->v_block);
        if (part->rule == AC_RULE_ADAMW) set_adamw(&a, s);
        o->dev->op->optim(o->dev, &a);
    }
}
