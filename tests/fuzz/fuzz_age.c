/* The header of an age file, its armor, and the payload behind it, with a key that opens none of it: the file is refused
 * as bad (or, where it wants a passphrase or a key that is missing, as closed). */
#include "fuzz.h"

#include <string.h>

#include "seal/age.h"

static ac_status drop(void *ctx, const void *data, size_t len, ac_err *err)
{
    (void)ctx;
    (void)data;
    (void)len;
    (void)err;
    return AC_OK;
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    const ac_age_identity id = { .secret = { 64 }, .key = { 9 } };
    const ac_age_from from = { .identity = &id, .n = 1 };
    ac_age_body body = { .chunk = NULL };
    ac_err err = { 0 };
    size_t payload = 0;
    ac_status st = ac_age_header_check(data, len, &payload, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    FUZZ_CHECK(st || payload <= len);
    err = (ac_err){ 0 };
    st = ac_age_open(&body, data, len, &from, "input", &err);
    if (!st) {
        st = ac_age_read(&body, drop, NULL, "input", &err);
        FUZZ_CHECK_STATUS(st, err);
    } else {
        FUZZ_CHECK((st == AC_EFORMAT || st == AC_ENOENT) && err.text[0]);
    }
    ac_age_wipe(&body);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
