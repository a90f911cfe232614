/*
 * text_inputs.h - goes through the texts that a command of a model with a head for text gets: texts
 * in quotes, whole files, lines of files or of standard input, or a column of a table.
 */
#ifndef MEGA_TEXT_INPUTS_H
#define MEGA_TEXT_INPUTS_H

#include "formats/base/bytes.h"
#include "formats/mega/meta.h"
#include "tools/run/command_line.h"
#include "tools/run/results_file.h"

typedef struct TextInputs {
    const char *text;   /* --text: the only input */
    const char *column; /* --column: that column of tables, whose first row has names */
    bool lines;         /* --lines: each line, or each row of a table, is an input */
    bool json;
    bool quiet;      /* no message about inputs that fail */
    bool files_only; /* paths are not texts */
    char **paths;    /* [count] files or texts; without any, the lines of standard input */
    int count;
    Shard shard;
    /* Where the text is that `use` gets. */
    size_t line;   /* of its file, or 0 */
    size_t before; /* how many texts came before, in all shards */
    int status;    /* 1 once an input failed */
} TextInputs;

/* Uses one text. `raw` has its name. */
typedef int (*UseText)(void *context, const MegaRaw *raw, MegaError *err);

/* Reports options that exclude each other. Returns the exit status for them, or 0 if all is
 * well. */
int check_text_inputs(const char *command, const TextInputs *inputs);
/* Calls `use` for every text of the shard, which is for a model with this metadata. One that fails
 * is reported, and the others follow. Returns the exit status, for finish_results. */
int each_text(TextInputs *inputs, const MegaMeta *meta, UseText use, void *context);

/* Opens the pipeline of a model of a task; the error for another model says what it does and which
 * command is for it. */
typedef struct TextModel {
    MegaModel *model;
    MegaPipeline *pipeline;
    char *path;
} TextModel;

int text_model_open(TextModel *out, const char *given, MegaTask task, const char *purpose,
                    const MegaSessionOptions *session, MegaError *err);
void text_model_close(TextModel *model);

/* Prints a text on one line: line breaks and TABs become blanks. */
void put_line(const char *text, size_t size);

#define TEXT_INPUT_OPTIONS(inputs)                                                                 \
    {.name = "text", .take = take_text, .out = &(inputs)->text},                                   \
        {.name = "lines", .take = take_flag, .out = &(inputs)->lines},                             \
        {.name = "column", .take = take_text, .out = &(inputs)->column},                           \
        JSON_OPTION(&(inputs)->json), SHARD_OPTIONS(&(inputs)->shard), INPUT_OPTIONS
#define TEXT_INPUT_HELP                                                                            \
    "      --text TEXT        TEXT is the input, even if it looks like a file\n"                   \
    "      --lines            each line of the files is an input\n"                                \
    "      --column NAME      that column of CSV or TSV files, whose first row has names\n"        \
    "      --json             one line of JSON for each input\n" SHARD_HELP

#endif
