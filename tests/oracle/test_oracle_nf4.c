/* Matrices of bitsandbytes' NF4 against numbers computed in double from the published table (gen_nf4.py), byte for byte, in
 * every tier; and what is refused, each a change of one part of that file. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <string.h>
#include <cmocka.h>

#include "base/compiler.h"
#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "formats/tensors_int.h"
#include "kernels/kernels.h"

#define FILE_NAME ACCORD_SOURCE_DIR "/tests/oracle/nf4.safetensors"

static void numbers(void **state)
{
    (void)state;
    static const struct { const char *name; size_t rows, cols; } want[] = {
        { "plain.weight", 8, 128 }, { "wide.weight", 4, 256 }, { "crossing.weight", 6, 64 }, { "nested.weight", 40, 512 } };
    ac_tensors *t = NULL;
    ac_err err = { 0 };
    if (ac_safetensors_open(&t, FILE_NAME, &err)) fail_msg("%s", err.text);
    assert_int_equal(ac_tensors_count(t), 9);              /* each with its .want, and a norm */
    for (size_t i = 0; i < AC_COUNTOF(want); i++) {
        char name[64];
        (void)snprintf(name, sizeof name, "%s.want", want[i].name);
        const ac_tensor *x = ac_tensors_find(t, want[i].name), *y = ac_tensors_find(t, name);
        assert_true(x && y && x->type == AC_NF4 && x->n_dims == 2 && x->dim[0] == want[i].rows && x->dim[1] == want[i].cols);
        const size_t n = want[i].rows * want[i].cols;
        assert_int_equal(x->bytes, n / 64 * 36);
        float *got = ac_malloc(n * sizeof *got);
        assert_non_null(got);
        for (ac_cpu tier = AC_CPU_REF; tier <= AC_CPU_NEON; tier++) {
            ac_kernels k;
            if (ac_kernels_init(&k, tier, NULL)) continue;       /* not on this machine */
            memset(got, 0x5a, n * sizeof *got);
            k.expand_row(got, x->data, AC_NF4, n);
            assert_memory_equal(got, y->data, n * sizeof *got);
        }
        ac_free(got);
    }
    ac_tensors_close(&t);
    assert_int_equal(ac_live_bytes(), 0);
}

/* The file with `from` overwritten by `to` of the same length, where it stands first. */
static ac_status changed(const char *from, const char *to, ac_err *err)
{
    ac_map m;
    ac_tensors *t = NULL;
    assert_int_equal(strlen(from), strlen(to));
    assert_int_equal(ac_map_open(&m, FILE_NAME, NULL), AC_OK);
    uint8_t *copy = ac_malloc_aligned(m.len);
    assert_non_null(copy);
    memcpy(copy, m.ptr, m.len);
    size_t at = 0;
    while (at + strlen(from) <= m.len && memcmp(copy + at, from, strlen(from)) != 0) at++;
    assert_true(at + strlen(from) <= m.len);
    memcpy(copy + at, to, strlen(to));
    const ac_status st = ac_safetensors_parse(&t, copy, m.len, "changed", err);
    ac_tensors_close(&t);
    ac_free(copy);
    ac_map_close(&m);
    return st;
}

static void refusals(void **state)
{
    (void)state;
    static const struct { const char *from, *to, *says; } cases[] = {
        { "\"quant_type\": \"nf4\"", "\"quant_type\": \"fp4\"", "quant_type" },
        { "\"blocksize\": 64", "\"blocksize\": 65", "blocksize" },
        { "\"blocksize\": 64", "\"blocksize\": 32", "blocksize" },
        { "\"bfloat16\", \"shape\": [8, 128]", "\"bfloat16\", \"shape\": [9, 128]", "two codes" },
        { "\"bfloat16\", \"shape\": [6, 64]", "\"bfloat16\", \"shape\": [4, 96]", "no multiple of 64" },
        { "\"bfloat16\", \"shape\": [6, 64]", "\"bfloat16\", \"shape\": [0, 64]", "shape" },
        { "plain.weight.absmax", "plain.weight.absmix", ".absmax must be there" },
        { "plain.weight.quant_map", "plain.weight.quent_map", ".quant_map must be there" },
        { "nested.weight.nested_absmax", "nested.weight.nested_absmix", ".nested_absmax must be there" },
        { "\"nested_offset\": 0.0371", "\"nested_offset\": \"none\"", "nested_offset" },
        { "\"plain.weight\"", "\"plain.waight\"", "without the matrix" },
        { "{\"quant_type\"", "[\"quant_type\"", "quant_state" },
    };
    for (size_t i = 0; i < AC_COUNTOF(cases); i++) {
        ac_err err = { 0 };
        assert_int_equal(changed(cases[i].from, cases[i].to, &err), AC_EFORMAT);
        if (!strstr(err.text, cases[i].says)) fail_msg("%s: %s", cases[i].to, err.text);
    }
    ac_err err = { 0 };
    const float other = 0.5f, table = 0.5626170039176941f;
    char from[5] = "", to[5] = "";
    memcpy(from, &table, 4);
    memcpy(to, &other, 4);
    ac_map m;
    assert_int_equal(ac_map_open(&m, FILE_NAME, NULL), AC_OK);
    uint8_t *copy = ac_malloc_aligned(m.len);
    ac_tensors *t = NULL;
    assert_non_null(copy);
    memcpy(copy, m.ptr, m.len);
    for (size_t at = 0; at + 4 <= m.len; at += 4)
        if (memcmp(copy + at, from, 4) == 0) memcpy(copy + at, to, 4);
    assert_int_equal(ac_safetensors_parse(&t, copy, m.len, "changed", &err), AC_EFORMAT);
    assert_non_null(strstr(err.text, "not NF4's"));
    ac_free(copy);
    ac_map_close(&m);
    assert_int_equal(ac_live_bytes(), 0);
}

static void nth_allocation(void **state)
{
    (void)state;
    for (long nth = 1;; nth++) {
        ac_tensors *t = NULL;
        ac_err err = { 0 };
        ac_fault_arm(AC_FAULT_ALLOC, nth);
        const ac_status st = ac_safetensors_open(&t, FILE_NAME, &err);
        const bool fired = ac_fault_fired();
        ac_fault_disarm();
        ac_tensors_close(&t);
        assert_int_equal(ac_live_bytes(), 0);
        if (!fired) {
            assert_int_equal(st, AC_OK);
            break;
        }
        assert_true(st == AC_ENOMEM && err.text[0] && nth < 1000);
    }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(numbers),
        cmocka_unit_test(refusals),
        cmocka_unit_test(nth_allocation),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
