/* base/sysmem.h - how much memory the system would still give this process, and how much the process holds.
 * Linux says it in /proc and in the control groups; elsewhere the answers are "unknown". */
#ifndef AC_BASE_SYSMEM_H
#define AC_BASE_SYSMEM_H

#include <stdint.h>

/* Bytes that may still be taken: what the system has without swapping, or less where a control group (v1 or v2, any
 * level above the process) leaves less. Pages of files that a group could drop count as free. -1: unknown. */
int64_t ac_memory_available(void);
/* The same under another root folder, for tests. */
int64_t ac_memory_available_under(const char *root);

/* All memory of the machine; -1: unknown. */
int64_t ac_memory_total(void);
int64_t ac_memory_total_under(const char *root);

/* The least of that and of what the control groups above this process allow in all; -1: unknown. */
int64_t ac_memory_machine(void);
int64_t ac_memory_machine_under(const char *root);

/* What this process holds in memory now: pages of its own, and pages of mapped files. 0: unknown. */
int64_t ac_rss_own_bytes(void);
int64_t ac_rss_mapped_bytes(void);

#endif
