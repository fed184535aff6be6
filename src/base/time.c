#include "base/time.h"

#include <stdio.h>
#include <sys/resource.h>
#include <time.h>

static int64_t clock_ns(clockid_t id)
{
    struct timespec t;
    if (clock_gettime(id, &t) != 0) return 0;
    return (int64_t)t.tv_sec * 1000000000 + t.tv_nsec;
}

/* macOS counts a sleep in CLOCK_MONOTONIC; its clock that does not is mach_absolute_time's. */
int64_t ac_mono_ns(void)
{
#if defined(__APPLE__)
    return clock_ns(CLOCK_UPTIME_RAW);
#else
    return clock_ns(CLOCK_MONOTONIC);
#endif
}

int64_t ac_boot_ns(void)
{
#if defined(CLOCK_BOOTTIME)
    return clock_ns(CLOCK_BOOTTIME);
#else
    return clock_ns(CLOCK_MONOTONIC_RAW);        /* mach_continuous_time's */
#endif
}

int32_t ac_local_minute(int64_t utc_ns)
{
    const time_t t = (time_t)(utc_ns / 1000000000);
    struct tm tm;
    return localtime_r(&t, &tm) ? (int32_t)(tm.tm_hour * 60 + tm.tm_min) : -1;
}

void ac_sleep_ms(int64_t ms)
{
    if (ms > 0) (void)nanosleep(&(struct timespec){ .tv_sec = (time_t)(ms / 1000), .tv_nsec = (long)(ms % 1000) * 1000000 }, NULL);
}

int64_t ac_utc_ns(void)
{
    return clock_ns(CLOCK_REALTIME);
}

static void utc_text(char out[32], int64_t utc_ns, const char *fmt)
{
    int64_t s = utc_ns / 1000000000;
    if (utc_ns % 1000000000 < 0) s--;
    const time_t t = (time_t)s;
    struct tm tm;
    if (!gmtime_r(&t, &tm) || strftime(out, 32, fmt, &tm) == 0) out[0] = '\0';
}

void ac_utc_iso(char out[32], int64_t utc_ns)
{
    utc_text(out, utc_ns, "%Y-%m-%dT%H:%M:%SZ");
}

void ac_utc_compact(char out[32], int64_t utc_ns)
{
    utc_text(out, utc_ns, "%Y%m%dT%H%M%SZ");
}

static int64_t peak_rss(int who)
{
    struct rusage u;
    if (getrusage(who, &u) != 0) return 0;
#if defined(__APPLE__)
    return (int64_t)u.ru_maxrss;
#else
    return (int64_t)u.ru_maxrss * 1024;
#endif
}

static double cpu_seconds(int who)
{
    struct rusage u;
    if (getrusage(who, &u) != 0) return 0.0;
    return (double)u.ru_utime.tv_sec + (double)u.ru_stime.tv_sec
           + 1e-6 * ((double)u.ru_utime.tv_usec + (double)u.ru_stime.tv_usec);
}

int64_t ac_peak_rss_bytes(void)
{
    return peak_rss(RUSAGE_SELF);
}

int64_t ac_peak_rss_children(void)
{
    return peak_rss(RUSAGE_CHILDREN);
}

double ac_cpu_seconds(void)
{
    return cpu_seconds(RUSAGE_SELF);
}

double ac_cpu_seconds_children(void)
{
    return cpu_seconds(RUSAGE_CHILDREN);
}
