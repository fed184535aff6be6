/* What only Apple's frameworks tell, by dlopen: the types are opaque here, the functions are declared as they are documented. */
#include "guard/darwin/darwin_int.h"

#include <dlfcn.h>
#include <string.h>

typedef const void *cf;
typedef unsigned service;            /* io_object_t */
#define UTF8 0x08000100u             /* kCFStringEncodingUTF8 */
#define SINT64 4                     /* kCFNumberSInt64Type */

typedef struct {
    void (*release)(cf);
    cf (*string)(cf, const char *, unsigned);
    cf (*dict_get)(cf, cf);
    long (*array_count)(cf);
    cf (*array_at)(cf, long);
    unsigned long (*type_of)(cf);
    unsigned long (*type_number)(void), (*type_boolean)(void), (*type_string)(void), (*type_dict)(void);
    unsigned char (*number_value)(cf, long, void *);
    unsigned char (*boolean_value)(cf);
    unsigned char (*string_value)(cf, char *, long, unsigned);
    cf (*sources_info)(void);
    cf (*sources_list)(cf);
    cf (*source)(cf, cf);
    cf (*providing)(cf);
    cf (*settings)(void);
    cf (*matching)(const char *);
    service (*find)(unsigned, cf);
    cf (*property)(service, cf, cf, unsigned);
    int (*drop)(service);
} calls;

static const struct {
    size_t at;
    const char *name;
} symbols[] = {
    { offsetof(calls, release), "CFRelease" },
    { offsetof(calls, string), "CFStringCreateWithCString" },
    { offsetof(calls, dict_get), "CFDictionaryGetValue" },
    { offsetof(calls, array_count), "CFArrayGetCount" },
    { offsetof(calls, array_at), "CFArrayGetValueAtIndex" },
    { offsetof(calls, type_of), "CFGetTypeID" },
    { offsetof(calls, type_number), "CFNumberGetTypeID" },
    { offsetof(calls, type_boolean), "CFBooleanGetTypeID" },
    { offsetof(calls, type_string), "CFStringGetTypeID" },
    { offsetof(calls, type_dict), "CFDictionaryGetTypeID" },
    { offsetof(calls, number_value), "CFNumberGetValue" },
    { offsetof(calls, boolean_value), "CFBooleanGetValue" },
    { offsetof(calls, string_value), "CFStringGetCString" },
    { offsetof(calls, sources_info), "IOPSCopyPowerSourcesInfo" },
    { offsetof(calls, sources_list), "IOPSCopyPowerSourcesList" },
    { offsetof(calls, source), "IOPSGetPowerSourceDescription" },
    { offsetof(calls, providing), "IOPSGetProvidingPowerSourceType" },
    { offsetof(calls, settings), "IOPMCopyActivePMPreferences" },
    { offsetof(calls, matching), "IOServiceMatching" },
    { offsetof(calls, find), "IOServiceGetMatchingService" },
    { offsetof(calls, property), "IORegistryEntryCreateCFProperty" },
    { offsetof(calls, drop), "IOObjectRelease" },
};

static calls io;
static bool tried;

/* Once; the frameworks stay loaded. What is missing stays NULL. */
static void load(void)
{
    if (tried) return;
    tried = true;
    void *lib = dlopen("/System/Library/Frameworks/IOKit.framework/IOKit", RTLD_NOW | RTLD_LOCAL);
    void *core = dlopen("/System/Library/Frameworks/CoreFoundation.framework/CoreFoundation", RTLD_NOW | RTLD_LOCAL);
    if (!lib || !core) return;
    for (size_t i = 0; i < AC_COUNTOF(symbols); i++) {
        void *s = dlsym(symbols[i].name[0] == 'C' ? core : lib, symbols[i].name);
        memcpy((char *)&io + symbols[i].at, &s, sizeof s);
    }
}

static bool has_values(void)
{
    return io.release && io.string && io.dict_get && io.type_of && io.type_number && io.type_boolean && io.type_string
           && io.type_dict && io.number_value && io.boolean_value && io.string_value;
}

static bool number(cf v, int64_t *out)
{
    if (!v) return false;
    if (io.type_of(v) == io.type_boolean()) {
        *out = io.boolean_value(v) != 0;
        return true;
    }
    return io.type_of(v) == io.type_number() && io.number_value(v, SINT64, out);
}

static bool text_is(cf v, const char *want)
{
    char got[64];
    return v && io.type_of(v) == io.type_string() && io.string_value(v, got, (long)sizeof got, UTF8) && strcmp(got, want) == 0;
}

/* A member of a dictionary, borrowed; NULL: none. */
static cf member(cf dict, const char *name)
{
    if (!dict || io.type_of(dict) != io.type_dict()) return NULL;
    cf key = io.string(NULL, name, UTF8);
    if (!key) return NULL;
    cf v = io.dict_get(dict, key);
    io.release(key);
    return v;
}

static void batteries(cf info, ac_guard_sample *in)
{
    cf list = io.sources_list(info);
    int64_t charge, most;
    if (!list) return;
    for (long i = 0; i < io.array_count(list); i++) {
        cf one = io.source(info, io.array_at(list, i));
        if (!text_is(member(one, "Type"), "InternalBattery")) continue;
        if (number(member(one, "Current Capacity"), &charge) && number(member(one, "Max Capacity"), &most) && most > 0
            && charge >= 0 && charge <= most)
            in->read[AC_SIG_BATTERY] = ac_sig_value(100.0 * (double)charge / (double)most);
    }
    io.release(list);
}

static void power(ac_signals *s, ac_guard_sample *in)
{
    in->read[AC_SIG_ON_BATTERY] = ac_sig_none(s, AC_SIG_ON_BATTERY, "IOKit's power sources cannot be asked");
    in->read[AC_SIG_BATTERY] = ac_sig_none(s, AC_SIG_BATTERY, "no internal battery");
    in->read[AC_SIG_LOW_POWER] = ac_sig_none(s, AC_SIG_LOW_POWER, "IOKit does not tell the low power mode");
    if (!has_values() || !io.sources_info || !io.sources_list || !io.source || !io.providing || !io.array_count || !io.array_at)
        return;
    cf info = io.sources_info();
    if (!info) return;
    cf from = io.providing(info);
    const bool battery = text_is(from, "Battery Power"), ups = text_is(from, "UPS Power");
    if (battery || ups || text_is(from, "AC Power")) in->read[AC_SIG_ON_BATTERY] = ac_sig_value(battery || ups);
    batteries(info, in);
    cf settings = io.settings ? io.settings() : NULL;
    int64_t low;
    if (settings && number(member(member(settings, battery ? "Battery Power" : "AC Power"), "LowPowerMode"), &low))
        in->read[AC_SIG_LOW_POWER] = ac_sig_value(low != 0);
    if (settings) io.release(settings);
    io.release(info);
}

/* A number that a service of the kernel has under a name. */
static bool of_service(const char *class, const char *name, int64_t *out)
{
    if (!has_values() || !io.matching || !io.find || !io.property || !io.drop) return false;
    cf like = io.matching(class);
    const service found = like ? io.find(0, like) : 0;       /* takes `like` */
    if (!found) return false;
    cf key = io.string(NULL, name, UTF8);
    cf v = key ? io.property(found, key, NULL, 0) : NULL;
    const bool ok = v && number(v, out);
    if (v) io.release(v);
    if (key) io.release(key);
    (void)io.drop(found);
    return ok;
}

void ac_darwin_iokit(ac_signals *s, ac_guard_sample *in)
{
    int64_t v;
    load();
    power(s, in);
    in->read[AC_SIG_LID] = of_service("IOPMrootDomain", "AppleClamshellState", &v)
        ? ac_sig_value(v != 0) : ac_sig_none(s, AC_SIG_LID, "no AppleClamshellState: a machine without a lid");
    in->read[AC_SIG_USER_IDLE] = of_service("IOHIDSystem", "HIDIdleTime", &v) && v >= 0
        ? ac_sig_value((double)v / 1e9) : ac_sig_none(s, AC_SIG_USER_IDLE, "no HIDIdleTime in IOHIDSystem");
}
