/*
 * results_file.c - see results_file.h.
 */
#define _GNU_SOURCE /* fopencookie */
#include "tools/run/results_file.h"

#include <errno.h>
#include <stdio.h>
#include <sys/stat.h>

#include "formats/base/atomic_file.h"
#include "tools/common/messages.h"

/* A process has one standard output, so there is one file. */
static MegaAtomicFile *results;
static bool is_complete;
static MegaError write_error; /* the first error of a write */

static ssize_t write_results(void *cookie, const char *data, size_t size)
{
    (void)cookie;
    MegaError err = {0};
    if (!write_error.code && mega_atomic_file_write(results, data, size, &err) == 0)
        return (ssize_t)size;
    if (!write_error.code)
        write_error = err;
    errno = EIO;
    return 0;
}

bool begin_results(const Shard *shard, int *status)
{
    MegaError err = {0};
    struct stat info;
    *status = 0;
    if (!shard->results)
        return true;
    if (stat(shard->results, &info) == 0 && S_ISREG(info.st_mode)) {
        report("%s is there already: nothing is left to do", shard->results);
        return false;
    }
    *status = 1;
    if (mega_atomic_file_open(&results, shard->results, &err)) {
        report("%s", err.text);
        return false;
    }
    FILE *file = fopencookie(NULL, "w", (cookie_io_functions_t){.write = write_results});
    if (!file) {
        report("no memory for writing %s", shard->results);
        mega_atomic_file_free(results);
        results = NULL;
        return false;
    }
    stdout = file;
    return true;
}

void all_results_are_there(void)
{
    is_complete = true;
}

int finish_results(int status)
{
    MegaAtomicFile *output = results;
    if (!output)
        return finish_output(status);
    MegaError err = {0};
    fflush(stdout);
    int code = write_error.code;
    const int lost = code ? 1 : finish_output(0);
    if (code)
        err = write_error;
    else if (is_complete && !lost)
        code = mega_atomic_file_commit(output, &err);
    if (code)
        report("%s", err.text);
    results = NULL;
    mega_atomic_file_free(output);
    return code || lost ? 1 : status;
}
