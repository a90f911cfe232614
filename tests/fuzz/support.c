/*
 * support.c - functions for all fuzz targets: a file in memory, and a check of errors.
 */
#define _GNU_SOURCE
#include "tests/fuzz/fuzz.h"

#include <stdio.h>
#include <stdlib.h>
#include <sys/mman.h>
#include <unistd.h>

/* This is the only global variable: a target runs in a process of its own, on one thread. */
static int memory_file = -1;

const char *fuzz_path(const uint8_t *data, size_t size)
{
    static char path[32];
    if (memory_file < 0)
        memory_file = memfd_create("fuzz", MFD_CLOEXEC);
    if (memory_file < 0 || ftruncate(memory_file, 0) ||
        pwrite(memory_file, data, size, 0) != (ssize_t)size)
        return NULL;
    snprintf(path, sizeof path, "/proc/self/fd/%d", memory_file);
    return path;
}

void fuzz_check_error(int code, const char *text)
{
    if (code == 0 || (code < 0 && text[0] != '\0'))
        return;
    fprintf(stderr, "code %d without a sentence\n", code);
    abort();
}
