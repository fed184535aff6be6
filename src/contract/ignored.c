/* contract/ignored.c - keys that would be ignored (T7): which key counts under which other choice, as one table.
 *
 * A key that stands in accord.yaml though another choice leaves it without effect is an error that names both
 * places and the way out. To add a case, add a row; docs/contract.md shows the table. */
#include <stdio.h>
#include <string.h>

#include "contract/schema_int.h"

/* `is` is a list "a|b": a choice of an ENUM, true or false, "none" or "set" of a text, "0" or "set" of a number. */
const ac_ignored ac_ignored_keys[] = {
    { "method.rank", { { "method.tune", "full" } } },
    { "method.alpha", { { "method.tune", "full" } } },
    { "method.rslora", { { "method.tune", "full" } } },
    { "method.dropout", { { "method.tune", "full" } } },
    { "method.targets", { { "method.tune", "full" } } },
    { "method.last_layers", { { "method.tune", "full" } } },
    { "method.warmup_ratio", { { "method.warmup_steps", "set" } } },
    { "method.epochs", { { "method.max_steps", "set" } } },
    { "method.pack_len", { { "method.packing", "false" } } },
    { "method.min_lr_ratio", { { "method.schedule", "constant" } } },
    { "method.eval_every", { { "data.valid", "none" } } },
    { "method.patience", { { "data.valid", "none" } } },
    { "method.momentum", { { "method.optimizer", "adamw|lion|adafactor" } } },
    { "method.beta1", { { "method.optimizer", "sgd|adafactor" } } },
    { "method.beta2", { { "method.optimizer", "sgd|adafactor" } } },
    { "method.eps", { { "method.optimizer", "sgd|lion|adafactor" } } },
    /* A LoRA adapter has matrices only, which never take the AdamW that Muon keeps for other tensors. */
    { "method.beta1", { { "method.optimizer", "muon" }, { "method.tune", "lora" } } },
    { "method.beta2", { { "method.optimizer", "muon" }, { "method.tune", "lora" } } },
    { "method.eps", { { "method.optimizer", "muon" }, { "method.tune", "lora" } } },
    { "method.optimizer_state", { { "method.optimizer", "adafactor" } } },
    { "method.optimizer_state", { { "method.optimizer", "sgd" }, { "method.momentum", "0" } } },
    { "eval.rag_top", { { "eval.docs", "none" } } },
    { "eval.rag_chunk_tokens", { { "eval.docs", "none" } } },
    { "eval.rag_overlap_tokens", { { "eval.docs", "none" } } },
    { "eval.rag_dense", { { "eval.docs", "none" } } },
    { "memory.reserve", { { "memory.budget", "set" } } },
    { "cost.machine_years", { { "cost.machine_price", "0" } } },
    { "cost.machine_hours_a_year", { { "cost.machine_price", "0" } } },
    { "cost.node_speed", { { "cost.node_hour", "0" } } },
    { "integration.minutes", { { "integration.command", "none" } } },
};
const size_t ac_n_ignored_keys = AC_COUNTOF(ac_ignored_keys);

size_t ac_key_of_path(const char *path)
{
    const ac_view all = ac_view_of(path);
    const size_t dot = ac_view_find(all, AC_VIEW("."), 0);
    return dot == SIZE_MAX ? ac_n_keys : ac_key_find(ac_view_slice(all, 0, dot), ac_view_slice(all, dot + 1, all.len));
}

bool ac_choice_in(const char *choices, ac_view text)
{
    const ac_view list = ac_view_of(choices);
    for (size_t from = 0; from <= list.len;) {
        size_t to = ac_view_find(list, AC_VIEW("|"), from);
        if (to == SIZE_MAX) to = list.len;
        if (ac_view_eq(ac_view_slice(list, from, to), text)) return true;
        from = to + 1;
    }
    return false;
}

/* The value as the table's lists name it. */
static const char *word_of(const ac_contract_values *v, const ac_key *k)
{
    const char *at = (const char *)v + k->at, *text;
    int64_t whole;
    double number;
    switch (k->type) {
    case AC_KEY_BOOL: return *(const bool *)at ? "true" : "false";
    case AC_KEY_INT:
        memcpy(&whole, at, sizeof whole);
        return whole ? "set" : "0";
    case AC_KEY_F64:
        memcpy(&number, at, sizeof number);
        return number > 0 || number < 0 ? "set" : "0";
    default:
        memcpy(&text, at, sizeof text);
        return !text ? "none" : k->type == AC_KEY_ENUM ? text : "set";
    }
}

/* Whether a row's conditions hold; those on the key `by` are asked of `word` instead of its value (by NULL: none). */
static bool holds(const ac_contract_values *v, const ac_ignored *row, const char *by, ac_view word)
{
    for (size_t i = 0; i < AC_COUNTOF(row->when) && row->when[i].key; i++) {
        const size_t k = ac_key_of_path(row->when[i].key);
        if (k == ac_n_keys) return false;
        const bool asked = by && !strcmp(row->when[i].key, by);
        if (!ac_choice_in(row->when[i].is, asked ? word : ac_view_of(word_of(v, &ac_keys[k])))) return false;
    }
    return true;
}

/* Key would have no effect at this word of `by` either. */
static bool ignored_at(const ac_contract_values *v, const char *key, const char *by, ac_view word)
{
    for (size_t i = 0; i < ac_n_ignored_keys; i++)
        if (!strcmp(ac_ignored_keys[i].key, key) && holds(v, &ac_ignored_keys[i], by, word)) return true;
    return false;
}

/* Choices of k at which key counts, as "a, b or c". */
static void others_of(ac_str *out, const ac_contract_values *v, const ac_key *k, const char *key, const char *by)
{
    const ac_view list = ac_view_of(k->choices ? k->choices : "true|false");
    size_t left = 0;
    for (int pass = 0; pass < 2; pass++) {
        for (size_t from = 0, to; from <= list.len; from = to + 1) {
            to = ac_view_find(list, AC_VIEW("|"), from);
            if (to == SIZE_MAX) to = list.len;
            const ac_view word = ac_view_slice(list, from, to);
            if (ignored_at(v, key, by, word)) continue;
            if (pass == 0) {
                left++;
                continue;
            }
            ac_str_appendf(out, AC_VIEW_FMT "%s", AC_VIEW_ARG(word), left > 2 ? ", " : left == 2 ? " or " : "");
            left--;
        }
    }
}

void ac_ignored_cause(ac_str *out, const ac_ignored_when *w, const char *is)
{
    if (!strcmp(is, "none")) ac_str_appendf(out, "without %s", w->key);
    else if (!strcmp(is, "set")) ac_str_appendf(out, "beside %s", w->key);
    else ac_str_appendf(out, "with %s: %s", w->key, is);
}

/* ", or ..." where changing this condition alone makes key count. */
static void way_out(ac_str *out, const ac_contract_values *v, const char *key, const ac_ignored_when *w,
                    const ac_key *k)
{
    if (k->type == AC_KEY_ENUM || k->type == AC_KEY_BOOL) {
        ac_str words = { 0 };
        others_of(&words, v, k, key, w->key);
        if (words.len) ac_str_appendf(out, ", or choose %s: %s", w->key, ac_str_c(&words));
        ac_str_release(&words);
    } else if (!strcmp(w->is, "set")) {
        ac_str_appendf(out, ", or remove %s", w->key);
    } else {
        ac_str_appendf(out, ", or give %s%s", w->key, k->type == AC_KEY_STR ? "" : " a value over 0");
    }
}

/* "KEY has no effect with A: x (line 3) and B: y (the default); remove it, choose A: z, or choose B: w" */
static void say(ac_str *out, const ac_contract *c, ac_view text, const ac_json *const *given, const ac_ignored *row)
{
    ac_str_appendf(out, "%s has no effect ", row->key);
    for (size_t i = 0; i < AC_COUNTOF(row->when) && row->when[i].key; i++) {
        const size_t k = ac_key_of_path(row->when[i].key);
        size_t line, column;
        if (i) ac_str_append_c(out, " and ");
        ac_ignored_cause(out, &row->when[i], word_of(&c->v, &ac_keys[k]));
        if (given[k]) {
            ac_json_place(text, given[k]->offset, &line, &column);
            ac_str_appendf(out, " (line %zu)", line);
        } else if (ac_keys[k].preset) {
            ac_str_append_c(out, " (the default)");
        }
    }
    ac_str_append_c(out, "; remove it");
    for (size_t i = 0; i < AC_COUNTOF(row->when) && row->when[i].key; i++)
        way_out(out, &c->v, row->key, &row->when[i], &ac_keys[ac_key_of_path(row->when[i].key)]);
}

ac_status ac_contract_check_ignored(const ac_contract *c, ac_view text, const ac_json *const *given, ac_err *err)
{
    for (size_t i = 0; i < ac_n_ignored_keys; i++) {
        const size_t k = ac_key_of_path(ac_ignored_keys[i].key);
        if (k == ac_n_keys || !given[k] || !holds(&c->v, &ac_ignored_keys[i], NULL, (ac_view){ NULL, 0 })) continue;
        ac_str s = { 0 };
        size_t line, column;
        ac_json_place(text, given[k]->offset, &line, &column);
        say(&s, c, text, given, &ac_ignored_keys[i]);
        const ac_status st = ac_str_ok(&s)
                                 ? ac_fail(err, AC_ECONTRACT, "%s:%zu:%zu: %s", c->path, line, column, ac_str_c(&s))
                                 : ac_fail_nomem(err, s.len);
        ac_str_release(&s);
        return st;
    }
    return AC_OK;
}
