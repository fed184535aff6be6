/* Files for tests of the rooms that read rows and cases, in a temporary folder. */
#ifndef TESTS_DATA_FIXTURE_H
#define TESTS_DATA_FIXTURE_H

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "base/file.h"
#include "data/data.h"

static char df_dir[128];

static inline int df_open(void)
{
    const char *tmp = getenv("TMPDIR");
    (void)snprintf(df_dir, sizeof df_dir, "%.80s/accord-data-XXXXXX", tmp && *tmp ? tmp : "/tmp");
    return mkdtemp(df_dir) ? 0 : -1;
}

static inline void df_close(void)
{
    (void)ac_remove_tree(df_dir, NULL);
}

static inline const char *df_path(const char *name)
{
    static char path[4][384];
    static unsigned turn;
    char *p = path[turn++ % 4];
    (void)snprintf(p, sizeof path[0], "%s/%s", df_dir, name);
    return p;
}

static inline const char *df_write(const char *name, const char *text, size_t len)
{
    ac_err err = { 0 };
    const char *p = df_path(name);
    if (ac_file_write_atomic(p, text, len, &err)) {
        (void)fprintf(stderr, "%s\n", err.text);
        abort();
    }
    return p;
}

static inline const char *df_text(const char *name, const char *text)
{
    return df_write(name, text, strlen(text));
}

/* Where the public sets lie; NULL when this clone does not have them. */
static inline const char *df_shared(void)
{
    const char *env = getenv("ACCORD_SHARED_DATA");
    if (env && ac_path_is_dir(env)) return env;
    return ac_path_is_dir(ACCORD_SOURCE_DIR "/../shared/data") ? ACCORD_SOURCE_DIR "/../shared/data" : NULL;
}

#endif
