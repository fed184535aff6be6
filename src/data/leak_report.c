/* What a leak check found, in words. */
#include <stdio.h>

#include "data/leak_int.h"

typedef struct {
    const char *name, *what;
} leak_words;

static const leak_words fail_words[LEAK_KINDS] = {
    [LEAK_EXACT] = { "leak-exact", "has the same question as" },
    [LEAK_PROMPT] = { "leak-prompt", "has, in another conversation, the same question and answer as" },
    [LEAK_SIMILAR] = { "leak-near", "is near in question and answer to" },
    [LEAK_NGRAM] = { "leak-ngram", "shares most of its question, and the answer, with" },
};
static const leak_words warn_words[LEAK_KINDS] = {
    [LEAK_EXACT] = { "similar-text", "has its whole (short) question inside" },
    [LEAK_PROMPT] = { "similar-prompt", "has, in another conversation, the same question as" },
    [LEAK_SIMILAR] = { "similar", "is similar in its question to" },
    [LEAK_NGRAM] = { "similar-ngram", "shares a run of 13 words with" },
};

static ac_status report_one(ac_findings *f, ac_severity sev, const leak_words *w, size_t number,
                            const leak_case *c, const leak_count *n, const ac_row_file *rows, ac_err *err)
{
    char more[64] = "";
    if (n->n > 1) (void)snprintf(more, sizeof more, " and %zu more row%s", n->n - 1, n->n > 2 ? "s" : "");
    uint64_t id = ac_hash_bytes(ac_hash_bytes(0, ac_view_of(w->name)), ac_view_of(c->in->id));
    id = ac_mix64(id ^ c->ask_hash) + n->identity;
    return ac_finding_add(f, sev, w->name, id, number, n->line, n->score, err, "case %s %s %s:%zu%s (score %.2f)",
                          c->in->id, w->what, rows->path, n->line, more, n->score);
}

/* All failures of a case; its warnings only where nothing failed. */
static ac_status report_case(ac_findings *f, size_t number, const leak_case *c, const ac_row_file *rows, ac_err *err)
{
    bool failed = false;
    for (size_t i = 0; i < LEAK_KINDS; i++) {
        if (!c->fail[i].n) continue;
        failed = true;
        const ac_status st = report_one(f, AC_FIND_FAIL, &fail_words[i], number, c, &c->fail[i], rows, err);
        if (st) return st;
    }
    for (size_t i = 0; !failed && i < LEAK_KINDS; i++)
        if (c->warn[i].n)
            return report_one(f, AC_FIND_WARN, &warn_words[i], number, c, &c->warn[i], rows, err);
    return AC_OK;
}

static ac_status report_twins(ac_findings *f, const leak *k, ac_err *err)
{
    for (size_t i = 0; i < k->n; i++) {
        const leak_case *c = &k->item[i];
        const uint32_t other = c->next[LEAK_BY_ASK];
        if (!other) continue;
        const leak_case *o = &k->item[other - 1];
        const uint64_t id = ac_hash_bytes(ac_hash_bytes(c->ask_hash, ac_view_of(o->in->id)), ac_view_of(c->in->id));
        const ac_status st = ac_finding_add(f, AC_FIND_FAIL, "case-duplicate", id, other, i + 1, 1, err,
                                            "cases %s and %s ask the same: one outcome would count twice",
                                            o->in->id, c->in->id);
        if (st) return st;
    }
    return AC_OK;
}

ac_status ac_leak_report(ac_findings *f, const leak *k, const ac_row_file *rows, ac_err *err)
{
    ac_status st = AC_OK;
    size_t answered = 0;
    if (k->n_canary)
        st = ac_finding_add(f, AC_FIND_FAIL, "leak-canary", ac_hash_bytes(k->n_canary, ac_view_of(rows->path)), 0,
                            k->canary_line, 1, err, "%s:%zu holds the cases' canary (%zu turn%s in all): a case file "
                            "went into the rows", rows->path, k->canary_line, k->n_canary, k->n_canary > 1 ? "s" : "");
    if (!st) st = report_twins(f, k, err);
    for (size_t i = 0; !st && i < k->n; i++) {
        st = report_case(f, i + 1, &k->item[i], rows, err);
        answered += k->item[i].answered;
    }
    if (!st && answered)
        st = ac_finding_add(f, AC_FIND_NOTE, "same-answer", answered, 0, 0, (double)answered, err,
                            "%zu of %zu cases have an answer that some row of %s gives too; that alone is no leak",
                            answered, k->n, rows->path);
    return st;
}
