/* What can be read can be said again, byte for byte; what cannot is refused with a reason. */
#include "fuzz.h"

#include <string.h>

#include "guard/channel.h"

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    for (size_t at = 0; at < len;) {
        ac_msg m;
        ac_err err = { 0 };
        size_t used = 0;
        const ac_status st = ac_msg_read(&m, &used, data + at, len - at, &err);
        FUZZ_CHECK_STATUS(st, err);
        if (st || used == 0) break;
        unsigned char again[AC_MSG_FRAME_MAX];
        FUZZ_CHECK(used <= len - at);
        FUZZ_CHECK(ac_msg_write(again, &m) == used);
        FUZZ_CHECK(memcmp(again, data + at, used) == 0);
        at += used;
    }
    return 0;
}
