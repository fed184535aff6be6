/* The tree that TOML gives is one that the JSON reader gives too, once written. */
#include "fuzz.h"

#include "formats/toml.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    ac_arena a = { .max_bytes = (size_t)64 << 20 };
    ac_err err = { 0 };
    const ac_json *v = NULL;
    const ac_status st = ac_toml_parse(&v, (ac_view){ (const char *)data, len }, &a, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) {
        ac_str written = { 0 }, first = { 0 }, second = { 0 };
        const ac_json *again = NULL;
        ac_json_write(&written, v);
        FUZZ_CHECK(ac_json_parse(&again, ac_str_view(&written), &a, "written", 1, NULL, &err) == AC_OK);
        ac_json_canonical(&first, v);
        ac_json_canonical(&second, again);
        FUZZ_CHECK(ac_str_ok(&first) && ac_view_eq(ac_str_view(&first), ac_str_view(&second)));
        ac_str_release(&written);
        ac_str_release(&first);
        ac_str_release(&second);
    }
    ac_arena_release(&a);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
