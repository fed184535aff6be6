/* The guard's signals from trees of files made here: present, missing, malformed, control groups, rates over a turned clock. */
#include <setjmp.h>
#include <stdarg.h>
#include <stddef.h>
#include <stdint.h>
#include <stdlib.h>
#include <string.h>
#include <cmocka.h>

#include <fcntl.h>
#include <stdio.h>
#include <sys/stat.h>
#include <unistd.h>

#include "base/fault.h"
#include "base/file.h"
#include "base/mem.h"
#include "base/sysfile.h"
#include "guard/signals.h"

static char root[64];
static ac_signals sig;
static ac_signals_from from;
static ac_guard_sample in;

static void put(const char *path, const char *text)
{
    char full[300], dir[300];
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    (void)snprintf(dir, sizeof dir, "%.*s", (int)(strrchr(full, '/') - full), full);
    assert_int_equal(ac_mkdir_p(dir, NULL), AC_OK);
    assert_int_equal(ac_file_write_atomic(full, text, strlen(text), NULL), AC_OK);
}

static int fresh(void **state)
{
    (void)state;
    strcpy(root, "/tmp/accord_guard.XXXXXX");
    sig = (ac_signals){ 0 };
    from = (ac_signals_from){ .root = root, .pid = 77, .budget_bytes = 1000 * 1024 };
    return mkdtemp(root) ? 0 : -1;
}

static int drop(void **state)
{
    (void)state;
    return ac_remove_tree(root, NULL) ? -1 : 0;
}

static void look(int64_t now)
{
    assert_int_equal(ac_signals_read(&sig, &from, now, &in, NULL), AC_OK);
}

static void is(ac_signal s, double want)
{
    if (!in.read[s].measured) fail_msg("%s: not measured: %s", ac_signal_about(s)->name, in.read[s].why);
    assert_true(in.read[s].value > want - 1e-6 && in.read[s].value < want + 1e-6);
}

static void is_not(ac_signal s)
{
    assert_false(in.read[s].measured);
    assert_true(in.read[s].why && in.read[s].why[0]);
}

/* Nothing there: no value anywhere, and a reason for each. */
static void empty(void **state)
{
    (void)state;
    look(1000);
    for (size_t i = 0; i < AC_SIG_N_READ; i++) is_not((ac_signal)i);
}

static void all_there(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 500 kB\nSwapFree: 500 kB\n");
    put("/proc/77/smaps_rollup", "55d0-7ffe ---p 00000000 00:00 0 [rollup]\nRss: 900 kB\nPss: 860 kB\n");
    put("/proc/77/comm", "ffmpeg\n");                                   /* our own: it is no competitor */
    put("/proc/90/comm", "llama-server\n");
    put("/proc/91/comm", "bash\n");
    put("/proc/pressure/memory", "some avg10=12.50 avg60=0.00 avg300=0.00 total=1\nfull avg10=1.25 avg60=0 avg300=0 total=1\n");
    put("/proc/vmstat", "nr_free_pages 1\npswpin 5\npswpout 1000\n");
    put("/sys/class/thermal/thermal_zone0/temp", "91000\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_0_temp", "95000\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_1_temp", "105000\n");
    put("/sys/class/thermal/thermal_zone0/trip_point_1_type", "critical\n");
    put("/sys/class/power_supply/AC/type", "Mains\n");
    put("/sys/class/power_supply/AC/online", "0\n");
    put("/sys/class/power_supply/BAT0/type", "Battery\n");
    put("/sys/class/power_supply/BAT0/capacity", "64\n");
    put("/proc/acpi/button/lid/LID0/state", "state:      closed\n");
    put("/sys/devices/system/cpu/cpu0/thermal_throttle/core_throttle_count", "10\n");
    put("/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "20\n");
    from.step_ratio = 1.25;
    from.checkpoint_dir = root;
    from.checkpoint_bytes = 4096;
    look(1000);
    is(AC_SIG_AVAILABLE, 40);
    is(AC_SIG_FOOTPRINT, 86);
    is(AC_SIG_PSI_SOME, 12.5);
    is(AC_SIG_PSI_FULL, 1.25);
    is(AC_SIG_TRIP_MARGIN, 4);
    is(AC_SIG_HOT_MARGIN, 14);
    is(AC_SIG_ON_BATTERY, 1);
    is(AC_SIG_BATTERY, 64);
    is(AC_SIG_LID, 1);
    is(AC_SIG_BESIDE, 1);
    assert_string_equal(in.beside, "llama-server");
    is(AC_SIG_STEP_TIME, 1.25);
    is(AC_SIG_SWAP_SHARE, 0);
    is(AC_SIG_SWAP_GROWN, 0);
    is_not(AC_SIG_SWAP_RATE);                                           /* needs two */
    is_not(AC_SIG_THROTTLE);
    assert_true(in.read[AC_SIG_DISK].measured);
    put("/proc/vmstat", "pswpin 5\npswpout 3000\n");
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\nSwapTotal: 500 kB\nSwapFree: 400 kB\n");
    put("/sys/devices/system/cpu/cpu1/thermal_throttle/core_throttle_count", "23\n");
    look(3000);
    const double mib = 2000.0 * (double)sysconf(_SC_PAGESIZE) / 1048576.0;
    is(AC_SIG_SWAP_RATE, mib / 2);
    is(AC_SIG_SWAP_GROWN, mib);
    is(AC_SIG_SWAP_SHARE, 10);
    is(AC_SIG_THROTTLE, 90);
    look(3000);                                                         /* a clock that stands gives no rate */
    is_not(AC_SIG_SWAP_RATE);
    for (int64_t at = 4000; at < 900000; at += 30000) look(at);
    is(AC_SIG_SWAP_GROWN, 0);                                           /* longer ago than ten minutes */
    put("/proc/vmstat", "pswpout 7\n");                                 /* a counter that began anew */
    look(901000);
    is_not(AC_SIG_SWAP_RATE);
    is(AC_SIG_SWAP_GROWN, 0);
}

static void groups(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 1000 kB\n");
    put("/proc/self/cgroup", "0::/a/b\n");
    put("/sys/fs/cgroup/a/b/memory.max", "max\n");
    put("/sys/fs/cgroup/a/memory.max", "524288\n");                     /* the level above limits it */
    put("/sys/fs/cgroup/a/memory.current", "262144\n");
    look(1);
    is(AC_SIG_AVAILABLE, 50);                                           /* of what the group may have */
    assert_int_equal(sig.total_bytes, 524288);
    put("/proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 100 kB\n");
    look(2);
    assert_true(in.read[AC_SIG_AVAILABLE].value < 10);                  /* the machine itself is the tighter one */
    put("/proc/meminfo", "MemTotal: 1024 kB\nMemAvailable: 1000 kB\n");
    put("/proc/self/cgroup", "7:memory:/job\n");
    put("/sys/fs/cgroup/memory/job/memory.limit_in_bytes", "524288\n");
    put("/sys/fs/cgroup/memory/job/memory.usage_in_bytes", "419430\n");
    look(3);
    assert_true(in.read[AC_SIG_AVAILABLE].value > 19.9 && in.read[AC_SIG_AVAILABLE].value < 20.1);
}

static void malformed(void **state)
{
    (void)state;
    static const char *const bad[] = { "", "\n", "x\n", "-1\n", "99999999999999999999\n", "1.5e9\n", "0x10\n", "\x01\x02\xff\n" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        char text[128];
        (void)snprintf(text, sizeof text, "MemTotal: %sMemAvailable: %s", bad[i], bad[i]);
        put("/proc/meminfo", text);
        (void)snprintf(text, sizeof text, "some avg10=%sfull avg10=%s", bad[i], bad[i]);
        put("/proc/pressure/memory", text);
        (void)snprintf(text, sizeof text, "pswpout %s", bad[i]);
        put("/proc/vmstat", text);
        (void)snprintf(text, sizeof text, "Pss: %s", bad[i]);
        put("/proc/77/smaps_rollup", text);
        put("/sys/class/thermal/thermal_zone0/trip_point_0_temp", bad[i]);
        put("/sys/class/thermal/thermal_zone0/trip_point_0_type", "passive\n");
        put("/sys/class/thermal/thermal_zone0/temp", "50000\n");
        put("/sys/class/power_supply/BAT0/type", "Battery\n");
        put("/sys/class/power_supply/BAT0/capacity", bad[i]);
        put("/sys/class/power_supply/AC/type", "Mains\n");
        put("/sys/class/power_supply/AC/online", bad[i]);
        put("/proc/acpi/button/lid/LID/state", bad[i]);
        look(1000 * (int64_t)(i + 1));
        is_not(AC_SIG_AVAILABLE);
        is_not(AC_SIG_FOOTPRINT);
        is_not(AC_SIG_PSI_SOME);
        is_not(AC_SIG_PSI_FULL);
        is_not(AC_SIG_SWAP_RATE);
        is_not(AC_SIG_TRIP_MARGIN);
        is_not(AC_SIG_ON_BATTERY);
        is_not(AC_SIG_BATTERY);
        is_not(AC_SIG_LID);
    }
}

/* The workers of a shared run are the trainer's: their time is not foreign, their memory counts. One that ended is left out. */
static void workers_are_our_own(void **state)
{
    (void)state;
    put("/proc/77/task/77/children", "78 79 80 ");
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    put("/proc/77/smaps_rollup", "Pss: 200 kB\n");
    put("/proc/78/smaps_rollup", "Pss: 100 kB\n");
    put("/proc/80/smaps_rollup", "Pss: 50 kB\n");
    put("/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\n");
    put("/proc/77/stat", "77 (a) S 1 77 77 0 -1 4194304 1 0 0 0 50 10 0 0 20 0 1 0 5 6 7\n");
    put("/proc/78/stat", "78 (a) S 1 77 77 0 -1 4194304 1 0 0 0 10 0 0 0 20 0 1 0 5 6 7\n");
    look(1000);
    is(AC_SIG_FOOTPRINT, 35);
    put("/proc/stat", "cpu  160 0 140 900 0 0 0 0 0 0\n");
    put("/proc/77/stat", "77 (a) S 1 77 77 0 -1 4194304 1 0 0 0 70 10 0 0 20 0 1 0 5 6 7\n");
    put("/proc/78/stat", "78 (a) S 1 77 77 0 -1 4194304 1 0 0 0 40 0 0 0 20 0 1 0 5 6 7\n");
    look(2000);
    is(AC_SIG_FOREIGN_CPU, 25);                                         /* 100 of 200 ticks, 20 and 30 of them ours */
    put("/proc/77/task/77/children", "x 79\n");
    look(3000);
    is(AC_SIG_FOOTPRINT, 20);
}

static void foreign_cpu(void **state)
{
    (void)state;
    put("/proc/stat", "cpu  100 0 100 800 0 0 0 0 0 0\ncpu0 100 0 100 800 0 0 0 0 0 0\n");
    put("/proc/77/stat", "77 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 50 10 0 0 20 0 1 0 5 6 7\n");
    look(1000);
    is_not(AC_SIG_FOREIGN_CPU);
    put("/proc/stat", "cpu  160 0 140 900 0 0 0 0 0 0\n");
    put("/proc/77/stat", "77 (a) b (c) S 1 77 77 0 -1 4194304 1 0 0 0 90 20 0 0 20 0 1 0 5 6 7\n");
    look(2000);
    is(AC_SIG_FOREIGN_CPU, 25);                                         /* 100 of 200 ticks, 50 of them ours */
    static const char *const bad[] = { "", "cpu\n", "cpu  1 2 3\n", "cpu  a b c d e f g h\n", "cpu  -1 0 0 0 0 0 0 0\n" };
    for (size_t i = 0; i < AC_COUNTOF(bad); i++) {
        put("/proc/stat", bad[i]);
        look(3000 + 1000 * (int64_t)i);
        is_not(AC_SIG_FOREIGN_CPU);
    }
    put("/proc/stat", "cpu  170 0 150 990 0 0 0 0 0 0\n");
    put("/proc/77/stat", "77 (a\n");
    look(9000);
    is_not(AC_SIG_FOREIGN_CPU);
}

static void competitors(void **state)
{
    (void)state;
    static const struct { const char *name, *args; size_t len; const char *says; } is_one[] = {
        { "llama-server", "", 0, "llama-server" },
        { "HandBrakeCLI", "", 0, "HandBrake" },
        { "text-generation", "", 0, "text-generation-launcher" },      /* cut at 15 by the kernel */
        { "VLLM::EngineCor", "", 0, "vllm" },
#define ARGS(a) a, sizeof(a) - 1
        { "python3", ARGS("/usr/bin/python3\0-m\0mlx_lm.server\0--port\0" "8080"), "mlx_lm.server" },
        { "python3.12", ARGS("python3.12\0-u\0-m\0vllm.entrypoints.openai.api_server\0"), "vllm" },
        { "vllm", ARGS("/opt/v/bin/python\0/opt/v/bin/vllm\0serve\0some/model\0"), "vllm" },
        { "python", ARGS("python\0-X\0dev\0-mllama_cpp.server\0"), "llama_cpp.server" },
        { "ollama", ARGS("/usr/bin/ollama\0runner\0--model\0/m\0"), "ollama runner" },
        { "server", ARGS("/opt/llama.cpp/llama-server\0-m\0x.gguf\0"), "llama-server" },
        { "ffmpeg", ARGS("ffmpeg\0-i\0a.mov\0b.mp4\0"), "ffmpeg" },
        { "resolve", ARGS("/opt/resolve/bin/resolve\0"), "DaVinci Resolve" },
        { "blender", ARGS("blender\0-b\0a.blend\0-a\0"), "Blender" },
    }, is_none[] = {
        { "", "", 0, NULL }, { "bash", "", 0, NULL }, { "ffmpeg-doc", "", 0, NULL }, { "llama-serve", "", 0, NULL },
        { "ollama", ARGS("ollama\0serve\0"), NULL },                 /* waits, and holds no model */
        { "blender", ARGS("blender\0a.blend\0"), NULL },
        { "vim", ARGS("vim\0/srv/llama-server\0"), NULL },
        { "python3", ARGS("python3\0-c\0mlx_lm.server\0"), NULL },
        { "python3", ARGS("python3\0train.py\0mlx_lm.server\0"), NULL },
        { "python3", ARGS("python3"), NULL }, { "python3", ARGS("python3\0-m"), NULL }, { "x", ARGS("\0\0\0"), NULL },
    };
#undef ARGS
    for (size_t i = 0; i < AC_COUNTOF(is_one); i++) {
        const char *says = ac_guard_competitor(ac_view_of(is_one[i].name), (ac_view){ is_one[i].args, is_one[i].len });
        if (!says) fail_msg("%s: not found", is_one[i].name);
        assert_string_equal(says, is_one[i].says);
    }
    for (size_t i = 0; i < AC_COUNTOF(is_none); i++)
        assert_null(ac_guard_competitor(ac_view_of(is_none[i].name), (ac_view){ is_none[i].args, is_none[i].len }));
}

static void put_bytes(const char *path, const char *text, size_t len)
{
    char full[300];
    put(path, "");
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    assert_int_equal(ac_file_write_atomic(full, text, len, NULL), AC_OK);
}

/* Found by its command line; our own process and kernel threads are none; looked for every five seconds. */
static void beside(void **state)
{
    (void)state;
    put("/proc/2/comm", "ffmpeg\n");                                   /* a kernel thread of that name */
    put("/proc/2/cmdline", "");
    put("/proc/77/comm", "vllm\n");
    put("/proc/80/comm", "python3\n");
    put_bytes("/proc/80/cmdline", "python3\0-m\0mlx_lm.server\0", 25);
    look(1000);
    is(AC_SIG_BESIDE, 1);
    assert_string_equal(in.beside, "mlx_lm.server");
    put_bytes("/proc/80/cmdline", "python3\0x.py\0", 13);
    look(2000);
    is(AC_SIG_BESIDE, 1);
    look(6000);
    is(AC_SIG_BESIDE, 0);
    assert_string_equal(in.beside, "");
}

static void touched(const char *path, int64_t utc_s)
{
    char full[300];
    put(path, "");
    (void)snprintf(full, sizeof full, "%s%s", root, path);
    const struct timespec at[2] = { { .tv_sec = (time_t)utc_s }, { .tv_sec = 1 } };
    assert_int_equal(utimensat(AT_FDCWD, full, at, 0), 0);
}

static void idle(void **state)
{
    (void)state;
    from.utc_ns = (int64_t)1000000 * 1000000000;
    look(1000);
    is_not(AC_SIG_USER_IDLE);
    touched("/dev/pts/0", 999999);                                      /* over the network */
    look(2000);
    is_not(AC_SIG_USER_IDLE);
    touched("/dev/tty1", 999000);
    touched("/dev/tty3", 999700);
    look(3000);
    is(AC_SIG_USER_IDLE, 300);
    put("/run/systemd/sessions/c1", "UID=120\nACTIVE=1\nTYPE=wayland\nCLASS=greeter\n");
    put("/run/systemd/sessions/4", "UID=1000\nACTIVE=0\nTYPE=wayland\nCLASS=user\n");
    put("/run/systemd/sessions/5", "UID=1000\nACTIVE=1\nTYPE=tty\nCLASS=user\n");
    look(4000);
    is(AC_SIG_USER_IDLE, 300);
    put("/run/systemd/sessions/4", "UID=1000\nACTIVE=1\nTYPE=wayland\nCLASS=user\n");
    look(5000);
    is(AC_SIG_USER_IDLE, 0);                                            /* somebody is there */
    put("/run/systemd/sessions/4", "\x01\xff=\n");
    touched("/dev/tty3", 1000030);
    look(6000);
    is(AC_SIG_USER_IDLE, 0);
    touched("/dev/tty3", 1000090);
    look(7000);
    is_not(AC_SIG_USER_IDLE);                                           /* the clock was set back */
}

static void supply(void **state)
{
    (void)state;
    put("/sys/class/power_supply/mouse/type", "Battery\n");
    put("/sys/class/power_supply/mouse/scope", "Device\n");
    put("/sys/class/power_supply/mouse/capacity", "5\n");
    look(1000);
    is_not(AC_SIG_BATTERY);
    is_not(AC_SIG_LOW_POWER);
    put("/sys/class/power_supply/BAT0/type", "Battery\n");
    put("/sys/class/power_supply/BAT0/capacity", "40\n");
    put("/sys/class/power_supply/BAT0/status", "Discharging\n");
    put("/sys/class/power_supply/BAT1/type", "Battery\n");
    put("/sys/class/power_supply/BAT1/capacity", "60\n");
    put("/sys/class/power_supply/BAT1/status", "Unknown\n");
    put("/sys/firmware/acpi/platform_profile", "balanced\n");
    look(2000);
    is(AC_SIG_BATTERY, 50);
    is(AC_SIG_ON_BATTERY, 1);                                           /* nobody tells of mains, but the battery empties */
    is(AC_SIG_LOW_POWER, 0);
    put("/sys/devices/system/cpu/cpu0/cpufreq/energy_performance_preference", "power\n");
    look(3000);
    is(AC_SIG_LOW_POWER, 1);
    put("/sys/class/power_supply/USB/type", "USB\n");
    put("/sys/class/power_supply/USB/online", "1\n");
    look(4000);
    is(AC_SIG_ON_BATTERY, 0);
}

static void written(void **state)
{
    (void)state;
    double left, all;
    assert_true(ac_fs_room(root, &left, &all));
    from.checkpoint_dir = root;
    put("/proc/77/io", "rchar: 1\nwchar: 1\nsyscr: 1\nread_bytes: 1\nwrite_bytes: 1000\ncancelled_write_bytes: 0\n");
    look(1000);
    is(AC_SIG_WRITTEN, 0);
    put("/proc/77/io", "write_bytes: 5000001000\n");
    look(2000);
    is(AC_SIG_WRITTEN, 100.0 * 5e9 / (all * 0.33));
    for (int64_t h = 1; h < 26; h++) look(h * 3600000);
    is(AC_SIG_WRITTEN, 0);                                              /* more than a day ago */
    put("/proc/77/io", "write_bytes: 7\n");
    look(27 * 3600000);
    is(AC_SIG_WRITTEN, 0);
    put("/proc/77/io", "write_bytes: -7\n");
    look(28 * 3600000);
    is_not(AC_SIG_WRITTEN);
}

/* Between two looks of the same second only memory, pressure and swap are read anew. */
static void slow_ones(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    put("/proc/acpi/button/lid/LID0/state", "state: open\n");
    look(1000);
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 300 kB\n");
    put("/proc/acpi/button/lid/LID0/state", "state: closed\n");
    look(1100);
    is(AC_SIG_AVAILABLE, 30);
    is(AC_SIG_LID, 0);
    look(2000);
    is(AC_SIG_LID, 1);
}

/* Reasons tell a file that is missing from one that is not for us and one that makes no sense. */
static void reasons(void **state)
{
    (void)state;
    char full[300];
    look(1000);
    assert_string_equal(in.read[AC_SIG_PSI_SOME].why, "/proc/pressure/memory: no such file");
    put("/proc/pressure/memory", "some avg11=0.00\n");
    look(2000);
    assert_string_equal(in.read[AC_SIG_PSI_SOME].why, "/proc/pressure/memory: not as expected");
    (void)snprintf(full, sizeof full, "%s/proc/pressure/memory", root);
    assert_int_equal(chmod(full, 0), 0);
    const bool is_root = geteuid() == 0;                                /* who may read everything: look as nobody */
    if (is_root) assert_true(chmod(root, 0755) == 0 && seteuid(65534) == 0);
    look(3000);
    if (is_root) assert_int_equal(seteuid(0), 0);
    assert_string_equal(in.read[AC_SIG_PSI_SOME].why, "/proc/pressure/memory: permission denied");
    assert_int_equal(unlink(full), 0);
    assert_int_equal(mkfifo(full, 0600), 0);                            /* nobody writes: reading must not wait */
    look(4000);
    assert_string_equal(in.read[AC_SIG_PSI_SOME].why, "/proc/pressure/memory: cannot be read");
}

static void wake(void **state)
{
    (void)state;
    const char *why = NULL;
    char full[300];
    assert_int_equal(ac_signals_wake_open(root, &why), -1);
    assert_string_equal(why, "no such file");
    put("/proc/pressure/memory", "some avg10=0.00\n");
    const int fd = ac_signals_wake_open(root, &why);
    assert_true(fd >= 0 && !why);
    ac_signals_wake_close(fd);
    ac_str said = { 0 };
    (void)snprintf(full, sizeof full, "%s/proc/pressure/memory", root);
    assert_int_equal(ac_file_read(&said, full, 100, NULL), AC_OK);
    assert_true(said.len == 20 && strcmp(said.ptr, "some 150000 2000000") == 0);
    ac_str_release(&said);
}

/* Whatever fails, the reading ends with reasons or with one message, and nothing is kept. */
static void faults(void **state)
{
    (void)state;
    put("/proc/meminfo", "MemTotal: 1000 kB\nMemAvailable: 400 kB\n");
    put("/proc/90/comm", "vllm\n");
    put("/sys/class/power_supply/AC/type", "Mains\n");
    const int64_t live = ac_live_bytes();
    for (int kind = 0; kind < 2; kind++)
        for (long nth = 1;; nth++) {
            ac_err err = { 0 };
            ac_guard_sample got = { 0 };
            ac_signals s = { 0 };
            ac_fault_arm(kind ? AC_FAULT_IO : AC_FAULT_ALLOC, nth);
            const ac_status st = ac_signals_read(&s, &from, 1000, &got, &err);
            const bool fired = ac_fault_fired();
            ac_fault_disarm();
            assert_int_equal(ac_live_bytes(), live);
            assert_true(st == AC_OK || (st == AC_ENOMEM && err.text[0]));
            for (size_t i = 0; i < AC_SIG_N_READ; i++) assert_true(got.read[i].measured || got.read[i].why);
            if (!fired) {
                assert_int_equal(st, AC_OK);
                assert_true(got.read[AC_SIG_AVAILABLE].measured);
                break;
            }
        }
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test_setup_teardown(empty, fresh, drop), cmocka_unit_test_setup_teardown(all_there, fresh, drop),
        cmocka_unit_test_setup_teardown(groups, fresh, drop), cmocka_unit_test_setup_teardown(malformed, fresh, drop),
        cmocka_unit_test_setup_teardown(workers_are_our_own, fresh, drop),
        cmocka_unit_test_setup_teardown(foreign_cpu, fresh, drop),
        cmocka_unit_test_setup_teardown(beside, fresh, drop), cmocka_unit_test_setup_teardown(idle, fresh, drop),
        cmocka_unit_test_setup_teardown(supply, fresh, drop), cmocka_unit_test_setup_teardown(written, fresh, drop),
        cmocka_unit_test_setup_teardown(slow_ones, fresh, drop), cmocka_unit_test_setup_teardown(reasons, fresh, drop),
        cmocka_unit_test_setup_teardown(wake, fresh, drop), cmocka_unit_test(competitors),
        cmocka_unit_test_setup_teardown(faults, fresh, drop),
    };
    return cmocka_run_group_tests_name("guard signals", tests, NULL, NULL);
}
