/* rouge and levenshtein against rouge-score and rapidfuzz (gen_grades.py, grades.json). */
#include <math.h>
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>

#include <cmocka.h>

#include "eval/grade_int.h"

static const ac_json *next(const ac_json **v)
{
    const ac_json *is = *v;
    *v = is->next;
    return is;
}

static void same_as_theirs(void **state)
{
    (void)state;
    static const unsigned n_gram[4] = { 1, 2, 3, 0 };
    ac_arena a = { 0 }, scratch = { 0 };
    ac_err err = { 0 };
    const ac_json *all = NULL;
    size_t rows = 0;
    if (ac_json_parse_file(&all, ACCORD_SOURCE_DIR "/tests/oracle/grades.json", &a, NULL, &err)) fail_msg("%s", err.text);
    for (const ac_json *r = all->child; r; r = r->next, rows++) {
        const ac_json *v = r->child;
        const ac_view answer = next(&v)->text, reference = next(&v)->text;
        for (size_t k = 0; k < 4; k++) {
            double got = -1;
            const double want = next(&v)->number;
            assert_int_equal(ac_grade_rouge(&got, answer, reference, n_gram[k], &scratch, &err), AC_OK);
            if (fabs(got - want) > 1e-12)
                fail_msg("rouge %u of \"" AC_VIEW_FMT "\" and \"" AC_VIEW_FMT "\": %.6f, wanted %.6f", n_gram[k],
                         AC_VIEW_ARG(answer), AC_VIEW_ARG(reference), got, want);
        }
        const size_t want = (size_t)v->number;
        for (size_t most = 0; most <= want + 3; most += want > 40 ? 7 : 1) {
            size_t got = 0;
            assert_int_equal(ac_grade_edits(&got, answer, reference, most, &scratch, &err), AC_OK);
            if (got != (want <= most ? want : most + 1))
                fail_msg("\"" AC_VIEW_FMT "\" and \"" AC_VIEW_FMT "\": %zu edits of at most %zu, wanted %zu",
                         AC_VIEW_ARG(answer), AC_VIEW_ARG(reference), got, most, want);
        }
        ac_arena_reset(&scratch);
    }
    assert_int_equal(rows, 200);
    ac_arena_release(&scratch);
    ac_arena_release(&a);
}

int main(void)
{
    const struct CMUnitTest tests[] = { cmocka_unit_test(same_as_theirs) };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
