/* base/fault.h - fails the n-th allocation or I/O call, for tests and ACCORD_FAULT only.
 * ACCORD_FAULT=alloc:N | io:N in the environment arms it at start-up (cli), so that black-box tests
 * can use the shipped binary. Not armed, the cost is one relaxed load. */
#ifndef AC_BASE_FAULT_H
#define AC_BASE_FAULT_H

#include <stdbool.h>

typedef enum { AC_FAULT_NONE, AC_FAULT_ALLOC, AC_FAULT_IO } ac_fault_kind;

void ac_fault_arm(ac_fault_kind kind, long nth);   /* nth >= 1: that call and all after it fail */
void ac_fault_disarm(void);
bool ac_fault_fired(void);
/* Arms what ACCORD_FAULT says; false when it is set and is neither alloc:N nor io:N. For cli. */
bool ac_fault_arm_from_env(void);
/* Called by base: true when this call is to fail. For I/O the caller reports ENOSPC. */
bool ac_fault_hit(ac_fault_kind kind);

#endif
