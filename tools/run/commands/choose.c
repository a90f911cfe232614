/*
 * choose.c - mega-run choose: chooses the text that goes best with another one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "src/model/model.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

static const char help[] =
    "Usage: mega-run choose [-m MODEL] PROMPT CHOICE CHOICE...\n"
    "\n"
    "Prints the choice that goes best with the prompt. Each is a text or the name of a file.\n"
    "\n"
    "  -m, --model FILE       the model (the first one found that chooses)\n"
    "      --json             all choices as JSON, the best first\n" SESSION_HELP
    "  -v, --verbose          print all choices with their scores, the best first\n"
    "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 done, 1 a text cannot be read, 2 wrong usage.\n";

typedef struct Choose {
    const char *model;
    MegaSessionOptions session;
    bool json, verbose;
} Choose;

static void print_choices(const Choose *choose, const MegaRaw *choices, const float *scores,
                          const int *order, int count)
{
    if (choose->json) {
        print_json_line(choices_json(choices, scores, order, count));
        return;
    }
    for (int i = 0; i < (choose->verbose ? count : 1); i++) {
        const MegaRaw *choice = &choices[order[i]];
        if (choose->verbose)
            printf("%.6f\t", (double)scores[order[i]]);
        put_line(choice->data, choice->size);
        putchar('\n');
    }
}

static MegaRaw raw_of(const MegaBuffer *text, const char *name)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT,
                     .data = text->size ? (const char *)text->data : "",
                     .size = text->size,
                     .name = name};
}

static int run_choices(const Choose *choose, MegaPipeline *pipeline, const MegaMeta *meta,
                       char **arguments, int count, MegaError *err)
{
    const MegaTextRules rules =
        mega_tokenizer_text_rules(meta, MEGA_TOKENIZER_TARGET, false, "a text");
    const char *name;
    MegaBuffer prompt = {0};
    MegaBuffer *texts = calloc((size_t)count, sizeof *texts);
    MegaRaw *choices = calloc((size_t)count, sizeof *choices);
    float *scores = calloc((size_t)count, sizeof *scores);
    int *order = calloc((size_t)count, sizeof *order);
    int code = texts && choices && scores && order
                   ? read_text_argument(&prompt, arguments[0], ARGUMENTS_MAY_BE_TEXTS, &rules,
                                        &name, err)
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for texts");
    for (int i = 0; i < count && !code; i++) {
        code = read_text_argument(&texts[i], arguments[i + 1],
                                  *arguments[i + 1] ? ARGUMENTS_MAY_BE_TEXTS : ARGUMENTS_ARE_TEXTS,
                                  &rules, &name, err);
        choices[i] = raw_of(&texts[i], "the choice");
    }
    const MegaRaw first = raw_of(&prompt, "the prompt");
    if (!code)
        code = mega_pipeline_choose(pipeline, &first, choices, count, scores, err);
    if (!code) {
        rank_choices(scores, count, order);
        print_choices(choose, choices, scores, order, count);
    }
    for (int i = 0; texts && i < count; i++)
        mega_buffer_free(&texts[i]);
    mega_buffer_free(&prompt);
    free(texts);
    free(choices);
    free(scores);
    free(order);
    return code;
}

int command_choose(int argc, char **argv)
{
    Choose choose = {0};
    const CommandOption table[] = {MODEL_OPTION(&choose.model),
                                   JSON_OPTION(&choose.json),
                                   SESSION_OPTIONS(&choose.session),
                                   VERBOSE_OPTION(&choose.verbose),
                                   {0}};
    MegaError err = {0};
    TextModel model = {0};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"choose", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs < 2)
        return usage_error("choose", "a prompt and its choices are needed");
    int code = text_model_open(&model, choose.model, MEGA_TASK_CHOOSE, "to choose between texts",
                               &choose.session, &err);
    if (!code)
        code = run_choices(&choose, model.pipeline, mega_model_meta(model.model), argv + 1,
                           inputs - 1, &err);
    if (code)
        report("%s", err.text);
    text_model_close(&model);
    return finish_output(code ? 1 : 0);
}
