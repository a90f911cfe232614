/*
 * replay.c - runs a fuzz target over files: replay_NAME FILE|FOLDER...
 *
 * This is for compilers without libFuzzer, and for looking at a finding in a debugger. It prints
 * only the number of files. With -v it announces each file, so that the last one is the one that
 * crashed.
 */
#include <dirent.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>

#include "formats/base/bytes.h"
#include "tests/fuzz/fuzz.h"

static int replay_file(const char *path)
{
    MegaBuffer buffer = {0};
    uint8_t piece[4096];
    size_t got;
    FILE *file = fopen(path, "rb");
    if (!file) {
        perror(path);
        return 1;
    }
    while ((got = fread(piece, 1, sizeof piece, file)) > 0)
        mega_put_bytes(&buffer, piece, got);
    int failed = ferror(file) || buffer.failed;
    fclose(file);
    if (!failed) {
        /* The copy is of exactly the right size, so that a sanitizer sees every read past its
         * end. */
        uint8_t *copy = malloc(buffer.size ? buffer.size : 1);
        failed = copy == NULL;
        if (copy && buffer.size)
            memcpy(copy, buffer.data, buffer.size);
        if (copy)
            LLVMFuzzerTestOneInput(copy, buffer.size);
        free(copy);
    }
    mega_buffer_free(&buffer);
    return failed;
}

static int replay(const char *path, bool verbose, int *count)
{
    struct stat status;
    if (stat(path, &status) == 0 && S_ISDIR(status.st_mode)) {
        int failed = 0;
        struct dirent *entry;
        DIR *folder = opendir(path);
        if (!folder) {
            perror(path);
            return 1;
        }
        while (!failed && (entry = readdir(folder))) {
            char inner[4096];
            int length = snprintf(inner, sizeof inner, "%s/%s", path, entry->d_name);
            if (entry->d_name[0] != '.' && length < (int)sizeof inner)
                failed = replay(inner, verbose, count);
        }
        closedir(folder);
        return failed;
    }
    if (verbose)
        fprintf(stderr, "%s\n", path);
    *count += 1;
    return replay_file(path);
}

int main(int argc, char **argv)
{
    int count = 0;
    bool verbose = argc > 1 && strcmp(argv[1], "-v") == 0;
    for (int i = verbose ? 2 : 1; i < argc; i++)
        if (replay(argv[i], verbose, &count))
            return 1;
    if (count == 0) {
        fprintf(stderr, "%s: no files were given\n", argv[0]);
        return 2;
    }
    printf("%d files\n", count);
    return 0;
}
