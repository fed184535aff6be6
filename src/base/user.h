/* base/user.h - who runs this program, as the system knows it. */
#ifndef AC_BASE_USER_H
#define AC_BASE_USER_H

#define AC_USER_NAME 64

/* The user's login name; "uid-N" where the system has none for the number. Cut at the buffer's size. */
void ac_user_name(char out[AC_USER_NAME]);

#endif
