/* Case files of any bytes: read or refused with a place. What was read holds C1 to C3, and its graders judge its own references
 * and any other answer without failing otherwise than by naming a bad assertion. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "eval/grade.h"

static void put(char path[64], int *fd, const uint8_t *data, size_t len)
{
    *fd = memfd_create("cases", 0);
    FUZZ_CHECK(*fd >= 0 && write(*fd, data, len) == (ssize_t)len);
    (void)snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

static void invariants(const ac_cases *c)
{
    size_t n = 0;
    for (size_t k = 0; k < AC_CLASS_COUNT; k++) n += c->n_class[k];
    FUZZ_CHECK(n == c->n);
    for (size_t i = 0; i < c->n; i++) {
        const ac_case *x = &c->item[i];
        FUZZ_CHECK(x->id.len && x->cls < AC_CLASS_COUNT && x->line && x->n_asserts);
        FUZZ_CHECK(x->n_turns && x->turn[x->n_turns - 1].role == AC_ROLE_USER);
        for (size_t k = 0; k < i; k++) FUZZ_CHECK(!ac_view_eq(c->item[k].id, x->id));
    }
}

static void judge(ac_grade_ctx *g, const ac_case *x, ac_view answer, size_t n_passages)
{
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_grade grade = { 0 };
    ac_status st = ac_grade_answer(g, x, answer, n_passages, 2.5, &a, &grade, &err);
    FUZZ_CHECK(st == AC_OK || (st == AC_ECONTRACT && err.text[0]));
    if (st == AC_OK) FUZZ_CHECK(grade.why.len);
    err = (ac_err){ 0 };
    st = ac_grade_reference(g, x, &a, &grade, &err);
    FUZZ_CHECK(st == AC_OK || (st == AC_ECONTRACT && err.text[0]));
    ac_arena_release(&a);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[64];
    int fd;
    ac_cases c = { .n = 0 };
    ac_err err = { 0 };
    put(path, &fd, data, len);
    const ac_status st = ac_cases_read(&c, path, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) {
        ac_grade_ctx *g = NULL;
        const ac_view whole = { (const char *)data, len < 512 ? len : 512 };
        FUZZ_CHECK(ac_grade_open(&g, NULL, "I cannot answer that.", &err) == AC_OK);
        invariants(&c);
        for (size_t i = 0; i < c.n && i < 8; i++) {
            judge(g, &c.item[i], whole, 3);
            judge(g, &c.item[i], c.item[i].ideal, 0);
            judge(g, &c.item[i], AC_VIEW("{\"a\":1} [1] 42"), 1);
        }
        ac_grade_close(&g);
    }
    ac_cases_release(&c);
    (void)close(fd);
    return 0;
}
