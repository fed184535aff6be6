#include "cli/commands.h"

const ac_cmd *const ac_cmds[] = {
    &ac_cmd_doctor,
    &ac_cmd_help,
    NULL
};
