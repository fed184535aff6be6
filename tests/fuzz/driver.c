/* tests/fuzz/driver.c - runs a target without libFuzzer: each file of the corpus, then mutations of it.
 * usage: fuzz_x CORPUS [MUTATIONS [SEED]]; the same arguments run the same inputs. */
#include "fuzz.h"

#include <string.h>
#include <sys/resource.h>
#include "base/file.h"
#include "base/rng.h"

#define GROW_MAX 4096

typedef struct {
    uint64_t seed, step, draws;
    uint8_t *buf;
    size_t len, cap;
} mutant;

static uint32_t below(mutant *m, size_t bound)
{
    return ac_rng_below(m->seed, AC_RNG_TEST, m->step, m->draws++, bound ? (uint32_t)bound : 1);
}

static void remove_bytes(mutant *m, size_t at, size_t n)
{
    memmove(m->buf + at, m->buf + at + n, m->len - at - n);
    m->len -= n;
}

static void insert_bytes(mutant *m, size_t at, const uint8_t *p, size_t n)
{
    if (n > m->cap - m->len) return;
    memmove(m->buf + at + n, m->buf + at, m->len - at);
    memcpy(m->buf + at, p, n);
    m->len += n;
}

/* A number that parsers get wrong, little-endian, 1 to 8 bytes wide. */
static void odd_number(mutant *m, size_t at)
{
    static const uint64_t odd[] = { 0, 1, 0x7f, 0x80, 0xff, 0x7fff, 0xffff, 0x7fffffff, 0x80000000, 0xffffffff,
                                    (uint64_t)1 << 61, INT64_MAX, (uint64_t)1 << 63, UINT64_MAX - 7, UINT64_MAX };
    const uint64_t v = odd[below(m, AC_COUNTOF(odd))];
    const size_t width = (size_t)1 << below(m, 4);
    for (size_t i = 0; i < width && at + i < m->len; i++) m->buf[at + i] = (uint8_t)(v >> (8 * i));
}

static void mutate_once(mutant *m, const ac_view *other)
{
    uint8_t piece[64];
    const size_t at = below(m, m->len + 1), left = m->len - at;
    switch (below(m, 8)) {
    case 0: if (left) m->buf[at] ^= (uint8_t)(1u << below(m, 8)); break;
    case 1: if (left) m->buf[at] = (uint8_t)below(m, 256); break;
    case 2: odd_number(m, at); break;
    case 3: if (left) remove_bytes(m, at, 1 + below(m, left < 64 ? left : 64)); break;
    case 4: if (below(m, 8) == 0) m->len = at; break;
    case 5: {                                             /* repeats what stands here */
        const size_t n = left < sizeof piece ? left : sizeof piece;
        memcpy(piece, m->buf + at, n);
        insert_bytes(m, at, piece, n);
        break;
    }
    case 6: {                                             /* a piece of another file */
        const size_t from = below(m, other->len + 1);
        const size_t n = below(m, other->len - from < 64 ? other->len - from + 1 : 64);
        insert_bytes(m, at, (const uint8_t *)other->ptr + from, n);
        break;
    }
    default:
        piece[0] = (uint8_t)"[]{}\":,\\ \n-#&*!|>0e.'u"[below(m, 22)];
        insert_bytes(m, at, piece, 1);
    }
}

/* A copy of exactly this size: one byte too far is seen by the sanitizer. */
static void run(const void *data, size_t len)
{
    uint8_t *copy = ac_malloc(len);
    FUZZ_CHECK(copy);
    if (len) memcpy(copy, data, len);
    (void)LLVMFuzzerTestOneInput(copy, len);
    ac_free(copy);
}

static void run_mutants(const ac_view *file, size_t n_files, size_t n, uint64_t seed)
{
    for (size_t i = 0; i < n; i++) {
        const ac_view f = file[i % n_files];
        mutant m = { .seed = seed, .step = i, .len = f.len, .cap = f.len + GROW_MAX };
        m.buf = ac_malloc(m.cap);
        FUZZ_CHECK(m.buf);
        memcpy(m.buf, f.ptr, f.len);
        const ac_view *other = &file[below(&m, n_files)];
        for (uint32_t k = 1 + below(&m, 6); k; k--) mutate_once(&m, other);
        run(m.buf, m.len);
        ac_free(m.buf);
    }
}

int main(int argc, char **argv)
{
    const size_t n_mutants = argc > 2 ? (size_t)strtoul(argv[2], NULL, 10) : 2000;
    const uint64_t seed = argc > 3 ? strtoull(argv[3], NULL, 10) : 1;
    /* A crash is a finding, not a reason to fill the disk. */
    (void)setrlimit(RLIMIT_CORE, &(struct rlimit){ 0, 0 });
    ac_arena a = { 0 };
    ac_err err = { 0 };
    char **name;
    size_t n = 0;
    if (argc < 2 || ac_dir_list(argv[1], &a, &name, &n, &err) || n == 0) {
        fprintf(stderr, "usage: %s CORPUS [MUTATIONS [SEED]] %s\n", argv[0], err.text);
        return 2;
    }
    ac_view *file = ac_arena_alloc_array(&a, n, sizeof *file);
    FUZZ_CHECK(file);
    for (size_t i = 0; i < n; i++) {
        const char *path = ac_path_join(&a, argv[1], name[i]);
        if (!path || ac_file_read_arena(&file[i], &a, path, 1 << 20, &err)) {
            fprintf(stderr, "%s\n", err.text);
            return 2;
        }
        run(file[i].ptr, file[i].len);
    }
    run_mutants(file, n, n_mutants, seed);
    ac_arena_release(&a);
    FUZZ_CHECK(ac_live_bytes() == 0);
    printf("%zu files, %zu mutations, seed %llu\n", n, n_mutants, (unsigned long long)seed);
    return 0;
}
