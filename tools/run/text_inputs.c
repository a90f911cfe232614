/*
 * text_inputs.c - see text_inputs.h.
 */
#include "tools/run/text_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/base/input_stream.h"
#include "formats/text/vocab.h"
#include "src/base/utf8.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"

/* ---- One text ------------------------------------------------------------------------------- */

static void report_failure(TextInputs *inputs, const char *name, size_t line, const MegaError *err)
{
    inputs->status = 1;
    if (line)
        report("%s, line %zu: %s", name, line, err->text);
    else
        report("%s", err->text);
    if (inputs->json)
        print_json_failure(name, line, err);
}

static void use_text(TextInputs *inputs, UseText use, void *context, const MegaBuffer *text,
                     const char *name, size_t line)
{
    MegaError err = {0};
    const MegaRaw raw = {.kind = MEGA_RAW_TEXT,
                         .data = text->size ? (const char *)text->data : "",
                         .size = text->size,
                         .name = name};
    if (use(context, &raw, &err))
        report_failure(inputs, name, line, &err);
    fflush(stdout);
}

int read_text(MegaBuffer *out, const char *argument, bool literal, MegaError *err)
{
    bool is_text = literal;
    int code = literal ? 0 : is_text_argument(argument, &is_text, err);
    if (!code && !is_text) {
        tell_of_terminal(argument);
        return mega_source_read(out, argument, "a text", MEGA_TEXT_MAX_SIZE, err);
    }
    if (!code)
        mega_put_bytes(out, argument, strlen(argument));
    return code;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

static int each_line(TextInputs *inputs, UseText use, void *context, MegaError *err)
{
    const MegaTextRules rules = {.what = "lines of text", .limit = MEGA_TEXT_MAX_SIZE};
    LineReader lines;
    int code = line_reader_begin(&lines, inputs->paths, inputs->count, &rules, err), more = 0;
    lines.arguments = ARGUMENTS_MAY_BE_TEXTS;
    if (!code && inputs->count == 0)
        tell_of_terminal("-");
    while (!code && (more = line_reader_next(&lines, err)) > 0) {
        const MegaBuffer text = {.data = (uint8_t *)lines.text, .size = lines.size};
        use_text(inputs, use, context, &text, lines.name, lines.number);
    }
    line_reader_end(&lines);
    return code ? code : more;
}

/* ---- Tables --------------------------------------------------------------------------------- */

/* Reads a table field by field. Fields of a CSV file may stand in quotes, in which a quote is
 * doubled; those of a TSV file are as they stand. */
typedef struct Table {
    const char *at, *end;
    char separator;
    MegaBuffer field;
    bool ends_row; /* the field was the last one of its row */
    size_t line;   /* the line on which it ends */
} Table;

static void next_field(Table *table)
{
    bool quoted = table->separator == ',' && table->at < table->end && *table->at == '"';
    table->field.size = 0;
    table->at += quoted;
    for (; table->at < table->end; table->at++) {
        const char c = *table->at;
        table->line += c == '\n';
        if (quoted && c == '"') {
            if (table->at + 1 == table->end || table->at[1] != '"') {
                quoted = false;
                continue;
            }
            table->at++;
        } else if (!quoted && (c == table->separator || c == '\n')) {
            break;
        }
        mega_put_u8(&table->field, (uint8_t)c);
    }
    table->ends_row = table->at == table->end || *table->at == '\n';
    table->at += table->at < table->end;
    if (table->ends_row && table->field.size && table->field.data[table->field.size - 1] == '\r')
        table->field.size--;
}

/* Finds the column in the first row. */
static int find_column(Table *table, const char *name, const char *path, size_t *column,
                       MegaError *err)
{
    const size_t wanted = strlen(name);
    bool found = false;
    for (size_t i = 0; table->at < table->end; i++) {
        next_field(table);
        if (!found && table->field.size == wanted &&
            (wanted == 0 || memcmp(table->field.data, name, wanted) == 0)) {
            found = true;
            *column = i;
        }
        if (table->ends_row)
            break;
    }
    return found ? 0
                 : mega_fail(err, MEGA_ERR_INPUT, "%s: the first row has no column '%.60s'",
                             mega_source_name(path), name);
}

static void each_row(TextInputs *inputs, UseText use, void *context, Table *table, size_t column,
                     const char *path)
{
    while (table->at < table->end) {
        const size_t line = table->line + 1;
        bool has = false;
        for (size_t i = 0;; i++) {
            next_field(table);
            if (i == column) {
                use_text(inputs, use, context, &table->field, mega_source_name(path), line);
                has = true;
            }
            if (table->ends_row)
                break;
        }
        const MegaError err = {MEGA_ERR_INPUT, "the row has no such column"};
        if (!has)
            report_failure(inputs, mega_source_name(path), line, &err);
    }
}

static int use_table(TextInputs *inputs, UseText use, void *context, const char *path,
                     MegaError *err)
{
    MegaBuffer bytes = {0};
    size_t column = 0;
    tell_of_terminal(path);
    int code = mega_source_read(&bytes, path, "a table", MEGA_TEXT_MAX_SIZE, err);
    const char *text = bytes.size ? (const char *)bytes.data : "";
    Table table = {.at = text, .end = text + bytes.size, .separator = ','};
    const char *row = memchr(text, '\n', bytes.size);
    if (memchr(text, '\t', row ? (size_t)(row - text) : bytes.size))
        table.separator = '\t';
    if (bytes.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        table.at += 3;
    if (!code)
        code = find_column(&table, inputs->column, path, &column, err);
    if (!code)
        each_row(inputs, use, context, &table, column, path);
    mega_buffer_free(&table.field);
    mega_buffer_free(&bytes);
    return code;
}

/* ---- All ------------------------------------------------------------------------------------ */

int each_text(TextInputs *inputs, UseText use, void *context)
{
    char *standard_input[] = {(char *)"-"};
    char *given[] = {(char *)inputs->text};
    MegaError err = {0};
    int code = 0;
    if (inputs->lines || (inputs->count == 0 && !inputs->text && !inputs->column)) {
        code = each_line(inputs, use, context, &err);
        if (code)
            report("%s", err.text);
        return code ? 1 : inputs->status;
    }
    char **paths = inputs->text ? given : inputs->count ? inputs->paths : standard_input;
    const int count = inputs->text || !inputs->count ? 1 : inputs->count;
    for (int i = 0; i < count; i++) {
        MegaBuffer text = {0};
        code = inputs->column ? use_table(inputs, use, context, paths[i], &err)
                              : read_text(&text, paths[i], inputs->text != NULL, &err);
        bool is_text = inputs->text != NULL;
        if (code)
            report_failure(inputs, paths[i], 0, &err);
        else if (!inputs->column) {
            if (!is_text && is_text_argument(paths[i], &is_text, &err))
                is_text = false;
            use_text(inputs, use, context, &text, is_text ? "the text" : mega_source_name(paths[i]),
                     0);
        }
        mega_buffer_free(&text);
    }
    return inputs->status;
}

/* ---- Models --------------------------------------------------------------------------------- */

int text_model_open(TextModel *out, const char *given, MegaTask task, const char *purpose,
                    const MegaSessionOptions *session, MegaError *err)
{
    const MegaPipelineOptions options = {.session = *session};
    *out = (TextModel){0};
    int code = open_model(&out->model, &out->path,
                          &(ModelWish){.given = given, .task = task, .kind = MEGA_CONTENT_TEXT},
                          session->max_memory, err);
    if (!code && mega_model_task(out->model) != task)
        code = fail_wrong_model(out->model, out->path, purpose, task, MEGA_CONTENT_TEXT, err);
    return code ? code : mega_pipeline_new(&out->pipeline, out->model, &options, err);
}

void text_model_close(TextModel *model)
{
    mega_pipeline_free(model->pipeline);
    mega_model_free(model->model);
    free(model->path);
}

uint32_t byte_place(const MegaRaw *raw, uint32_t character)
{
    const char *text = raw->data;
    size_t at = 0;
    for (uint32_t i = 0; i < character && at < raw->size; i++) {
        const size_t length = mega_utf8_decode(text + at, raw->size - at, NULL);
        at += length ? length : 1;
    }
    return (uint32_t)at;
}

void put_line(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        putchar(text[i] == '\n' || text[i] == '\r' || text[i] == '\t' ? ' ' : text[i]);
}
