/*
 * choose.c - mega-run choose: chooses the text that goes best with another one.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/run/options.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

static const char help[] =
    "Usage: mega-run choose -m MODEL PROMPT CHOICE CHOICE...\n"
    "\n"
    "Prints the choice that goes best with the prompt. Each is a text or the name of a file.\n"
    "\n"
    "  -m, --model FILE       the model\n"
    "      --json             all choices as JSON, the best first\n" SESSION_HELP
    "  -v, --verbose          print all choices with their scores, the best first\n"
    "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 done, 1 a text cannot be read, 2 wrong usage.\n";

typedef struct Choice {
    MegaBuffer text;
    float score;
    int index;
} Choice;

typedef struct Choose {
    const char *model;
    MegaSessionOptions session;
    bool json, verbose;
} Choose;

static int by_score(const void *a, const void *b)
{
    const Choice *x = a, *y = b;
    if (x->score != y->score)
        return x->score < y->score ? 1 : -1;
    return x->index - y->index;
}

static void print_choices(const Choose *choose, const Choice *choices, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++) {
        const char *text = choices[i].text.size ? (const char *)choices[i].text.data : "";
        if (choose->json) {
            json_array_append_new(list, json_pack("{s:i,s:f,s:o}", "index", choices[i].index,
                                                  "score", (double)choices[i].score, "choice",
                                                  json_stringn(text, choices[i].text.size)));
        } else if (choose->verbose || i == 0) {
            if (choose->verbose)
                printf("%.6f\t", (double)choices[i].score);
            put_line(text, choices[i].text.size);
            putchar('\n');
        }
    }
    if (choose->json)
        print_json_line(list);
    else
        json_decref(list);
}

static MegaRaw raw_of(const MegaBuffer *text, const char *name)
{
    return (MegaRaw){.kind = MEGA_RAW_TEXT,
                     .data = text->size ? (const char *)text->data : "",
                     .size = text->size,
                     .name = name};
}

static int run_choices(const Choose *choose, MegaPipeline *pipeline, char **arguments, int count,
                       MegaError *err)
{
    MegaBuffer prompt = {0};
    Choice *choices = calloc((size_t)count, sizeof *choices);
    MegaRaw *raws = calloc((size_t)count, sizeof *raws);
    float *scores = calloc((size_t)count, sizeof *scores);
    int code = choices && raws && scores ? read_text(&prompt, arguments[0], false, err)
                                         : mega_fail(err, MEGA_ERR_MEMORY, "no memory for texts");
    for (int i = 0; i < count && !code; i++) {
        code = read_text(&choices[i].text, arguments[i + 1], !*arguments[i + 1], err);
        raws[i] = raw_of(&choices[i].text, "the choice");
        choices[i].index = i;
    }
    const MegaRaw first = raw_of(&prompt, "the prompt");
    if (!code)
        code = mega_pipeline_choose(pipeline, &first, raws, count, scores, err);
    for (int i = 0; i < count && !code; i++)
        choices[i].score = scores[i];
    if (!code) {
        qsort(choices, (size_t)count, sizeof *choices, by_score);
        print_choices(choose, choices, count);
    }
    for (int i = 0; choices && i < count; i++)
        mega_buffer_free(&choices[i].text);
    mega_buffer_free(&prompt);
    free(choices);
    free(raws);
    free(scores);
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
        code = run_choices(&choose, model.pipeline, argv + 1, inputs - 1, &err);
    if (code)
        report("%s", err.text);
    text_model_close(&model);
    return finish_output(code ? 1 : 0);
}
