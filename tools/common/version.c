/*
 * version.c - see version.h. The libraries are those that run, not those of the build.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tools/common/version.h"

#include <jansson.h>
#include <pcre2.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdio.h>
#include <zlib.h>

#include "formats/base/inflate.h"
#include "src/kernels/kernels.h"
#include "src/layers/fft_convolution.h"
#include "src/mega.h"

#if MEGA_WITH_OPENBLAS
#include <cblas.h>
#endif
#if MEGA_WITH_FFTW
#include <fftw3.h>
#endif

#ifdef __clang__
#define COMPILER __VERSION__ /* has the name in it */
#else
#define COMPILER "gcc " __VERSION__
#endif

#if defined __x86_64__
#define ARCHITECTURE "x86-64"
#elif defined __aarch64__
#define ARCHITECTURE "arm64"
#else
#define ARCHITECTURE "another architecture"
#endif

/* OpenBLAS is named by the version of the build, since it is loaded for --cpu openblas alone. */
static void print_openblas(void)
{
#if !MEGA_WITH_OPENBLAS
    puts("without OpenBLAS");
#elif defined OPENBLAS_VERSION
    printf("%sfor --cpu openblas\n", &OPENBLAS_VERSION[1]); /* it begins and ends with a blank */
#else
    puts("OpenBLAS for --cpu openblas");
#endif
}

void print_version(const char *program, const char *more)
{
    char pcre2[32] = "";
    pcre2_config(PCRE2_CONFIG_VERSION, pcre2);
    printf("%s %s (kernels: %s)\n", program, mega_version(), mega_kernels()->name);
    printf("built by %s for %s%s\n", COMPILER, ARCHITECTURE,
#ifdef NDEBUG
           ", without assertions");
#else
           "");
#endif
    printf("%s\n%s\n", sf_version_string(), src_get_version());
#if MEGA_WITH_FFTW
    puts(fftwf_version);
#else
    puts("without FFTW");
#endif
    print_openblas();
    puts(mega_inflate_library());
    printf("zlib-%s\njansson-%s\nPCRE2-%s\n", zlibVersion(), jansson_version_str(), pcre2);
    if (more)
        puts(more);
    puts(MEGA_WITH_FFTW ? "MIT licence; FFTW's is the GPL, which this program is therefore "
                          "distributed under"
                        : "MIT licence");
}
