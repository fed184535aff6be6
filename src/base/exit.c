#include "base/exit.h"

ac_exit ac_exit_of(ac_status st)
{
    switch (st) {
    case AC_OK: return AC_EXIT_DONE;
    case AC_ENOMEM: return AC_EXIT_FAULT;
    case AC_EIO: return AC_EXIT_IO;
    case AC_EFORMAT: return AC_EXIT_DATA;
    case AC_EARG: return AC_EXIT_USAGE;
    case AC_ESTATE: return AC_EXIT_FAULT;
    case AC_ECANCEL: return AC_EXIT_RESUME;
    case AC_ENOENT: return AC_EXIT_NOINPUT;
    case AC_EREFUSED: return AC_EXIT_REFUSED;
    case AC_ECONTRACT: return AC_EXIT_CONTRACT;
    case AC_EDIVERGED: return AC_EXIT_DIVERGED;
    case AC_ECREATE: return AC_EXIT_CREATE;
    case AC_ENO: return AC_EXIT_NO;
    }
    return AC_EXIT_FAULT;
}
