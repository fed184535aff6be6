/* Rows of any bytes: read or refused with a place; what was read can be checked; and a case made of a row's own
 * question is found in that row. */
#include "fuzz.h"

#include <string.h>
#include <sys/mman.h>
#include <unistd.h>
#include "data/survey.h"

/* A file in memory, so that nothing waits for a disk. */
static void put(char path[64], int *fd, const uint8_t *data, size_t len)
{
    *fd = memfd_create("rows", 0);
    FUZZ_CHECK(*fd >= 0 && write(*fd, data, len) == (ssize_t)len);
    (void)snprintf(path, 64, "/proc/self/fd/%d", *fd);
}

static size_t words_in(ac_view v)
{
    size_t n = 0;
    for (size_t i = 0; i < v.len; i++) n += (v.ptr[i] >= 'a' && v.ptr[i] <= 'z') || (v.ptr[i] >= '0' && v.ptr[i] <= '9');
    return n;
}

static void find_again(const ac_row_file *f, const ac_row *r)
{
    ac_str context = { 0 };
    for (size_t i = 0; i < r->n_messages; i++) {
        const ac_message *m = &r->message[i];
        if (m->role == AC_ROLE_USER && words_in(m->content)) {
            const ac_leak_text c = { "own", m->content, ac_str_view(&context), { NULL, 0 } };
            ac_findings g = { 0 };
            ac_err err = { 0 };
            bool found = false;
            FUZZ_CHECK(ac_leak_check(&g, &c, 1, f, "a canary that is not there", &err) == AC_OK);
            for (size_t k = 0; k < g.n; k++) found |= strcmp(g.finding[k].kind, "leak-exact") == 0;
            FUZZ_CHECK(found);
            ac_findings_release(&g);
        }
        if (m->role == AC_ROLE_SYSTEM) continue;
        ac_str_append(&context, m->content);
        ac_str_append_char(&context, '\n');
    }
    ac_str_release(&context);
}

/* The streaming reader takes the same rows as the one that training has, and refuses the same. */
static void survey_again(const char *path, ac_status read, const ac_row_file *f)
{
    const ac_survey_input in[] = { { path, AC_SPLIT_TRAIN }, { path, AC_SPLIT_VALID } };
    const ac_survey_opts o = { .near = true };
    ac_survey s = { .n_files = 0 };
    ac_err err = { 0 };
    const ac_status st = ac_survey_run(&s, in, 2, &o, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (read == AC_OK) {
        FUZZ_CHECK(st == AC_OK && s.file[0].n_bad == 0);
        FUZZ_CHECK(s.file[0].format == f->format && s.file[0].n_rows == f->n);
        FUZZ_CHECK(s.overlap[0].pairs_bytes == f->n);
    } else if (st == AC_OK && s.file[0].n_bad == 0) {
        FUZZ_CHECK(s.file[0].format == AC_FORMAT_PREFERENCE || s.file[0].format == AC_FORMAT_KTO);
    }
    ac_survey_release(&s);
}

int LLVMFuzzerTestOneInput(const uint8_t *data, size_t len)
{
    const int64_t live = ac_live_bytes();
    char path[64];
    int fd;
    ac_row_file f = { 0 };
    ac_findings g = { 0 };
    ac_err err = { 0 };
    put(path, &fd, data, len);
    const ac_status st = ac_rows_read(&f, path, AC_FORMAT_AUTO, &err);
    FUZZ_CHECK_STATUS(st, err);
    if (st) FUZZ_CHECK(strncmp(err.text, path, strlen(path)) == 0);
    else {
        FUZZ_CHECK(f.n > 0 && f.format != AC_FORMAT_AUTO);
        FUZZ_CHECK(ac_rows_check(&g, &f, &err) == AC_OK);
        ac_findings_release(&g);
        FUZZ_CHECK(ac_rows_overlap(&g, &f, &f, &err) == AC_OK);     /* a file overlaps itself in every row */
        FUZZ_CHECK(g.n == 1 && g.finding[0].score == (double)f.n);
        ac_findings_release(&g);
        if (f.format != AC_FORMAT_TEXT)
            for (size_t i = 0; i < f.n && i < 3; i++) find_again(&f, &f.row[i]);
    }
    survey_again(path, st, &f);
    ac_rows_release(&f);
    FUZZ_CHECK(close(fd) == 0);
    FUZZ_CHECK(ac_live_bytes() == live);
    return 0;
}
