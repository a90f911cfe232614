/*
 * version.c - see version.h. The libraries are those that run, not those of the build.
 */
#define PCRE2_CODE_UNIT_WIDTH 8
#include "tools/common/version.h"

#include <cblas.h>
#include <fftw3.h>
#include <jansson.h>
#include <pcre2.h>
#include <samplerate.h>
#include <sndfile.h>
#include <stdio.h>
#include <zlib.h>

#include "src/kernels/kernels.h"
#include "src/mega.h"

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

/* As of building: the library is loaded for --cpu openblas alone. */
#ifdef OPENBLAS_VERSION
static const char openblas[] = OPENBLAS_VERSION;
#else
static const char openblas[] = " OpenBLAS ";
#endif

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
    printf("%s\n%s\n%s\n%sfor --cpu openblas\nzlib-%s\njansson-%s\nPCRE2-%s\n", sf_version_string(),
           src_get_version(), fftwf_version, openblas + 1, zlibVersion(),
           jansson_version_str(), pcre2);
    if (more)
        puts(more);
    puts("MIT licence; FFTW's is the GPL, which this program is therefore distributed under");
}
