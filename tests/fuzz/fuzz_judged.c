/* Test collections of any bytes: the input is cut at its first two NUL bytes into corpus, queries and judgements. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "rag/rag.h"

static void put(char path[64], int *fd, const uint8_t *data, size_t len)
{
    *fd = memfd_create("judged", 0);
    FUZZ_CHECK(*fd >= 0 && write(*fd, data, len) == (ssize_t)len);
    (void)snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    char path[3][64];
    int fd[3];
    ac_rag_collection c = { .n_passages = 0 };
    ac_err err = { 0 };
    const uint8_t *at = data, *end = data + len;
    for (int i = 0; i < 3; i++) {
        const uint8_t *cut = i < 2 && at < end ? memchr(at, 0, (size_t)(end - at)) : NULL;
        const uint8_t *to = cut ? cut : end;
        put(path[i], &fd[i], at, (size_t)(to - at));
        at = cut ? cut + 1 : end;
    }
    const ac_status st = ac_rag_collection_read(&c, path[0], path[1], path[2], &err);
    FUZZ_CHECK(!st == !err.text[0]);
    for (size_t i = 0; !st && i < c.n_queries; i++) {
        size_t found[4] = { 0, 1, 2, 3 };
        const double n = ac_rag_ndcg(found, 4, c.query[i].gold, c.query[i].n_gold, 10);
        FUZZ_CHECK(c.query[i].n_gold > 0 && n >= 0 && n <= 1 + 1e-12);
        for (size_t g = 0; g < c.query[i].n_gold; g++) FUZZ_CHECK(c.query[i].gold[g].passage < c.n_passages);
    }
    ac_rag_collection_release(&c);
    for (int i = 0; i < 3; i++) (void)close(fd[i]);
    return 0;
}
