/* cli/commands.h - the commands; one cmd_<name>.c each. */
#ifndef AC_CLI_COMMANDS_H
#define AC_CLI_COMMANDS_H

#include "cli/cli.h"

extern const ac_cmd ac_cmd_doctor, ac_cmd_help;

#endif
