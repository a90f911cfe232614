/*
 * preload.c - a library for LD_PRELOAD that makes rare faults common. By environment variables:
 *
 *   FAULT_ALLOC=N     the N-th allocation of the program's own code fails, from 1; 0: none
 *   FAULT_COUNT=FILE  the number of allocations goes to FILE at the end
 *   FAULT_LARGE=N     an allocation of more than N bytes ends the program with status 99
 *   FAULT_WRITE=N     the N-th positioned write fails: the disk is full; 0: none
 *   FAULT_SYNC=1      flushing to disk fails
 *   FAULT_SLOW=MS     every positioned write takes that long
 *
 * Counted are malloc, calloc, realloc, aligned_alloc, posix_memalign, strdup and strndup after main
 * has begun, as far as the program itself calls them, not the libraries that it uses: those
 * have their own ways to fail.
 */
#define _GNU_SOURCE
#include <dlfcn.h>
#include <errno.h>
#include <stdbool.h>
#include <stdint.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/types.h>
#include <time.h>
#include <unistd.h>

extern void *__libc_malloc(size_t);
extern void *__libc_calloc(size_t, size_t);
extern void *__libc_realloc(void *, size_t);
extern void *__libc_memalign(size_t, size_t);

static long fail_at, large, fail_write, slow;
static bool fail_sync, ready;
static const char *count_path;
static uintptr_t program_begin, program_end;
static long allocations, writes; /* atomic */

/* Finds the span of the program's own code in /proc/self/maps: it is the first executable
 * mapping. */
static void find_program(void)
{
    char program[512], line[1024];
    ssize_t length = readlink("/proc/self/exe", program, sizeof program - 1);
    FILE *maps = length > 0 ? fopen("/proc/self/maps", "r") : NULL;
    if (!maps)
        return;
    program[length] = '\0';
    while (fgets(line, sizeof line, maps)) {
        unsigned long begin, end;
        char rights[8] = "";
        if (strstr(line, program) && sscanf(line, "%lx-%lx %7s", &begin, &end, rights) == 3 &&
            rights[2] == 'x') {
            program_begin = begin;
            program_end = end;
        }
    }
    fclose(maps);
}

static long number(const char *name)
{
    const char *text = getenv(name);
    return text ? strtol(text, NULL, 10) : 0;
}

__attribute__((constructor)) static void begin(void)
{
    fail_at = number("FAULT_ALLOC");
    large = number("FAULT_LARGE");
    fail_write = number("FAULT_WRITE");
    fail_sync = number("FAULT_SYNC") != 0;
    slow = number("FAULT_SLOW");
    count_path = getenv("FAULT_COUNT");
    find_program();
    ready = true;
}

__attribute__((destructor)) static void end(void)
{
    ready = false;
    FILE *file = count_path ? fopen(count_path, "w") : NULL;
    if (file) {
        fprintf(file, "%ld\n", allocations);
        fclose(file);
    }
}

/* Counts an allocation of `size` bytes by code at `caller`, and returns whether it is the one that
 * fails. */
static bool fails(const void *caller, size_t size)
{
    uintptr_t at = (uintptr_t)caller;
    if (!ready)
        return false;
    if (large && size > (size_t)large) {
        static const char sentence[] = "an allocation passed FAULT_LARGE\n";
        if (write(STDERR_FILENO, sentence, sizeof sentence - 1) < 0)
            _exit(99);
        _exit(99);
    }
    if (at < program_begin || at >= program_end)
        return false;
    if (__atomic_add_fetch(&allocations, 1, __ATOMIC_RELAXED) != fail_at)
        return false;
    errno = ENOMEM;
    return true;
}

#define CALLER __builtin_return_address(0)

void *malloc(size_t size)
{
    return fails(CALLER, size) ? NULL : __libc_malloc(size);
}

void *calloc(size_t count, size_t size)
{
    size_t total;
    bool overflow = __builtin_mul_overflow(count, size, &total);
    return fails(CALLER, overflow ? SIZE_MAX : total) ? NULL : __libc_calloc(count, size);
}

void *realloc(void *old, size_t size)
{
    return fails(CALLER, size) ? NULL : __libc_realloc(old, size);
}

void *aligned_alloc(size_t alignment, size_t size)
{
    return fails(CALLER, size) ? NULL : __libc_memalign(alignment, size);
}

int posix_memalign(void **out, size_t alignment, size_t size)
{
    *out = fails(CALLER, size) ? NULL : __libc_memalign(alignment, size);
    return *out ? 0 : ENOMEM;
}

char *strdup(const char *text)
{
    size_t size = strlen(text) + 1;
    char *copy = fails(CALLER, size) ? NULL : __libc_malloc(size);
    return copy ? memcpy(copy, text, size) : NULL;
}

char *strndup(const char *text, size_t limit)
{
    size_t length = strnlen(text, limit);
    char *copy = fails(CALLER, length + 1) ? NULL : __libc_malloc(length + 1);
    if (!copy)
        return NULL;
    copy[length] = '\0';
    return memcpy(copy, text, length);
}

ssize_t pwrite(int fd, const void *data, size_t size, off_t offset)
{
    static ssize_t (*original)(int, const void *, size_t, off_t);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "pwrite");
    if (slow)
        nanosleep(&(struct timespec){slow / 1000, slow % 1000 * 1000000}, NULL);
    if (__atomic_add_fetch(&writes, 1, __ATOMIC_RELAXED) == fail_write) {
        errno = ENOSPC;
        return -1;
    }
    return original(fd, data, size, offset);
}

int fsync(int fd)
{
    static int (*original)(int);
    if (!original)
        *(void **)&original = dlsym(RTLD_NEXT, "fsync");
    if (fail_sync) {
        errno = EIO;
        return -1;
    }
    return original(fd);
}
