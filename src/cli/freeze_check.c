#include "cli/freeze_check.h"

#include "cli/train_run.h"
#include "eval/arms.h"
#include "model/model.h"

static ac_status check_method(const ac_freeze_facts *f, const ac_model_config *m, ac_err *err)
{
    const ac_contract *c = f->contract;
    const ac_contract_values *v = &c->v;
    ac_train_opts o;
    ac_status st = ac_train_opts_of(&o, v, err);
    if (st) return st;
    if ((uint64_t)v->last_layers > m->n_layers)
        return ac_contract_refuse(c, "method.last_layers", err, "method.last_layers is %lld, and the model has %zu layer%s; lower "
                                  "it, or remove it to adapt all", (long long)v->last_layers, m->n_layers, ac_plural(m->n_layers));
    const uint64_t steps = ac_train_total_steps(&o, f->n_train), warmup = ac_train_warmup_steps(&o, steps);
    const char *key = v->warmup_steps ? "method.warmup_steps" : "method.warmup_ratio";
    if (warmup < steps || !ac_contract_gives(c, key)) return AC_OK;
    return ac_contract_refuse(c, key, err, "%s gives a warm-up of %llu step%s, and the run has %llu (from %zu row%s): it would end "
                              "before method.lr and its schedule begin; lower it", key, (unsigned long long)warmup,
                              ac_plural(warmup), (unsigned long long)steps, f->n_train, ac_plural(f->n_train));
}

static ac_status check_rows(const ac_freeze_facts *f, const ac_model_config *m, ac_err *err)
{
    if (f->longest <= m->context) return AC_OK;
    return ac_contract_refuse(f->contract, "data.max_len", err, "a row of %s has %zu tokens, and the model's context is %zu; set "
                              "data.max_len to %zu at most, and shorten what is longer (or set data.on_long to truncate or drop)",
                              f->longest_path, f->longest, m->context, m->context);
}

static ac_status check_cases(const ac_freeze_facts *f, const ac_model_config *m, ac_err *err)
{
    const ac_contract_values *v = &f->contract->v;
    const bool rag = f->rag && !v->rag_dense;
    const ac_arm_env env = { .tokenizer = f->tok, .chat = f->chat, .rag = f->rag, .system = v->system,
                             .max_tokens = (size_t)v->max_tokens };
    size_t which, tokens;
    const ac_status st = ac_arm_longest(&env, rag ? AC_ARM_RAG : AC_ARM_BASE, f->cases, &which, &tokens, err);
    if (st || tokens + (size_t)v->max_tokens <= m->context) return st;
    const ac_case *k = &f->cases->item[which];
    return ac_contract_refuse(f->contract, "eval.max_tokens", err, "%s:%zu: the prompt of case \"" AC_VIEW_FMT "\" has %zu tokens%s; "
                              "with an answer of up to %lld (eval.max_tokens) that exceeds the model's context of %zu; shorten the "
                              "case, or lower eval.max_tokens%s", f->cases->path, k->line, AC_VIEW_ARG(k->id), tokens,
                              rag ? " with its passages" : "", (long long)v->max_tokens, m->context,
                              rag ? ", eval.rag_top or eval.rag_chunk_tokens, or do without eval.docs" : "");
}

ac_status ac_freeze_check_model(void *ctx, const ac_freeze_facts *f, ac_err *err)
{
    ac_model_config m;
    (void)ctx;
    ac_status st = ac_model_read_config(&m, f->model, err);
    if (!st) st = check_method(f, &m, err);
    if (!st) st = check_rows(f, &m, err);
    return st ? st : check_cases(f, &m, err);
}
