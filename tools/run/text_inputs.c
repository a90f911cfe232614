/*
 * text_inputs.c - see text_inputs.h.
 */
#include "tools/run/text_inputs.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "formats/text/tokenizer.h"
#include "src/base/utf8.h"
#include "tools/common/progress.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"

/* ---- One text ------------------------------------------------------------------------------- */

/* Reports why a text failed, and where. The reason may begin with the name of the input already. */
static void report_failure(TextInputs *inputs, const char *name, size_t line, const MegaError *err)
{
    const size_t size = strlen(name);
    const bool named =
        strncmp(err->text, name, size) == 0 && strncmp(err->text + size, ": ", 2) == 0;
    MegaError reason = {0};
    mega_fail(&reason, err->code, "%s", err->text + (line && named ? size + 2 : 0));
    inputs->status = 1;
    if (line)
        report("%s, line %zu: %s", name, line, reason.text);
    else
        report("%s", reason.text);
    if (inputs->json)
        print_json_failure(name, line, &reason);
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

/* On the same terminal, a progress bar would overwrite the results. */
static bool has_bar(uint64_t total)
{
    return total > 1 && !isatty(STDOUT_FILENO);
}

static int each_line(TextInputs *inputs, const MegaMeta *meta, UseText use, void *context,
                     MegaError *err)
{
    const MegaTextRules rules =
        mega_codec_text_rules(meta, MEGA_CODEC_TARGET, false, "lines of text");
    const size_t total = count_lines(inputs->paths, inputs->count, &rules);
    LineReader lines;
    Progress progress;
    int code = line_reader_begin(&lines, inputs->paths, inputs->count, &rules, err), more = 0;
    lines.arguments = ARGUMENTS_MAY_BE_TEXTS;
    if (!code && inputs->count == 0)
        tell_of_terminal("-");
    progress_begin(&progress, total, "lines", !has_bar(total));
    for (size_t done = 0; !code && !ferror(stdout); progress_update(&progress, ++done)) {
        more = line_reader_next(&lines, err);
        if (more <= 0)
            break;
        const MegaBuffer text = {.data = (uint8_t *)lines.text, .size = lines.size};
        use_text(inputs, use, context, &text, lines.name, lines.number);
    }
    progress_end(&progress);
    line_reader_end(&lines);
    return code ? code : more < 0 ? more : 0;
}

/* ---- Tables --------------------------------------------------------------------------------- */

/* Reads a table field by field. Fields of a CSV file may stand in quotes, in which a quote is
 * doubled; those of a TSV file are as they stand. */
typedef struct Table {
    const char *at, *end;
    char separator;
    MegaBuffer field;
    bool ends_row; /* the field was the last one of its row */
    bool is_open;  /* the table ended within its quotes */
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
    table->is_open = quoted;
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
    MegaBuffer names = {0};
    bool found = false;
    if (table->at == table->end)
        return mega_fail(err, MEGA_ERR_INPUT,
                         "%s is empty; expected a table, whose first row has names",
                         mega_source_name(path));
    for (size_t i = 0; table->at < table->end; i++) {
        next_field(table);
        if (!found && table->field.size == wanted &&
            (wanted == 0 || memcmp(table->field.data, name, wanted) == 0)) {
            found = true;
            *column = i;
        }
        mega_put_bytes(&names, ", '", i ? 3 : 0);
        mega_put_bytes(&names, "'", i ? 0 : 1);
        mega_put_bytes(&names, table->field.data, table->field.size);
        mega_put_u8(&names, '\'');
        if (table->ends_row)
            break;
    }
    mega_put_u8(&names, '\0');
    if (!found)
        mega_fail(err, MEGA_ERR_INPUT, "%s: the first row has no column '%.60s', only %.200s",
                  mega_source_name(path), name, names.failed ? "others" : (char *)names.data);
    mega_buffer_free(&names);
    return found ? 0 : MEGA_ERR_INPUT;
}

/* Reports that a row has no text in the column. */
static void fail_row(TextInputs *inputs, const char *path, size_t line, const char *reason)
{
    MegaError err = {0};
    mega_fail(&err, MEGA_ERR_INPUT, "%s", reason);
    report_failure(inputs, mega_source_name(path), line, &err);
}

/* Uses the field of one row. A row without anything in it is an empty line, as in other readers of
 * such files. */
static void use_row(TextInputs *inputs, UseText use, void *context, Table *table, size_t column,
                    const char *path)
{
    const size_t line = table->line + 1;
    MegaBuffer text = {0};
    bool has = false, is_empty = true, is_open = false;
    for (size_t i = 0; i == 0 || !table->ends_row; i++) {
        next_field(table);
        is_empty = i == 0 && table->ends_row && table->field.size == 0;
        is_open = table->is_open;
        if (i != column)
            continue;
        has = true;
        mega_put_bytes(&text, table->field.data, table->field.size);
    }
    if (is_open)
        fail_row(inputs, path, line, "the quotes of a field that begins here are never closed");
    else if (!has && !is_empty)
        fail_row(inputs, path, line, "the row has no such column");
    else if (!is_empty && text.failed)
        fail_row(inputs, path, line, "no memory for a text");
    else if (!is_empty)
        use_text(inputs, use, context, &text, mega_source_name(path), line);
    mega_buffer_free(&text);
}

static int use_table(TextInputs *inputs, UseText use, void *context, const char *path,
                     MegaError *err)
{
    const MegaTextRules rules = {.what = "a table", .bytes = MEGA_TEXT_BINARY};
    MegaBuffer bytes = {0};
    Progress progress;
    size_t column = 0;
    tell_of_terminal(path);
    int code = mega_source_read(&bytes, path, "a table", MEGA_TEXT_MAX_SIZE, err);
    const char *text = bytes.size ? (const char *)bytes.data : "";
    Table table = {.at = text, .end = text + bytes.size, .separator = ','};
    const char *row = memchr(text, '\n', bytes.size);
    if (memchr(text, '\t', row ? (size_t)(row - text) : bytes.size))
        table.separator = '\t';
    if (!code && bytes.size)
        code = mega_text_check_head(text, bytes.size, mega_source_name(path), &rules, err);
    if (bytes.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        table.at += 3;
    if (!code)
        code = find_column(&table, inputs->column, path, &column, err);
    progress_begin(&progress, bytes.size, "bytes", !has_bar(bytes.size));
    while (!code && table.at < table.end && !ferror(stdout)) {
        use_row(inputs, use, context, &table, column, path);
        progress_update(&progress, (uint64_t)(table.at - text));
    }
    progress_end(&progress);
    mega_buffer_free(&table.field);
    mega_buffer_free(&bytes);
    return code;
}

/* ---- All ------------------------------------------------------------------------------------ */

int check_text_inputs(const char *command, const TextInputs *inputs)
{
    const char *other = inputs->count    ? "files"
                        : inputs->lines  ? "--lines"
                        : inputs->column ? "--column"
                                         : NULL;
    return inputs->text && other ? usage_error(command, "--text or %s, not both", other) : 0;
}

/* Uses an argument as one text, or as a table of texts. */
static void use_argument(TextInputs *inputs, UseText use, void *context, const char *argument)
{
    MegaBuffer text = {0};
    MegaError err = {0};
    bool is_text = inputs->text != NULL;
    const int code = inputs->column ? use_table(inputs, use, context, argument, &err)
                                    : read_text(&text, argument, is_text, &err);
    if (code)
        report_failure(inputs, argument, 0, &err);
    else if (!inputs->column) {
        if (!is_text && is_text_argument(argument, &is_text, &err))
            is_text = false;
        use_text(inputs, use, context, &text, is_text ? "the text" : mega_source_name(argument), 0);
    }
    mega_buffer_free(&text);
}

int each_text(TextInputs *inputs, const MegaMeta *meta, UseText use, void *context)
{
    MegaError err = {0};
    if (!inputs->column && (inputs->lines || (inputs->count == 0 && !inputs->text))) {
        int code = each_line(inputs, meta, use, context, &err);
        if (code)
            report("%s", err.text);
        return code ? 1 : inputs->status;
    }
    if (inputs->text || inputs->count == 0)
        use_argument(inputs, use, context, inputs->text ? inputs->text : "-");
    for (int i = 0; i < inputs->count; i++)
        use_argument(inputs, use, context, inputs->paths[i]);
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
