/* base/compiler.h - the only place where compiler extensions are spelled. */
#ifndef AC_BASE_COMPILER_H
#define AC_BASE_COMPILER_H

#if defined(__x86_64__)
#define AC_ARCH_X86 1
#else
#define AC_ARCH_X86 0
#endif
#if defined(__aarch64__)
#define AC_ARCH_ARM 1
#else
#define AC_ARCH_ARM 0
#endif

#if defined(__GNUC__)
#define AC_PRINTF(fmt_i, arg_i) __attribute__((format(printf, fmt_i, arg_i)))
#define AC_NODISCARD            __attribute__((warn_unused_result))
#define AC_LIKELY(x)            __builtin_expect(!!(x), 1)
#define AC_UNLIKELY(x)          __builtin_expect(!!(x), 0)
#define AC_INLINE               static inline __attribute__((always_inline))
#define AC_NOINLINE             __attribute__((noinline))
#define AC_CONSTRUCTOR          __attribute__((constructor))
#else
#define AC_PRINTF(fmt_i, arg_i)
#define AC_NODISCARD
#define AC_LIKELY(x)   (x)
#define AC_UNLIKELY(x) (x)
#define AC_INLINE      static inline
#define AC_NOINLINE
#define AC_CONSTRUCTOR
#endif

/* Tells the core that this is a spin loop, and reads and writes ARM's floating-point control. */
#if AC_ARCH_X86
#define AC_SPIN_HINT() __builtin_ia32_pause()
#elif AC_ARCH_ARM
#define AC_SPIN_HINT() __asm__ __volatile__("yield")
#define AC_FPCR_GET(v) __asm__ __volatile__("mrs %0, fpcr" : "=r"(v))
#define AC_FPCR_SET(v) __asm__ __volatile__("msr fpcr, %0" : : "r"(v))
#else
#define AC_SPIN_HINT() ((void)0)
#endif

/* Brings a line near: to be written soon, or to be read a while later. */
#if defined(__GNUC__)
#define AC_PREFETCH_WRITE(p) __builtin_prefetch((p), 1, 3)
#define AC_PREFETCH_FAR(p)   __builtin_prefetch((p), 0, 2)
#else
#define AC_PREFETCH_WRITE(p) ((void)(p))
#define AC_PREFETCH_FAR(p)   ((void)(p))
#endif

#if defined(__clang__)
#define AC_COMPILER "clang " __clang_version__
#elif defined(__GNUC__)
#define AC_COMPILER "gcc " __VERSION__
#else
#define AC_COMPILER "unknown"
#endif

#define AC_COUNTOF(a) (sizeof(a) / sizeof((a)[0]))
#define AC_UNUSED(x)  ((void)(x))

#endif
