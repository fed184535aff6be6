/* tests/fuzz/fuzz.h - what each target defines, and how it says that something is wrong. */
#ifndef ACCORD_TESTS_FUZZ_H
#define ACCORD_TESTS_FUZZ_H

#include <stddef.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include "base/err.h"
#include "base/mem.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len);

/* Not assert: it must also hold where NDEBUG is set. */
#define FUZZ_CHECK(c)                                                            \
    do {                                                                         \
        if (!(c)) {                                                              \
            fprintf(stderr, "%s:%d: fails: %s\n", __FILE__, __LINE__, #c);       \
            abort();                                                             \
        }                                                                        \
    } while (0)

/* Bad input gives AC_EFORMAT and a text; success leaves the text alone; nothing is leaked. */
#define FUZZ_CHECK_STATUS(st, err) \
    FUZZ_CHECK((st) == AC_OK ? !(err).text[0] : (st) == AC_EFORMAT && (err).text[0])

#endif
