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
#include "text.h"

static char standard_input[] = "-", *standard_paths[] = {standard_input};

/* Room for one more byte and the NUL behind it. */
static int grow(char **text, size_t *capacity, size_t size, const char *name, MegaError *err)
{
    if (size + 2 <= *capacity)
        return 0;
    size_t grown = *capacity ? 2 * *capacity : 256;
    char *moved = realloc(*text, grown);
    if (!moved)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a line of %s", name);
    *text = moved;
    *capacity = grown;
    return 0;
}

int read_line(char **text, size_t *capacity, size_t *size, int delimiter, FILE *file,
              const char *name, size_t number, MegaError *err)
{
    int byte, code = grow(text, capacity, 0, name, err);
    *size = 0;
    while (!code && (byte = getc_unlocked(file)) != EOF) {
        if (byte == delimiter)
            break;
        if (*size == MEGA_TEXT_MAX_SIZE)
            return mega_fail(err, MEGA_ERR_LIMIT,
                             "%s, line %zu is longer than %u bytes, the limit of a line", name,
                             number, MEGA_TEXT_MAX_SIZE);
        code = grow(text, capacity, *size, name, err);
        if (!code)
            (*text)[(*size)++] = (char)byte;
    }
    if (code)
        return code;
    if (byte == EOF && ferror(file))
        return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", name, strerror(errno));
    if (byte == EOF && *size == 0)
        return 0;
    if (delimiter == '\n' && *size > 0 && (*text)[*size - 1] == '\r')
        (*size)--;
    (*text)[*size] = '\0';
    return 1;
}

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
        int more = read_line(&reader->text, &reader->capacity, &reader->size, '\n', reader->file,
                             reader->name, ++reader->number, err);
        if (more > 0 && reader->number == 1 && check_kind(reader, err))
            return MEGA_ERR_INPUT;
        if (more != 0)
            return more;
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
