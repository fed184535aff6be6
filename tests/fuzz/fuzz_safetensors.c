/* What is read can be written, and the bytes of each tensor are there. */
#include "fuzz.h"

#include "formats/tensors_int.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    static volatile uint8_t sink;
    ac_tensors *t = NULL;
    ac_err err = { 0 };
    const ac_status st = ac_safetensors_parse(&t, data, len, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    size_t total = 0;
    for (size_t i = 0; i < ac_tensors_count(t); i++) {
        const ac_tensor *x = ac_tensors_at(t, i);
        const uint8_t *p = x->data;
        FUZZ_CHECK(x->name.len && ac_tensors_find(t, x->name.ptr) == x);
        FUZZ_CHECK((uintptr_t)p % (x->type == AC_NF4 ? 4 : ac_dtype_block_bytes(x->type)) == 0 || x->bytes == 0);
        if (x->bytes) sink = (uint8_t)(p[0] ^ p[x->bytes - 1]);
        total += x->bytes;
    }
    FUZZ_CHECK(total <= 2 * len);           /* NF4's scales are wider than in the file */
    (void)sink;
    (void)ac_safetensors_metadata(t, "format");
    ac_tensors_close(&t);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
