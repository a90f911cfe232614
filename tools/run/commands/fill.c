/*
 * fill.c - mega-run fill: prints the likeliest tokens for the masks of texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

static const char help[] =
    "Usage: mega-run fill [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Prints what a masked language model puts in place of the masks of a text, such as\n"
    "\"Paris is the <mask> of France.\": probability, token and text, separated by TABs, the best\n"
    "first. Several masks have a block each. Without inputs, lines of standard input are read.\n"
    "\n"
    "  -m, --model FILE       the model (the first one found that fills masks)\n"
    "      --top N            how many tokens (5)\n"
    "      --targets LIST     only these tokens, separated by commas; blanks count: \" king, "
    "city\"\n" TEXT_INPUT_HELP SESSION_HELP "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 all texts were filled, 1 one was not, 2 wrong usage.\n";

#define MAX_TARGETS 4096

typedef struct Fill {
    TextInputs inputs;
    const char *model, *list;
    MegaSessionOptions session;
    MegaFillOptions fill;
    const char *targets[MAX_TARGETS];
    TextModel text_model;
} Fill;

/* Divides the list in place at commas. */
static bool split_targets(Fill *fill, char *list)
{
    while (list) {
        char *comma = strchr(list, ',');
        if (fill->fill.target_count == MAX_TARGETS)
            return false;
        if (comma)
            *comma = '\0';
        if (*list)
            fill->targets[fill->fill.target_count++] = list;
        list = comma ? comma + 1 : NULL;
    }
    fill->fill.targets = fill->targets;
    return fill->fill.target_count > 0;
}

static void print_lines(const MegaFillings *fillings)
{
    for (int m = 0; m < fillings->masks; m++) {
        if (m)
            putchar('\n');
        for (int i = 0; i < fillings->count; i++) {
            const MegaFilling *item = &fillings->items[m * fillings->count + i];
            printf("%.6f\t", (double)item->score);
            put_line(item->text.data, item->text.size);
            putchar('\t');
            put_line(item->sequence.data, item->sequence.size);
            putchar('\n');
        }
    }
}

static int fill_text(void *context, const MegaRaw *raw, MegaError *err)
{
    const Fill *fill = context;
    MegaFillings fillings;
    int code = mega_pipeline_fill(fill->text_model.pipeline, raw, &fill->fill, &fillings, err);
    if (!code && fill->inputs.json)
        print_json_line(fillings_json(&fillings));
    else if (!code)
        print_lines(&fillings);
    mega_fillings_free(&fillings);
    return code;
}

static int run(Fill *fill)
{
    MegaError err = {0};
    int status = 1;
    if (text_model_open(&fill->text_model, fill->model, MEGA_TASK_FILL, "to fill masks",
                        &fill->session, &err))
        report("%s", err.text);
    else
        status = each_text(&fill->inputs, mega_model_meta(fill->text_model.model), fill_text, fill);
    text_model_close(&fill->text_model);
    return finish_results(status);
}

int command_fill(int argc, char **argv)
{
    Fill fill = {.fill.top = 5};
    const CommandOption table[] = {MODEL_OPTION(&fill.model),
                                   {.name = "top",
                                    .also = "top-k",
                                    .take = take_int,
                                    .out = &fill.fill.top,
                                    .least = 1,
                                    .most = 1 << 20},
                                   {.name = "targets", .take = take_text, .out = &fill.list},
                                   TEXT_INPUT_OPTIONS(&fill.inputs),
                                   SESSION_OPTIONS(&fill.session),
                                   {0}};
    int status;
    if (!read_command_line(&(CommandSyntax){"fill", help, table}, argc, argv, &fill.inputs.count,
                           &status))
        return status;
    if ((status = check_text_inputs("fill", &fill.inputs)))
        return status;
    char *list = fill.list ? strdup(fill.list) : NULL;
    if (fill.list && (!list || !split_targets(&fill, list))) {
        free(list);
        return usage_error("fill", "--targets takes 1 to %d tokens, separated by commas",
                           MAX_TARGETS);
    }
    fill.inputs.paths = argv + 1;
    if (begin_results(&fill.inputs.shard, &status))
        status = run(&fill);
    free(list);
    return status;
}
