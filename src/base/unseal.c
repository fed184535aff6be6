/* Sealed inputs (F5): recognised by their first bytes, opened by what cli registered. */
#include <errno.h>
#include <stdatomic.h>
#include <sys/resource.h>
#include <unistd.h>

#include "base/file.h"
#include "base/file_int.h"
#include "base/size.h"

#define FIRST_BYTES 40

static ac_unsealer unsealer;
static _Atomic uint64_t opened;

void ac_file_set_unsealer(const ac_unsealer *u)
{
    unsealer = u ? *u : (ac_unsealer){ NULL, NULL };
}

uint64_t ac_file_unsealed(void)
{
    return atomic_load(&opened);
}

bool ac_file_is_sealed(const char *path)
{
    char first[FIRST_BYTES];
    uint64_t size = 0;
    int fd;
    if (!unsealer.is || ac_io_open_input(&fd, &size, path, NULL)) return false;
    const ssize_t got = ac_io_read(fd, first, sizeof first);
    ac_io_close(fd);
    return got > 0 && unsealer.is(first, (size_t)got);
}

/* Parsed copies of opened data lie all over the heap: no core file may show them. */
static void no_core_files(void)
{
    const struct rlimit none = { 0, 0 };
    (void)setrlimit(RLIMIT_CORE, &none);
}

ac_status ac_io_unseal(ac_secret *plain, int fd, uint64_t size, const char *path, ac_err *err)
{
    char first[FIRST_BYTES];
    const uint8_t *sealed = NULL;
    size_t len = 0;
    *plain = (ac_secret){ NULL, 0 };
    if (!unsealer.is || size < sizeof first) return AC_OK;
    const ssize_t got = ac_io_read(fd, first, sizeof first);
    if (got < 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot read", path);
    if (lseek(fd, 0, SEEK_SET) != 0) return ac_fail_errno(err, AC_EIO, errno, "%s: cannot go back to its start", path);
    if (!unsealer.is(first, (size_t)got)) return AC_OK;
    if (!ac_size_from_u64(&len, size)) return ac_fail_nomem(err, size);
    ac_status st = ac_io_map(&sealed, fd, len, path, err);
    if (st) return st;
    if (atomic_fetch_add(&opened, 1) == 0) no_core_files();
    st = unsealer.open(plain, sealed, len, path, err);
    ac_io_unmap(sealed, len);
    return st;
}
