/*
 * manifest.c - see manifest.h.
 */
#define _GNU_SOURCE
#include "tools/run/manifest.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/bytes.h"
#include "formats/base/input_stream.h"
#include "tools/run/lines.h"

#define MAX_COLUMNS 256
#define MAX_ROWS 100000000

typedef enum Column {
    COLUMN_PATH,
    COLUMN_LABEL,
    COLUMN_PATH2,
    COLUMN_SPLIT,
    COLUMN_COUNT,
} Column;

static const char *const column_names[COLUMN_COUNT] = {"path", "label", "path2", "split"};

/* Cuts a line at its tabs, in place, and returns the number of fields. */
static size_t cut(char *line, char **fields)
{
    size_t count = 0;
    for (char *field; (field = strsep(&line, "\t")) && count < MAX_COLUMNS;)
        fields[count++] = field;
    return count;
}

static int read_header(const char *path, char *line, size_t *columns, MegaError *err)
{
    char *fields[MAX_COLUMNS];
    size_t count = cut(line, fields);
    for (int c = 0; c < COLUMN_COUNT; c++) {
        columns[c] = SIZE_MAX;
        for (size_t i = 0; i < count; i++)
            if (strcmp(mega_utf8_strip(fields[i]), column_names[c]) == 0)
                columns[c] = i;
    }
    if (columns[COLUMN_PATH] == SIZE_MAX || columns[COLUMN_LABEL] == SIZE_MAX)
        return mega_fail(
            err, MEGA_ERR_FORMAT,
            "%s: the first line must name tab-separated columns, among them 'path' and "
            "'label'; it is '%.80s'",
            path, count ? fields[0] : "");
    return 0;
}

/* Returns root/name, or a copy of name if it is absolute. */
static char *join(const char *root, const char *name)
{
    char *joined;
    if (name[0] == '/' || !root[0])
        return strdup(name);
    return asprintf(&joined, "%s/%s", root, name) < 0 ? NULL : joined;
}

static int add_row(Manifest *out, size_t *capacity, char **fields, const size_t *columns,
                   const char *root, size_t line, MegaError *err)
{
    if (out->count == *capacity) {
        size_t grown = *capacity ? 2 * *capacity : 1024;
        ManifestRow *rows = realloc(out->rows, grown * sizeof *rows);
        if (!rows)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu rows", grown);
        out->rows = rows;
        *capacity = grown;
    }
    ManifestRow *row = &out->rows[out->count++];
    *row = (ManifestRow){.line = line};
    row->path = join(root, fields[columns[COLUMN_PATH]]);
    row->label = strdup(mega_utf8_strip(fields[columns[COLUMN_LABEL]]));
    if (columns[COLUMN_PATH2] != SIZE_MAX)
        row->path2 = join(root, fields[columns[COLUMN_PATH2]]);
    if (!row->path || !row->label || (columns[COLUMN_PATH2] != SIZE_MAX && !row->path2))
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu rows", out->count);
    return 0;
}

/* Checks that a line has all columns that the rows use, a path, and a label that is UTF-8. */
static int check_row(const LineReader *reader, char **fields, size_t count, const size_t *columns,
                     MegaError *err)
{
    for (int c = 0; c < COLUMN_COUNT; c++)
        if (columns[c] != SIZE_MAX && columns[c] >= count)
            return mega_fail(err, MEGA_ERR_FORMAT,
                             "%s: line %zu has %zu column%s, too few for '%s'", reader->name,
                             reader->number, count, count == 1 ? "" : "s", column_names[c]);
    if (!fields[columns[COLUMN_PATH]][0])
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %zu: the path is empty", reader->name,
                         reader->number);
    const char *label = fields[columns[COLUMN_LABEL]];
    if (!mega_utf8_valid(label, strlen(label)))
        return mega_fail(err, MEGA_ERR_FORMAT, "%s: line %zu: label '%.60s' is not UTF-8",
                         reader->name, reader->number, label);
    return 0;
}

static int read_rows(Manifest *out, LineReader *reader, const char *root, const char *split,
                     size_t limit, MegaError *err)
{
    char *fields[MAX_COLUMNS];
    size_t capacity = 0, columns[COLUMN_COUNT];
    int more = line_reader_next(reader, err);
    int code = more < 0 ? more : 0;
    if (more == 0)
        code = mega_fail(err, MEGA_ERR_FORMAT, "%s: the list is empty", reader->name);
    if (!code)
        code = read_header(reader->name, reader->text, columns, err);
    out->has_header = !code;
    if (!code && split && columns[COLUMN_SPLIT] == SIZE_MAX)
        code = mega_fail(err, MEGA_ERR_FORMAT, "%s: there is no column 'split'", reader->name);
    while (!code && (limit == 0 || out->count < limit)) {
        more = line_reader_next(reader, err);
        if (more <= 0)
            return more;
        size_t count = cut(reader->text, fields);
        if (count == 1 && fields[0][0] == '\0')
            continue;
        code = check_row(reader, fields, count, columns, err);
        if (!code && out->count >= MAX_ROWS)
            code = mega_fail(err, MEGA_ERR_LIMIT, "%s: more than %d rows", reader->name, MAX_ROWS);
        if (!code &&
            (!split || strcmp(mega_utf8_strip(fields[columns[COLUMN_SPLIT]]), split) == 0))
            code = add_row(out, &capacity, fields, columns, root, reader->number, err);
    }
    return code;
}

int manifest_read(Manifest *out, const char *path, const char *root, const char *split,
                  size_t limit, MegaError *err)
{
    const MegaTextRules rules = {.what = "a list with a line for each input",
                                 .bytes = MEGA_TEXT_PATHS, .marks_inside = true};
    char *paths[] = {(char *)path};
    LineReader reader;
    *out = (Manifest){0};
    int code = line_reader_begin(&reader, paths, 1, &rules, err);
    const char *slash = strrchr(path, '/');
    char *folder = slash ? strndup(path, (size_t)(slash - path)) : strdup("");
    if (!code && !folder)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a path");
    if (!code)
        code = read_rows(out, &reader, root ? root : folder, split, limit, err);
    if (!code && out->count == 0)
        code = mega_fail(err, MEGA_ERR_FORMAT, "%s: there are no rows%s%s", mega_source_name(path),
                         split ? " of split " : "", split ? split : "");
    free(folder);
    line_reader_end(&reader);
    return code;
}

void manifest_free(Manifest *manifest)
{
    for (size_t i = 0; i < manifest->count; i++) {
        free(manifest->rows[i].path);
        free(manifest->rows[i].path2);
        free(manifest->rows[i].label);
    }
    free(manifest->rows);
    *manifest = (Manifest){0};
}
