/* What a leak check found, in words. */
#include <stdio.h>

#include "data/leak_int.h"

typedef struct {
    const char *name, *what;
} leak_words;

static const leak_words fail_words[LEAK_KINDS] = {
    [LEAK_EXACT] = { "leak-exact", "has the same question as" },
    [LEAK_INSIDE] = { "leak-inside", "has its whole question inside a turn of" },
    [LEAK_PROMPT] = { "leak-prompt", "has, in another conversation, the same question and answer as" },
    [LEAK_SIMILAR] = { "leak-near", "is near in question and answer to" },
    [LEAK_NGRAM] = { "leak-ngram", "shares a run of 13 words of its question with" },
    [LEAK_CHARS] = { "leak-chars", "has most of its question, letter for letter, in" },
};
static const leak_words warn_words[LEAK_KINDS] = {
    [LEAK_EXACT] = { "similar-text", "has its whole (short) question inside" },
    [LEAK_INSIDE] = { "similar-inside", "has its whole question as a part of" },
    [LEAK_PROMPT] = { "similar-prompt", "has, in another conversation, the same question as" },
    [LEAK_SIMILAR] = { "similar", "is similar in its question to" },
    [LEAK_NGRAM] = { "similar-ngram", "shares a run of 13 words with" },
    [LEAK_CHARS] = { "similar-chars", "shares a run of 50 characters with" },
};

static uint64_t id_of(const char *kind, const leak_case *c)
{
    return ac_mix64(ac_hash_bytes(ac_hash_bytes(0, ac_view_of(kind)), ac_view_of(c->in->id)) ^ c->ask_hash);
}

static ac_status report_one(ac_findings *f, ac_severity sev, const leak_words *w, size_t number,
                            const leak_case *c, const leak_count *n, const char *path, ac_err *err)
{
    char more[64] = "", run[64] = "";
    if (n->n > 1) (void)snprintf(more, sizeof more, " and %zu more row%s", n->n - 1, n->n > 2 ? "s" : "");
    if (n->run) (void)snprintf(run, sizeof run, ", longest common run %zu words", n->run);
    return ac_finding_add(f, sev, w->name, id_of(w->name, c) + n->identity, number, n->line, n->score, err,
                          "case %s %s %s:%zu%s (score %.2f%s)", c->in->id, w->what, path, n->line, more, n->score, run);
}

/* Of a question that nothing else was found of: most of its runs of 8 words stand somewhere in the rows. */
static ac_status report_eights(ac_findings *f, size_t number, const leak *k, const leak_case *c, const size_t *all,
                               const size_t *seen, size_t line, const char *path, ac_err *err)
{
    const size_t i = number - 1;
    const double share = all[i] ? (double)seen[i] / (double)all[i] : 0;
    AC_UNUSED(k);
    if (all[i] < 2 || share < LEAK_SEEN) return AC_OK;
    return ac_finding_add(f, AC_FIND_WARN, "similar-8gram", id_of("similar-8gram", c) + seen[i], number, line, share, err,
                          "case %s has %zu of the %zu runs of 8 words of its question in %s, the first in line %zu", c->in->id,
                          seen[i], all[i], path, line);
}

/* A long answer that is this case's alone, under another question: perhaps a paraphrase. */
static ac_status report_answer(ac_findings *f, size_t number, const leak *k, const leak_case *c, const char *path, ac_err *err)
{
    size_t same = 0;
    const uint32_t *at = c->answered && c->answer.n >= LEAK_SPAN ? ac_index_find(&k->answers, c->answer_hash) : NULL;
    for (uint32_t i = at ? *at : 0; i; i = k->item[i - 1].next[LEAK_BY_ANSWER]) same++;
    if (!same || same >= 3) return AC_OK;
    return ac_finding_add(f, AC_FIND_WARN, "similar-answer", id_of("similar-answer", c) + c->answer_line, number, c->answer_line, 1,
                          err, "case %s has the same answer of %zu words as %s:%zu, to another question; is that a paraphrase?",
                          c->in->id, c->answer.n, path, c->answer_line);
}

/* All failures of a case; its warnings only where nothing failed. */
static ac_status report_case(ac_findings *f, size_t number, const leak_case *c, const char *path, bool *said, ac_err *err)
{
    *said = false;
    for (size_t i = 0; i < LEAK_KINDS; i++) {
        if (!c->fail[i].n) continue;
        *said = true;
        const ac_status st = report_one(f, AC_FIND_FAIL, &fail_words[i], number, c, &c->fail[i], path, err);
        if (st) return st;
    }
    for (size_t i = 0; !*said && i < LEAK_KINDS; i++) {
        if (!c->warn[i].n) continue;
        *said = true;
        return report_one(f, AC_FIND_WARN, &warn_words[i], number, c, &c->warn[i], path, err);
    }
    return AC_OK;
}

/* Per case: its runs of 8 words, how many stand somewhere, and where the first does. */
static void count_eights(const leak *k, size_t *all, size_t *seen, size_t *line)
{
    const leak_grams *g = &k->eight;
    for (size_t from = 0, to; from < g->n; from = to) {
        for (to = from + 1; to < g->n && g->post[to].gram == g->post[from].gram; to++) { }
        if (ac_leak_is_frame(to - from, k->n)) continue;
        for (size_t j = from; j < to; j++) {
            const uint32_t i = g->post[j].item;
            all[i]++;
            if (!g->seen_line[from]) continue;
            if (!seen[i]++ || g->seen_line[from] < line[i]) line[i] = g->seen_line[from];
        }
    }
}

static ac_status report_cases(ac_findings *f, leak *k, const char *path, bool is_document, ac_err *err)
{
    size_t *all = ac_calloc(3 * k->n + 1, sizeof *all), *seen = all + k->n, *line = all + 2 * k->n, answered = 0;
    ac_status st = all ? AC_OK : ac_fail_nomem(err, k->n * 24);
    if (!st) count_eights(k, all, seen, line);
    for (size_t i = 0; !st && i < k->n; i++) {
        const leak_case *c = &k->item[i];
        bool said;
        const size_t before = f->n;
        st = report_case(f, i + 1, c, path, &said, err);
        answered += c->answered;
        if (!st && !said && !is_document) st = report_eights(f, i + 1, k, c, all, seen, line[i], path, err);
        if (!st && f->n == before) st = report_answer(f, i + 1, k, c, path, err);
    }
    ac_free(all);
    if (!st && answered)
        st = ac_finding_add(f, AC_FIND_NOTE, "same-answer", answered, 0, 0, (double)answered, err,
                            "%zu of %zu case%s %s an answer that some row of %s gives too; that alone is no leak",
                            answered, k->n, ac_plural(k->n), answered == 1 ? "has" : "have", path);
    return st;
}

ac_status ac_leak_report(ac_findings *f, leak *k, const char *path, bool is_document, ac_err *err)
{
    ac_status st = AC_OK;
    if (k->n_canary)
        st = ac_finding_add(f, AC_FIND_FAIL, "leak-canary", ac_hash_bytes(k->n_canary, ac_view_of(path)), 0,
                            k->canary_line, 1, err, "%s:%zu holds the cases' canary (%zu turn%s in all): a case file "
                            "went into the %s", path, k->canary_line, k->n_canary, k->n_canary > 1 ? "s" : "",
                            is_document ? "documents" : "rows");
    return st ? st : report_cases(f, k, path, is_document, err);
}

/* ---- among the cases ---- */

static ac_status same_case(ac_findings *f, const leak *k, size_t i, ac_err *err)
{
    const leak_case *c = &k->item[i];
    const uint32_t other = c->next[LEAK_BY_ASK];
    if (!other) return AC_OK;
    const leak_case *o = &k->item[other - 1];
    const uint64_t id = ac_hash_bytes(ac_hash_bytes(c->ask_hash, ac_view_of(o->in->id)), ac_view_of(c->in->id));
    return ac_finding_add(f, AC_FIND_FAIL, "case-duplicate", id, other, i + 1, 1, err,
                          "cases %s and %s ask the same: one outcome would count twice", o->in->id, c->in->id);
}

/* Each case as a row past the others: what is near in question and answer and no sibling measures nearly the same. */
static ac_status near_cases(ac_findings *f, leak *k, size_t i, ac_err *err)
{
    const leak_case *c = &k->item[i];
    leak_exchange x = { .w = NULL, .from = c->ask.n_head, .to = c->ask.n, .answer_from = c->ask.n,
                        .answer_to = c->ask.n + c->answer.n, .line = i + 1 };
    ac_status st = AC_OK;
    k->w.n = 0;
    st = ac_words_add(&k->w, c->in->context, err);
    if (!st) st = ac_words_add(&k->w, c->in->prompt, err);
    if (!st) st = ac_words_add(&k->w, c->in->answer, err);
    if (!st) st = ac_leak_mark_known(k, err);
    if (st) return st;
    x.w = k->w.word;
    k->row_number++;
    st = ac_leak_near_cases(k, &x, i, err);
    for (size_t j = 0; j < i && !st; j++) {
        leak_count *n = &k->item[j].fail[LEAK_SIMILAR];
        if (n->n && k->item[j].ask_hash != c->ask_hash)
            st = ac_finding_add(f, AC_FIND_WARN, "case-near", ac_mix64(id_of("case-near", c) + k->item[j].ask_hash), j + 1, i + 1,
                                n->score, err, "cases %s and %s ask nearly the same (score %.2f): give them one cluster",
                                k->item[j].in->id, c->in->id, n->score);
        *n = (leak_count){ 0 };
    }
    return st;
}

ac_status ac_leak_twins(ac_findings *f, leak *k, ac_err *err)
{
    ac_status st = AC_OK;
    for (size_t i = 0; i < k->n && !st; i++) st = same_case(f, k, i, err);
    for (size_t i = 1; i < k->n && !st; i++) st = near_cases(f, k, i, err);
    return st;
}
