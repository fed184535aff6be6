/* accord.yaml and accord.lock of any bytes: read, or refused with AC_ECONTRACT and a text that names the file. What was
 * read as a contract has values within the table's ranges. */
#include "fuzz.h"

#include <fcntl.h>
#include <string.h>
#include <unistd.h>
#include "contract/lock_int.h"
#include "contract/schema_int.h"

static char dir[64];

static void leave(void)
{
    char path[96];
    (void)snprintf(path, sizeof path, "%s/accord.yaml", dir);
    (void)unlink(path);
    (void)rmdir(dir);
}

/* Written without base's care for the disk: this file is gone in a moment. */
static void put(const uint8_t *data, size_t len)
{
    char path[96];
    if (!dir[0]) {
        (void)strcpy(dir, "/tmp/accord-fuzz-XXXXXX");
        FUZZ_CHECK(mkdtemp(dir));
        FUZZ_CHECK(atexit(leave) == 0);
    }
    (void)snprintf(path, sizeof path, "%s/accord.yaml", dir);
    const int fd = open(path, O_CREAT | O_TRUNC | O_WRONLY, 0600);
    FUZZ_CHECK(fd >= 0 && write(fd, data, len) == (ssize_t)len && close(fd) == 0);
}

static void in_range(const ac_contract_values *v)
{
    for (size_t i = 0; i < ac_n_keys; i++) {
        const ac_key *k = &ac_keys[i];
        const char *at = (const char *)v + k->at;
        int64_t whole;
        double number = 0;
        const char *text;
        if (k->type == AC_KEY_INT) {
            memcpy(&whole, at, sizeof whole);
            number = (double)whole;
        } else if (k->type == AC_KEY_F64) memcpy(&number, at, sizeof number);
        if (k->type == AC_KEY_INT || k->type == AC_KEY_F64) FUZZ_CHECK(number >= k->min && number <= k->max);
        if (k->type == AC_KEY_BOOL || k->type == AC_KEY_INT || k->type == AC_KEY_F64) continue;
        memcpy(&text, at, sizeof text);
        FUZZ_CHECK(text ? text[0] != '\0' : !k->required && !k->preset);
    }
}

static void contract(const uint8_t *data, size_t len)
{
    ac_contract c = { 0 };
    ac_err err = { 0 };
    put(data, len);
    const ac_status st = ac_contract_read(&c, dir, &err);
    FUZZ_CHECK(st == AC_OK ? !err.text[0] : st == AC_ECONTRACT || (st == AC_EFORMAT && len > 1 << 20));
    if (st) FUZZ_CHECK(strncmp(err.text, dir, strlen(dir)) == 0);
    else {
        in_range(&c.v);
        FUZZ_CHECK(c.v.micro_batch <= c.v.batch_rows && c.v.rag_overlap_tokens < c.v.rag_chunk_tokens);
    }
    ac_contract_release(&c);
}

static void lock(const uint8_t *data, size_t len)
{
    ac_lock l = { 0 };
    ac_err err = { 0 };
    const ac_status st = ac_lock_parse(&l, (ac_view){ (const char *)data, len }, "accord.lock", &err);
    FUZZ_CHECK(st == AC_OK ? !err.text[0] : st == AC_ECONTRACT && strncmp(err.text, "accord.lock", 11) == 0);
    if (!st) FUZZ_CHECK(l.number >= 1 && data[len - 1] == '\n');
    ac_lock_release(&l);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    if (len && data[0] == '{') lock(data, len);
    else contract(data, len);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
