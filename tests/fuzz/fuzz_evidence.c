/* What a stranger sends as evidence: the tar file, the piece of the audit chain, the verdict with its lock, an envelope. */
#include "fuzz.h"

#include <string.h>

#include "cli/evidence.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    const ac_view text = { (const char *)data, len };
    ac_evidence e = { .n = 0 };
    ac_arena a = { .max_bytes = (size_t)64 << 20 };
    ac_str said = { 0 };
    ac_sign_public signer = { { 0 } };
    ac_err err = { "" };
    uint64_t records, kept;
    char head[AC_SHA256_HEX];
    const ac_json *v = NULL;
    ac_view payload;

    ac_status st = ac_ev_read_tar(&e, data, len, "input", &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) {
        st = ac_ev_check(&e, NULL, NULL, &said, &signer, &err);
        FUZZ_CHECK(!st || (st == AC_ENO && err.text[0]));
    }
    err = (ac_err){ "" };
    st = ac_ev_check_chain(text, &records, head, "lock", "run", &kept, &err);
    FUZZ_CHECK(st ? st == AC_ENO && err.text[0] : !err.text[0]);
    err = (ac_err){ "" };
    st = ac_dsse_verify(&payload, &a, text, AC_EV_PAYLOAD, &signer, "input", &err);
    FUZZ_CHECK(st == AC_ENO && err.text[0]);
    if (!ac_json_parse(&v, text, &a, "input", 1, NULL, NULL)) {
        err = (ac_err){ "" };
        st = ac_ev_check_verdict(v, v, &err);        /* one file as verdict and lock */
        FUZZ_CHECK(st ? st == AC_ENO && err.text[0] : !err.text[0]);
    }
    ac_str_release(&said);
    ac_evidence_release(&e);
    ac_arena_release(&a);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
