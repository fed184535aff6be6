/* /etc/passwd is read here: the C library's own lookup loads modules, which a static program cannot. */
#include "base/user.h"

#include <stdio.h>
#include <stdlib.h>
#include <unistd.h>

#include "base/file.h"

/* The name in "name:password:uid:..." when the uid is this one's. */
static bool name_in(char out[AC_USER_NAME], ac_view line, int64_t uid)
{
    const size_t one = ac_view_find(line, AC_VIEW(":"), 0);
    const size_t two = one == SIZE_MAX ? SIZE_MAX : ac_view_find(line, AC_VIEW(":"), one + 1);
    const size_t three = two == SIZE_MAX ? SIZE_MAX : ac_view_find(line, AC_VIEW(":"), two + 1);
    int64_t is = -1;
    if (three == SIZE_MAX || one == 0 || !ac_parse_i64(ac_view_slice(line, two + 1, three), &is) || is != uid) return false;
    (void)snprintf(out, AC_USER_NAME, "%.*s", (int)(one < AC_USER_NAME ? one : AC_USER_NAME - 1), line.ptr);
    return true;
}

void ac_user_name(char out[AC_USER_NAME])
{
    const int64_t uid = (int64_t)geteuid();
    const char *login = getenv("LOGNAME");
    ac_lines *l = NULL;
    ac_view line;
    bool found = false;
    if (ac_lines_open(&l, "/etc/passwd", 65536, NULL) == AC_OK)
        while (!found && ac_lines_next(l, &line, NULL, NULL) == AC_OK && line.ptr) found = name_in(out, line, uid);
    ac_lines_close(&l);
    if (found) return;
    if (login && login[0]) (void)snprintf(out, AC_USER_NAME, "%s", login);
    else (void)snprintf(out, AC_USER_NAME, "uid-%lld", (long long)uid);
}
