#include "cli/cli.h"

int main(int argc, char **argv)
{
    return ac_cli_main(argc, argv);
}
