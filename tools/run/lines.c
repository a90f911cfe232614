/*
 * lines.c - see lines.h.
 */
#define _GNU_SOURCE
#include "lines.h"

#include <errno.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "recognize.h"
#include "source.h"

static char standard_input[] = "-", *standard_paths[] = {standard_input};

void line_reader_begin(LineReader *reader, char **paths, int count)
{
    *reader = (LineReader){.paths = count ? paths : standard_paths, .count = count ? count : 1};
}

static int open_next(LineReader *reader, MegaError *err)
{
    const char *path = reader->paths[reader->next++];
    int fd, code = mega_source_open(&fd, path, err);
    if (code)
        return code;
    reader->name = mega_source_name(path);
    reader->number = 0;
    reader->file = fdopen(fd, "r");
    if (!reader->file) {
        close(fd);
        return mega_fail(err, MEGA_ERR_IO, "cannot open %s: %s", path, strerror(errno));
    }
    return 0;
}

/* A model, a recording or an archive in place of text, by the first line. */
static int check_kind(const LineReader *reader, MegaError *err)
{
    const MegaFileKind kind = mega_recognize(reader->text, reader->size);
    if (!kind.what || kind.role == MEGA_ROLE_TEXT)
        return 0;
    return mega_fail(err, MEGA_ERR_INPUT, "%s is %s; expected lines of text%s%s", reader->name,
                     kind.what, kind.advice ? "; " : "", kind.advice ? kind.advice : "");
}

int line_reader_next(LineReader *reader, MegaError *err)
{
    for (;;) {
        if (!reader->file) {
            if (reader->next == reader->count)
                return 0;
            int code = open_next(reader, err);
            if (code)
                return code;
        }
        errno = 0;
        ssize_t size = getline(&reader->text, &reader->capacity, reader->file);
        if (size >= 0) {
            reader->number++;
            reader->size = (size_t)size;
            if (size > 0 && reader->text[size - 1] == '\n')
                reader->size--;
            if (reader->size > 0 && reader->text[reader->size - 1] == '\r')
                reader->size--;
            return reader->number > 1 || check_kind(reader, err) == 0 ? 1 : MEGA_ERR_INPUT;
        }
        if (ferror(reader->file) || errno == ENOMEM)
            return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", reader->name,
                             strerror(errno));
        fclose(reader->file);
        reader->file = NULL;
    }
}

void line_reader_end(LineReader *reader)
{
    if (reader->file)
        fclose(reader->file);
    free(reader->text);
    *reader = (LineReader){0};
}

static size_t count_in(const char *path)
{
    struct stat info;
    char block[65536], last = '\n';
    size_t lines = 0, got;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode))
        return 0;
    FILE *file = fopen(path, "r");
    if (!file)
        return 0;
    while ((got = fread(block, 1, sizeof block, file)) > 0) {
        for (const char *at = block; (at = memchr(at, '\n', (size_t)(block + got - at))); at++)
            lines++;
        last = block[got - 1];
    }
    fclose(file);
    return lines + (last != '\n');
}

size_t count_lines(char **paths, int count)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t lines = count_in(paths[i]);
        if (lines == 0)
            return 0;
        total += lines;
    }
    return total;
}
