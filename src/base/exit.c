#include "base/exit.h"

#include <stddef.h>

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
    case AC_EMOVE: return AC_EXIT_MOVE;
    }
    return AC_EXIT_FAULT;
}

const char *ac_exit_meaning(int code)
{
    switch ((ac_exit)code) {
    case AC_EXIT_DONE: return "done";
    case AC_EXIT_NO: return "checked, and the answer is no: no lift, bits differ, leak found";
    case AC_EXIT_USAGE: return "wrong usage: an option or a value";
    case AC_EXIT_DATA: return "bad data in an input file";
    case AC_EXIT_NOINPUT: return "an input is missing";
    case AC_EXIT_FAULT: return "a fault of ours, or out of memory";
    case AC_EXIT_CREATE: return "an output cannot be created";
    case AC_EXIT_IO: return "reading or writing failed";
    case AC_EXIT_RESUME: return "checkpointed; resume here";
    case AC_EXIT_MOVE: return "does not fit here, or checkpointed: move it to another machine";
    case AC_EXIT_REFUSED: return "refused by the contract";
    case AC_EXIT_CONTRACT: return "the contract or its lock is bad, or what it seals has changed";
    case AC_EXIT_DIVERGED: return "training diverged: not finite";
    case AC_EXIT_SICK: return "this machine is sick";
    }
    return NULL;
}
