/* tests/formats_data.h - where the public test data lies, which is not part of the repository. */
#ifndef ACCORD_TESTS_FORMATS_DATA_H
#define ACCORD_TESTS_FORMATS_DATA_H

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

/* "<data>/<name>" in a static buffer, or NULL (and a line that says so) when it is not there. */
static inline const char *shared_data(const char *name)
{
    static char path[1024];
    const char *root = getenv("ACCORD_SHARED_DATA");
    if (root) (void)snprintf(path, sizeof path, "%s/%s", root, name);
    else (void)snprintf(path, sizeof path, "%s/../shared/data/%s", ACCORD_SOURCE_DIR, name);
    if (access(path, R_OK) == 0) return path;
    printf("not run: no ../shared/data/%s\n", name);
    return NULL;
}

#endif
