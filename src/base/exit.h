/* base/exit.h - exit codes of the program; the one place where they are numbered. */
#ifndef AC_BASE_EXIT_H
#define AC_BASE_EXIT_H

#include "base/err.h"

typedef enum {
    AC_EXIT_DONE = 0,
    AC_EXIT_NO = 1,         /* checked, and the answer is no: no lift, bits differ, leak found */
    AC_EXIT_USAGE = 64,
    AC_EXIT_DATA = 65,      /* bad data */
    AC_EXIT_NOINPUT = 66,   /* input missing */
    AC_EXIT_FAULT = 70,     /* our own fault */
    AC_EXIT_CREATE = 73,    /* cannot create an output */
    AC_EXIT_IO = 74,        /* cannot read or write */
    AC_EXIT_RESUME = 75,    /* checkpointed, resume here */
    AC_EXIT_MOVE = 76,      /* does not fit here, or checkpointed: move it to another machine */
    AC_EXIT_REFUSED = 77,   /* refused by the contract */
    AC_EXIT_CONTRACT = 78,  /* bad contract */
    AC_EXIT_DIVERGED = 79,  /* not finite */
    AC_EXIT_SICK = 80       /* node sick */
} ac_exit;

ac_exit ac_exit_of(ac_status st);
/* What a code means, for help and man page; NULL when it is none of the above. */
const char *ac_exit_meaning(int code);

#endif
