/*
 * float_mode.h - the floating-point mode in which the engine computes: it rounds to nearest, traps
 * nothing, and reads and writes subnormal numbers (below 1.2e-38) as 0.
 *
 * The states of a moving average decay into subnormal numbers after silence, and on many processors
 * an instruction that meets one takes a hundred cycles or more. The pool's threads keep the mode. A
 * caller's thread has it during a call and then gets its own back. A result therefore depends
 * neither on the caller's mode nor on the thread that computes it.
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

/* Stands at the head of a function that computes. The engine's mode holds until that function
 * returns, whichever way it does. */
#define MEGA_WITH_FLOAT_MODE                                                                       \
    __attribute__((cleanup(mega_leave_float_mode), unused)) const MegaFloatMode callers_mode =     \
        mega_enter_float_mode()

#endif
