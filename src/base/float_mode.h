/*
 * float_mode.h - how the processor computes while the engine does: rounding to nearest, without
 * traps, and with subnormal numbers (below 1.2e-38) as 0, read and written.
 *
 * The states of a moving average decay into them after silence, and on many processors an
 * instruction that meets one takes a hundred cycles and more. A thread of our own keeps the mode, a
 * caller has it for the time of a call and gets its own back, so that a result depends neither on
 * the caller's mode nor on which thread computes it.
 */
#ifndef MEGA_FLOAT_MODE_H
#define MEGA_FLOAT_MODE_H

#include <stdint.h>
#if defined(__x86_64__)
#include <xmmintrin.h>
#endif

typedef uint64_t MegaFloatMode;

#if defined(__x86_64__)
#define MEGA_FLOAT_MODE 0x9fc0u /* MXCSR: FTZ, all exceptions masked, DAZ */

static inline MegaFloatMode mega_float_mode(void)
{
    return _mm_getcsr();
}

static inline void mega_set_float_mode(MegaFloatMode mode)
{
    _mm_setcsr((unsigned)mode);
}
#elif defined(__aarch64__)
#define MEGA_FLOAT_MODE (1u << 24) /* FPCR: FZ */

static inline MegaFloatMode mega_float_mode(void)
{
    MegaFloatMode mode;
    __asm__ volatile("mrs %0, fpcr" : "=r"(mode));
    return mode;
}

static inline void mega_set_float_mode(MegaFloatMode mode)
{
    __asm__ volatile("msr fpcr, %0" : : "r"(mode) : "memory");
}
#else
#define MEGA_FLOAT_MODE 0u

static inline MegaFloatMode mega_float_mode(void)
{
    return 0;
}

static inline void mega_set_float_mode(MegaFloatMode mode)
{
    (void)mode;
}
#endif

static inline MegaFloatMode mega_enter_float_mode(void)
{
    const MegaFloatMode own = mega_float_mode();
    mega_set_float_mode(MEGA_FLOAT_MODE);
    return own;
}

static inline void mega_leave_float_mode(const MegaFloatMode *own)
{
    mega_set_float_mode(*own);
}

/* At the head of a function that computes: the engine's mode until it returns, on whatever path. */
#define MEGA_WITH_FLOAT_MODE                                                                       \
    __attribute__((cleanup(mega_leave_float_mode), unused)) const MegaFloatMode callers_mode =     \
        mega_enter_float_mode()

#endif
