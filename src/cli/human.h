/* cli/human.h - numbers as people read them. out holds at least 32 bytes. */
#ifndef AC_CLI_HUMAN_H
#define AC_CLI_HUMAN_H

#include <stdint.h>

void ac_human_count(char out[32], uint64_t n);      /* 1,234,567 */
void ac_human_bytes(char out[32], uint64_t n);      /* 1.5 GiB */
void ac_human_time(char out[32], double seconds);   /* 0:07, 12:34, 1:02:03 */

#endif
