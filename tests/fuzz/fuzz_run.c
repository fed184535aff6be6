/* What a run folder and its neighbours hold, of any bytes: the first byte chooses manifest.json of a checkpoint, trace.jsonl,
 * a channel's history or audit.jsonl. A manifest gets the hash that fits, so that its reader looks further than that. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "base/file.h"
#include "base/hash.h"
#include "ledger/ledger.h"
#include "train/train_int.h"

static void put(char path[64], int *fd, const uint8_t *data, size_t len)
{
    *fd = memfd_create("run", 0);
    FUZZ_CHECK(*fd >= 0 && write(*fd, data, len) == (ssize_t)len);
    (void)snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

/* self is the hash of the text with 64 zeros in its place: docs/formats/checkpoint.md. */
static void seal(char *text, size_t len)
{
    static const char tail[] = "\"\n}\n";
    char hex[AC_SHA256_HEX];
    if (len < 64 + sizeof tail - 1 || memcmp(text + len - (sizeof tail - 1), tail, sizeof tail - 1) != 0) return;
    char *digits = text + len - (sizeof tail - 1) - 64;
    memset(digits, '0', 64);
    const ac_sha256 h = ac_sha256_of(text, len);
    ac_sha256_hex(hex, &h);
    memcpy(digits, hex, 64);
}

static void manifest(const uint8_t *data, size_t len)
{
    ac_manifest m = { .n_files = 0 }, back;
    ac_err err = { 0 };
    ac_str again = { 0 };
    char *text = ac_malloc(len ? len : 1);
    FUZZ_CHECK(text);
    if (len) memcpy(text, data, len);
    seal(text, len);
    const ac_status st = ac_manifest_parse(&m, (ac_view){ text, len }, "manifest.json", &err);
    FUZZ_CHECK(st == AC_OK ? !err.text[0] : (st == AC_EFORMAT || st == AC_ECONTRACT) && err.text[0]);
    if (!st) {
        FUZZ_CHECK(m.n_files && m.n_files <= AC_CKPT_FILES_MAX);
        for (size_t i = 0; i < m.n_files; i++) FUZZ_CHECK(ac_path_component_ok(ac_view_of(m.file[i].name)));
        ac_manifest_render(&again, &m);
        FUZZ_CHECK(ac_manifest_parse(&back, ac_str_view(&again), "again", &err) == AC_OK);
        FUZZ_CHECK(back.state.step == m.state.step && back.n_files == m.n_files);
    }
    ac_str_release(&again);
    ac_free(text);
}

static void trace(const uint8_t *data, size_t len)
{
    char path[64];
    int fd;
    uint64_t steps = 0;
    ac_sha256 h;
    ac_err err = { 0 };
    put(path, &fd, data, len);
    const ac_status st = ac_trace_check(path, &steps, &h, &err);
    FUZZ_CHECK_STATUS(st, err);
    (void)close(fd);
}

/* A project of our own, once a process: files in it are replaced. */
static const char *project(void)
{
    static char dir[64] = "/tmp/accord_fuzz_run.XXXXXX";
    static bool made;
    char sub[128];
    if (made) return dir;
    FUZZ_CHECK(mkdtemp(dir));
    (void)snprintf(sub, sizeof sub, "%s/.accord/promoted", dir);
    FUZZ_CHECK(ac_mkdir_p(sub, NULL) == AC_OK);
    made = true;
    return dir;
}

static void forget_project(void)
{
    (void)ac_remove_tree(project(), NULL);
}

static void write_in(const char *name, const uint8_t *data, size_t len)
{
    char path[192];
    static bool promised;
    if (!promised) promised = atexit(forget_project) == 0;
    (void)snprintf(path, sizeof path, "%s/%s", project(), name);
    FILE *f = fopen(path, "wb");
    FUZZ_CHECK(f && (len == 0 || fwrite(data, len, 1, f) == 1));
    FUZZ_CHECK(fclose(f) == 0);
}

static void history(const uint8_t *data, size_t len)
{
    ac_arena a = { 0 };
    ac_err err = { 0 };
    ac_promotions h = { 0 };
    write_in(".accord/promoted/c.json", data, len);
    const ac_status st = ac_promotions_read(&h, &a, project(), "c", &err);
    FUZZ_CHECK_STATUS(st, err);
    if (!st) {
        FUZZ_CHECK(h.n_stack <= h.n);
        for (size_t i = 0; i < h.n_stack; i++) FUZZ_CHECK(h.stack[i] < h.n && !h.act[h.stack[i]].rollback);
    }
    ac_arena_release(&a);
}

static void chain(const uint8_t *data, size_t len)
{
    ac_audit_head head = { .count = 0 };
    ac_err err = { 0 };
    write_in(".accord/audit.jsonl", data, len);
    const ac_status st = ac_audit_verify(project(), &head, &err);
    FUZZ_CHECK(st == AC_OK ? !err.text[0] : st == AC_ENO && err.text[0]);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    static void (*const subject[])(const uint8_t *, size_t) = { manifest, trace, history, chain };
    if (!len) return 0;
    subject[(data[0] - (unsigned)'0') % 4](data + 1, len - 1);
    return 0;
}
