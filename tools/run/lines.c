/*
 * lines.c - see lines.h.
 */
#include "tools/run/lines.h"

#include <errno.h>
#include <fcntl.h>
#include <poll.h>
#include <stdlib.h>
#include <string.h>
#include <sys/stat.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "formats/text/vocab.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"

#define BLOCK 65536
/* least bytes that are read before the encoding is guessed, since a pipe may give few at first */
#define HEAD 4

static char standard_input[] = "-", *standard_paths[] = {standard_input};

int line_reader_begin(LineReader *reader, char **paths, int count, const MegaTextRules *rules,
                      MegaError *err)
{
    *reader = (LineReader){.paths = count ? paths : standard_paths,
                           .count = count ? count : 1,
                           .rules = *rules,
                           .fd = -1};
    reader->block = malloc(BLOCK);
    return reader->block ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory to read lines");
}

static void close_file(LineReader *reader)
{
    if (reader->fd >= 0)
        close(reader->fd);
    reader->fd = -1;
}

void line_reader_end(LineReader *reader)
{
    close_file(reader);
    for (int i = 0; reader->kept && i < reader->count; i++)
        if (reader->kept[i].fd >= 0)
            close(reader->kept[i].fd);
    free(reader->kept);
    free(reader->block);
    free(reader->text);
    *reader = (LineReader){.fd = -1};
}

/* ---- Blocks --------------------------------------------------------------------------------- */

/* Reads more of the file into the block. Returns 1 if there was more, 0 at the end of the file, or
 * an error. */
static int read_more(LineReader *reader, MegaError *err)
{
    ssize_t got;
    do
        got = read(reader->fd, reader->block + reader->filled, BLOCK - reader->filled);
    while (got < 0 && errno == EINTR);
    if (got < 0)
        return mega_fail(err, MEGA_ERR_IO, "cannot read %s: %s", reader->name, strerror(errno));
    reader->filled += (size_t)got;
    return got > 0;
}

static int next_block(LineReader *reader, MegaError *err)
{
    reader->at = reader->filled = 0;
    return read_more(reader, err);
}

static bool ends_line(const LineReader *reader, uint8_t byte)
{
    if (reader->null)
        return byte == 0;
    return byte == '\n' || (byte == '\r' && !reader->rules.keep_cr);
}

static bool holds_line_end(const LineReader *reader)
{
    size_t at = reader->at;
    while (at < reader->filled && !ends_line(reader, reader->block[at]))
        at++;
    return at < reader->filled;
}

static bool is_regular(int fd)
{
    struct stat info;
    return fstat(fd, &info) == 0 && S_ISREG(info.st_mode);
}

/* Keeps an input whose lines are counted if it cannot be opened again. */
static int keep_input(LineReader *reader, const char *path, KeptInput *kept, MegaError *err)
{
    if (is_regular(reader->fd) && strcmp(path, "-") != 0)
        return 0;
    int code = mega_source_make_seekable(&reader->fd, mega_source_name(path), err);
    if (code)
        return code;
    kept->begin = lseek(reader->fd, 0, SEEK_CUR);
    kept->fd = fcntl(reader->fd, F_DUPFD_CLOEXEC, 0);
    return kept->fd >= 0 && kept->begin >= 0
               ? 0
               : mega_fail(err, MEGA_ERR_IO, "cannot read %s twice: %s", mega_source_name(path),
                           strerror(errno));
}

/* Opens an argument, which is a file or a text. */
static int open_argument(LineReader *reader, const char *path, bool *is_text, MegaError *err)
{
    int code = 0;
    *is_text = reader->arguments == ARGUMENTS_ARE_TEXTS;
    if (reader->arguments == ARGUMENTS_MAY_BE_TEXTS)
        code = is_text_argument(path, is_text, err);
    if (!*is_text)
        tell_of_terminal(path);
    if (!code)
        code = *is_text ? open_text(&reader->fd, path, err)
                        : mega_source_open(&reader->fd, path, err);
    return code;
}

static int open_next(LineReader *reader, MegaError *err)
{
    KeptInput *kept = reader->kept ? &reader->kept[reader->next] : NULL;
    const char *path = reader->paths[reader->next++];
    bool is_text = false;
    int code = 0;
    if (kept && kept->fd >= 0) {
        reader->fd = kept->fd;
        kept->fd = -1;
        lseek(reader->fd, kept->begin, SEEK_SET);
    } else {
        code = open_argument(reader, path, &is_text, err);
    }
    if (!code && reader->counting)
        code = keep_input(reader, path, kept, err);
    if (code)
        return code;
    reader->name = is_text ? "the text" : mega_source_name(path);
    reader->number = 0;
    reader->after_cr = false;
    reader->flaw = (MegaTextFlaw){0};
    reader->at = reader->filled = 0;
    int more = 1;
    while (more > 0 && reader->filled < HEAD && !holds_line_end(reader))
        more = read_more(reader, err);
    if (more < 0)
        return more;
    /* a short list of paths that end in NUL would look like UTF-16 */
    if (reader->null || !reader->filled)
        return 0;
    return mega_text_check_head(reader->block, reader->filled, reader->name, &reader->rules, err);
}

/* ---- Lines ---------------------------------------------------------------------------------- */

/* Appends bytes of the block to the line, then a NUL. */
static int append(LineReader *reader, const uint8_t *bytes, size_t size, MegaError *err)
{
    const uint64_t limit = reader->rules.limit ? reader->rules.limit : MEGA_TEXT_MAX_SIZE;
    if (size > limit - reader->size)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "%s, line %zu is longer than %llu bytes, the limit of a line",
                         reader->name, reader->number, (unsigned long long)limit);
    if (reader->size + size + 1 > reader->capacity) {
        size_t grown = reader->capacity ? reader->capacity : 256;
        while (grown < reader->size + size + 1)
            grown *= 2;
        char *moved = realloc(reader->text, grown);
        if (!moved)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a line of %s", reader->name);
        reader->text = moved;
        reader->capacity = grown;
    }
    memcpy(reader->text + reader->size, bytes, size);
    reader->size += size;
    reader->text[reader->size] = '\0';
    return 0;
}

/* Takes the bytes of the next line and of its end. Returns 1, or 0 at the end of the file, or an
 * error. */
static int take_line(LineReader *reader, MegaError *err)
{
    bool any = false;
    int code;
    reader->size = 0;
    for (;;) {
        int more = reader->at < reader->filled ? 1 : next_block(reader, err);
        if (more <= 0)
            return more < 0 ? more : any;
        const uint8_t *block = reader->block;
        if (reader->after_cr) {
            reader->after_cr = false;
            reader->at += block[reader->at] == '\n';
            continue;
        }
        size_t end = reader->at;
        while (end < reader->filled && !ends_line(reader, block[end]))
            end++;
        if ((code = append(reader, block + reader->at, end - reader->at, err)))
            return code;
        any = true;
        reader->at = end;
        if (end == reader->filled)
            continue;
        reader->after_cr = block[end] == '\r';
        reader->at++;
        return 1;
    }
}

void warn_of_flaw(const MegaTextFlaw *flaw, const char *name, const MegaTextRules *rules)
{
    MegaError err;
    if (!flaw->line)
        return;
    mega_text_fail_flaw(flaw, name, rules, &err);
    report_warning(NULL, err.text);
}

/* Checks a line, warns of its flaws, and removes byte order marks. */
static int clean_line(LineReader *reader, MegaError *err)
{
    const bool flawed = reader->flaw.line > 0;
    if (reader->rules.keep_cr && !reader->null && reader->size > 0 &&
        reader->text[reader->size - 1] == '\r')
        reader->size--;
    int code = reader->null
                   ? 0
                   : mega_text_check_line(reader->text, reader->size, reader->number, reader->name,
                                          &reader->rules, &reader->flaw, err);
    if (code)
        return code;
    const bool tells = !flawed && !reader->counting;
    if (tells && reader->flaw.line && reader->before_warning)
        reader->before_warning(reader->context);
    if (tells)
        warn_of_flaw(&reader->flaw, reader->name, &reader->rules);
    const size_t mark = mega_text_mark(reader->text, reader->size, reader->number, &reader->rules);
    reader->size -= mark;
    memmove(reader->text, reader->text + mark, reader->size);
    reader->text[reader->size] = '\0';
    return 0;
}

/* Takes the next line of all files. One that is skipped is neither checked nor changed. */
static int next_line(LineReader *reader, bool skipped, MegaError *err)
{
    for (;;) {
        if (reader->fd < 0) {
            if (reader->next == reader->count)
                return 0;
            int code = open_next(reader, err);
            if (code)
                return code;
        }
        reader->number++;
        int more = take_line(reader, err);
        if (more > 0) {
            int code = skipped ? 0 : clean_line(reader, err);
            reader->taken += code == 0;
            return code ? code : 1;
        }
        if (more < 0)
            return more;
        close_file(reader);
    }
}

int line_reader_shard(LineReader *reader, const Shard *shard, MegaError *err)
{
    if (shard->count == 0)
        return 0;
    reader->kept = calloc((size_t)reader->count, sizeof *reader->kept);
    if (!reader->kept)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a list of %d inputs", reader->count);
    for (int i = 0; i < reader->count; i++)
        reader->kept[i].fd = -1;
    reader->counting = true;
    while (next_line(reader, false, &reader->failure) > 0)
        continue;
    reader->counting = false;
    shard_range(shard, reader->taken, &reader->first, &reader->end);
    close_file(reader);
    reader->next = 0;
    reader->taken = 0;
    return 0;
}

int line_reader_next(LineReader *reader, MegaError *err)
{
    int more = 1;
    if (!reader->kept)
        return next_line(reader, false, err);
    while (more > 0 && reader->taken < reader->first)
        more = next_line(reader, true, err);
    if (more > 0 && reader->taken < reader->end)
        return next_line(reader, false, err);
    if (more > 0 && err)
        *err = reader->failure;
    return more > 0 ? reader->failure.code : more;
}

/* ---- Looking ahead -------------------------------------------------------------------------- */

/* Returns whether the next file, which is not open yet, has a line that is there already. */
static bool next_file_ready(const LineReader *reader)
{
    struct stat info;
    return reader->next < reader->count && stat(reader->paths[reader->next], &info) == 0 &&
           S_ISREG(info.st_mode) && info.st_size > 0;
}

/* Skips the LF of a line end whose CR was taken with its line. */
static void skip_line_feed(LineReader *reader)
{
    if (!reader->after_cr || reader->at == reader->filled)
        return;
    reader->after_cr = false;
    reader->at += reader->block[reader->at] == '\n';
}

static bool can_read(int fd)
{
    struct pollfd input = {.fd = fd, .events = POLLIN};
    return is_regular(fd) || poll(&input, 1, 0) == 1;
}

bool line_reader_ready(LineReader *reader)
{
    if (reader->kept && reader->taken >= reader->end)
        return false;
    if (reader->fd < 0)
        return next_file_ready(reader);
    for (;;) {
        skip_line_feed(reader);
        if (holds_line_end(reader))
            return true;
        memmove(reader->block, reader->block + reader->at, reader->filled - reader->at);
        reader->filled -= reader->at;
        reader->at = 0;
        if (reader->filled == BLOCK || !can_read(reader->fd))
            return false;
        const int more = read_more(reader, NULL);
        if (more <= 0) /* an error comes again with the next line */
            return more == 0 && (reader->filled > 0 || next_file_ready(reader));
    }
}

/* ---- Counting ------------------------------------------------------------------------------- */

static size_t count_in(const char *path, const MegaTextRules *rules)
{
    struct stat info;
    LineReader reader;
    char *paths[] = {(char *)path};
    size_t lines = 0;
    int more = 1;
    if (stat(path, &info) != 0 || !S_ISREG(info.st_mode) ||
        line_reader_begin(&reader, paths, 1, rules, NULL))
        return 0;
    if (open_next(&reader, NULL))
        more = 0;
    while (more > 0 && (more = take_line(&reader, NULL)) > 0)
        lines++;
    line_reader_end(&reader);
    return lines;
}

size_t count_lines(char **paths, int count, const MegaTextRules *rules)
{
    size_t total = 0;
    for (int i = 0; i < count; i++) {
        size_t lines = count_in(paths[i], rules);
        if (lines == 0)
            return 0;
        total += lines;
    }
    return total;
}

size_t line_reader_total(const LineReader *reader)
{
    return reader->kept ? reader->end - reader->first
                        : count_lines(reader->paths, reader->count, &reader->rules);
}
