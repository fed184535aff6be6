/* The tar reader and the list of a backup, on bytes that nobody sealed. */
#include "fuzz.h"

#include "seal/bundle.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    ac_err err = { 0 };
    const ac_status st = ac_bundle_check_tar(data, len, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
