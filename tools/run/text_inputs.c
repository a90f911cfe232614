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
    const bool named = strncmp(err->text, name, size) == 0;
    const bool is_predicate = named && err->text[size] == ' ';
    MegaError reason = {0};
    mega_fail(&reason, err->code, "%s",
              err->text + (line && named && err->text[size] == ':' ? size + 2 : 0));
    inputs->status = 1;
    if (line && is_predicate && !inputs->quiet)
        report("%s, line %zu%s", name, line, reason.text + size);
    else if (line && !inputs->quiet)
        report("%s, line %zu: %s", name, line, reason.text);
    else if (!inputs->quiet)
        report("%s", reason.text);
    if (inputs->json)
        print_json_failure(name, line, &reason);
}

/* A row of a table. */
typedef struct Row {
    MegaBuffer text;
    const char *name;
    size_t line;
    MegaError err; /* why it has no text, or code 0 */
} Row;

typedef struct Rows {
    Row *data;
    size_t count, capacity;
    bool failed; /* there was no memory for a row */
} Rows;

/* Receives each text: passes it to the command, or collects it for a shard. */
typedef struct TextSink {
    TextInputs *inputs;
    UseText use;
    void *context;
    Rows *rows; /* collects the texts; NULL: the command gets them */
} TextSink;

static void keep_row(Rows *rows, const Row *row)
{
    if (rows->count == rows->capacity) {
        const size_t grown = rows->capacity ? 2 * rows->capacity : 256;
        Row *moved = realloc(rows->data, grown * sizeof *moved);
        rows->failed |= !moved;
        if (!moved)
            return;
        rows->data = moved;
        rows->capacity = grown;
    }
    Row *kept = &rows->data[rows->count++];
    *kept = *row;
    kept->text = (MegaBuffer){0};
    mega_put_bytes(&kept->text, row->text.data, row->text.size);
    rows->failed |= kept->text.failed;
}

static void take_row(const TextSink *sink, const Row *row)
{
    TextInputs *inputs = sink->inputs;
    MegaError err = row->err;
    const MegaRaw raw = {.kind = MEGA_RAW_TEXT,
                         .data = row->text.size ? (const char *)row->text.data : "",
                         .size = row->text.size,
                         .name = row->name};
    if (sink->rows) {
        keep_row(sink->rows, row);
        return;
    }
    inputs->line = row->line;
    if (err.code || sink->use(sink->context, &raw, &err))
        report_failure(inputs, row->name, row->line, &err);
    fflush(stdout);
    inputs->before++;
}

static ArgumentKind kind_of_arguments(const TextInputs *inputs)
{
    return inputs->text         ? ARGUMENTS_ARE_TEXTS
           : inputs->files_only ? ARGUMENTS_ARE_FILES
                                : ARGUMENTS_MAY_BE_TEXTS;
}

/* ---- Lines ---------------------------------------------------------------------------------- */

/* On the same terminal, a progress bar would overwrite the results. */
static bool has_bar(uint64_t total)
{
    return total > 1 && !isatty(STDOUT_FILENO);
}

static int each_line(const TextSink *sink, const MegaMeta *meta, MegaError *err)
{
    TextInputs *inputs = sink->inputs;
    const MegaTextRules rules =
        mega_tokenizer_text_rules(meta, MEGA_TOKENIZER_TARGET, false, "lines of text");
    LineReader lines;
    Progress progress;
    int code = line_reader_begin(&lines, inputs->paths, inputs->count, &rules, err), more = 0;
    lines.arguments = kind_of_arguments(inputs);
    if (!code && inputs->count == 0)
        tell_of_terminal("-");
    if (!code)
        code = line_reader_shard(&lines, &inputs->shard, err);
    const size_t total = code ? 0 : line_reader_total(&lines);
    progress_begin(&progress, total, "lines", !has_bar(total));
    for (size_t done = 0; !code && !ferror(stdout); progress_update(&progress, ++done)) {
        more = line_reader_next(&lines, err);
        if (more <= 0)
            break;
        inputs->before = lines.taken - 1;
        take_row(sink, &(Row){.text = {.data = (uint8_t *)lines.text, .size = lines.size},
                              .name = lines.name,
                              .line = lines.number});
    }
    progress_end(&progress);
    line_reader_end(&lines);
    return code ? code : more < 0 ? more : 0;
}

/* ---- Tables --------------------------------------------------------------------------------- */

/* Reads a table field by field. Fields of a CSV file may stand in quotes, in which a quote is
 * doubled; those of a TSV file are as they stand. Rows end in LF, CR LF or CR. */
typedef struct Table {
    const char *at, *end;
    char separator;
    MegaBuffer field;
    bool ends_row; /* the field was the last one of its row */
    bool is_open;  /* the table ended within its quotes */
    size_t line;   /* the line on which it ends */
} Table;

/* Returns whether a line ends with this character; the end of CR LF is the LF. */
static bool ends_line(const Table *table, const char *at)
{
    return *at == '\n' || (*at == '\r' && (at + 1 == table->end || at[1] != '\n'));
}

static void next_field(Table *table)
{
    bool quoted = table->separator == ',' && table->at < table->end && *table->at == '"';
    table->field.size = 0;
    table->at += quoted;
    for (; table->at < table->end; table->at++) {
        const char c = *table->at;
        table->line += ends_line(table, table->at);
        if (quoted && c == '"') {
            if (table->at + 1 == table->end || table->at[1] != '"') {
                quoted = false;
                continue;
            }
            table->at++;
        } else if (!quoted && (c == table->separator || c == '\n' || c == '\r')) {
            break;
        }
        mega_put_u8(&table->field, (uint8_t)c);
    }
    table->is_open = quoted;
    table->ends_row = table->at == table->end || *table->at != table->separator;
    if (table->at < table->end && !ends_line(table, table->at) && *table->at == '\r')
        table->line += ends_line(table, ++table->at);
    table->at += table->at < table->end;
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

/* Reads one row. A row without anything in it is an empty line, as in other readers of such
 * files. */
static void read_row(const TextSink *sink, Table *table, size_t column, const char *path)
{
    Row row = {.name = mega_source_name(path), .line = table->line + 1};
    const char *flaw = NULL;
    const bool is_empty = *table->at == '\n' || *table->at == '\r';
    bool has = false, is_open = false;
    for (size_t i = 0; i == 0 || !table->ends_row; i++) {
        next_field(table);
        is_open = table->is_open;
        if (i != column)
            continue;
        has = true;
        mega_put_bytes(&row.text, table->field.data, table->field.size);
    }
    if (is_open)
        flaw = "the quotes of a field that begins here are never closed";
    else if (!has)
        flaw = "the row has no such column";
    else if (row.text.failed)
        flaw = "no memory for a text";
    if (flaw)
        mega_fail(&row.err, MEGA_ERR_INPUT, "%s", flaw);
    if (!is_empty)
        take_row(sink, &row);
    mega_buffer_free(&row.text);
}

static int read_table(const TextSink *sink, const char *path, MegaError *err)
{
    const MegaTextRules rules = {.what = "a table", .bytes = MEGA_TEXT_BINARY};
    MegaBuffer bytes = {0};
    Progress progress;
    size_t column = 0;
    tell_of_terminal(path);
    int code = mega_source_read(&bytes, path, "a table", MEGA_TEXT_MAX_SIZE, err);
    const char *text = bytes.size ? (const char *)bytes.data : "";
    Table table = {.at = text, .end = text + bytes.size, .separator = ','};
    for (const char *c = text; c < table.end && *c != '\n' && *c != '\r'; c++)
        if (*c == '\t')
            table.separator = '\t';
    if (!code && bytes.size)
        code = mega_text_check_head(text, bytes.size, mega_source_name(path), &rules, err);
    if (bytes.size >= 3 && memcmp(text, "\xef\xbb\xbf", 3) == 0)
        table.at += 3;
    if (!code)
        code = find_column(&table, sink->inputs->column, path, &column, err);
    progress_begin(&progress, bytes.size, "bytes", !has_bar(bytes.size));
    while (!code && table.at < table.end && !ferror(stdout)) {
        read_row(sink, &table, column, path);
        progress_update(&progress, (uint64_t)(table.at - text));
    }
    progress_end(&progress);
    mega_buffer_free(&table.field);
    mega_buffer_free(&bytes);
    return code;
}

static void each_table(const TextSink *sink, char **paths, int count)
{
    for (int i = 0; i < count; i++) {
        Row row = {.name = paths[i]};
        if (read_table(sink, paths[i], &row.err))
            take_row(sink, &row);
    }
}

/* Only all rows together tell which ones are a shard's, so they are read first. */
static int each_table_of_shard(const TextSink *sink, char **paths, int count, MegaError *err)
{
    Rows rows = {0};
    size_t first, end;
    const TextSink list = {.inputs = sink->inputs, .rows = &rows};
    each_table(&list, paths, count);
    shard_range(&sink->inputs->shard, rows.count, &first, &end);
    sink->inputs->before = first;
    for (size_t i = first; i < end && !rows.failed; i++)
        take_row(sink, &rows.data[i]);
    for (size_t i = 0; i < rows.count; i++)
        mega_buffer_free(&rows.data[i].text);
    free(rows.data);
    return rows.failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory for the rows of tables") : 0;
}

/* ---- Files ---------------------------------------------------------------------------------- */

static void each_file(const TextSink *sink, const MegaMeta *meta, char **paths, int count)
{
    TextInputs *inputs = sink->inputs;
    const MegaTextRules rules =
        mega_tokenizer_text_rules(meta, MEGA_TOKENIZER_TARGET, false, "a text");
    size_t first = 0, end = (size_t)count;
    if (inputs->shard.count)
        shard_range(&inputs->shard, end, &first, &end);
    inputs->before = first;
    for (size_t i = first; i < end; i++) {
        Row row = {.name = paths[i]};
        const char *name = NULL;
        if (read_text_argument(&row.text, paths[i], kind_of_arguments(inputs), &rules, &name,
                               &row.err) == 0)
            row.name = name ? name : "the text";
        take_row(sink, &row);
        mega_buffer_free(&row.text);
    }
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

int each_text(TextInputs *inputs, const MegaMeta *meta, UseText use, void *context)
{
    char *standard_input[] = {(char *)"-"};
    char *given[] = {(char *)inputs->text};
    const TextSink sink = {.inputs = inputs, .use = use, .context = context};
    char **paths = inputs->text ? given : inputs->count ? inputs->paths : standard_input;
    const int count = inputs->text || !inputs->count ? 1 : inputs->count;
    MegaError err = {0};
    int code = 0;
    if (inputs->column && inputs->shard.count)
        code = each_table_of_shard(&sink, paths, count, &err);
    else if (inputs->column)
        each_table(&sink, paths, count);
    else if (inputs->lines || (inputs->count == 0 && !inputs->text))
        code = each_line(&sink, meta, &err);
    else
        each_file(&sink, meta, paths, count);
    if (code)
        report("%s", err.text);
    else
        all_results_are_there();
    return code ? 1 : inputs->status;
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

void put_line(const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++)
        putchar(text[i] == '\n' || text[i] == '\r' || text[i] == '\t' ? ' ' : text[i]);
}
