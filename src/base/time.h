/* base/time.h - clocks. Durations use the monotonic clock; names and records use UTC. */
#ifndef AC_BASE_TIME_H
#define AC_BASE_TIME_H

#include <stdint.h>

int64_t ac_mono_ns(void);
int64_t ac_boot_ns(void);                       /* monotonic, and runs on while the machine sleeps */
int32_t ac_local_minute(int64_t utc_ns);        /* of the local day; -1: unknown */
void    ac_sleep_ms(int64_t ms);                /* a signal may end it early */
int64_t ac_utc_ns(void);                        /* since 1970 */
void    ac_utc_iso(char out[32], int64_t utc_ns);      /* 2026-01-31T09:30:00Z */
void    ac_utc_compact(char out[32], int64_t utc_ns);  /* 20260131T093000Z */
int64_t ac_peak_rss_bytes(void);                /* of this process, as the system charges it */
double  ac_cpu_seconds(void);                   /* user + system, all threads */
int64_t ac_peak_rss_children(void);             /* the largest of the programs that were started and have ended */
double  ac_cpu_seconds_children(void);          /* of all of them */

#endif
