/*
 * answer.c - mega-run answer: finds the answer to a question in texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/characters.h"
#include "src/model/model.h"
#include "tools/run/options.h"
#include "tools/run/results.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

static const char help[] =
    "Usage: mega-run answer [-m MODEL] --question TEXT [FILE | TEXT]...\n"
    "\n"
    "Prints the part of a text that answers a question about it. A long text is read in windows\n"
    "that overlap. Without inputs, lines of standard input are read.\n"
    "\n"
    "  -m, --model FILE       the model (the first one found that answers questions)\n"
    "      --question TEXT    the question\n"
    "      --top N            how many answers, one a line (1)\n"
    "      --max-answer N     tokens of an answer at most (15)\n"
    "      --window N         tokens of a window, with the question (384, or what the model "
    "takes)\n"
    "      --stride N         tokens that two windows have in common (128, or half a window)\n"
    "      --allow-none       an empty line if no answer is likelier\n"
    "      --no-align         an answer may begin and end within words\n"
    "      --bytes            places count bytes, not characters\n" TEXT_INPUT_HELP SESSION_HELP
    "  -v, --verbose          print score and place of an answer before it\n"
    "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 done, 1 a text cannot be read, 2 wrong usage.\n";

typedef struct Answer {
    TextInputs inputs;
    const char *model, *question;
    MegaSessionOptions session;
    MegaAnswerOptions answer;
    int window, stride;
    bool bytes, no_align, verbose;
    TextModel text_model;
} Answer;

static void print_line(const Answer *answer, const MegaAnswer *item, const MegaCharacters *text)
{
    if (answer->verbose)
        printf("%.6f\t%zu\t%zu\t", (double)item->score,
               answer->bytes ? mega_characters_byte(text, item->start) : item->start,
               answer->bytes ? mega_characters_byte(text, item->end) : item->end);
    put_line(item->text.data, item->text.size);
    putchar('\n');
}

static int answer_text(void *context, const MegaRaw *raw, MegaError *err)
{
    const Answer *answer = context;
    const MegaRaw question = {.kind = MEGA_RAW_TEXT,
                              .data = answer->question,
                              .size = strlen(answer->question),
                              .name = "the question"};
    MegaAnswers answers;
    int code = mega_pipeline_answer(answer->text_model.pipeline, &question, raw, &answer->answer,
                                    &answers, err);
    if (code)
        return code;
    if (answer->inputs.json)
        print_json_line(answers_json(&answers, answer->answer.top, raw, answer->bytes));
    MegaCharacters characters = mega_characters_of(raw->data, raw->size);
    for (size_t i = 0; !answer->inputs.json && i < answers.count; i++)
        print_line(answer, &answers.items[i], &characters);
    mega_characters_free(&characters);
    mega_answers_free(&answers);
    return 0;
}

int command_answer(int argc, char **argv)
{
    Answer answer = {.answer = mega_answer_defaults()};
    const CommandOption table[] = {
        MODEL_OPTION(&answer.model),
        {.name = "question", .take = take_text, .out = &answer.question},
        {.name = "top",
         .also = "top-k",
         .take = take_int,
         .out = &answer.answer.top,
         .least = 1,
         .most = 1 << 20},
        {.name = "max-answer",
         .also = "max-answer-len",
         .take = take_int,
         .out = &answer.answer.max_answer,
         .least = 1,
         .most = 1 << 20},
        {.name = "window",
         .also = "max-seq-len",
         .take = take_int,
         .out = &answer.window,
         .least = 1,
         .most = 1 << 24},
        {.name = "stride",
         .also = "doc-stride",
         .take = take_int,
         .out = &answer.stride,
         .least = 1,
         .most = 1 << 24},
        {.name = "allow-none", .take = take_flag, .out = &answer.answer.allow_none},
        {.name = "no-align", .take = take_flag, .out = &answer.no_align},
        {.name = "bytes", .take = take_flag, .out = &answer.bytes},
        TEXT_INPUT_OPTIONS(&answer.inputs),
        SESSION_OPTIONS(&answer.session),
        VERBOSE_OPTION(&answer.verbose),
        {0}};
    MegaError err = {0};
    int status;
    if (!read_command_line(&(CommandSyntax){"answer", help, table}, argc, argv,
                           &answer.inputs.count, &status))
        return status;
    if (!answer.question)
        return usage_error("answer", "no question was given: --question TEXT");
    if ((status = check_text_inputs("answer", &answer.inputs)))
        return status;
    answer.answer.window = (size_t)answer.window;
    answer.answer.stride = (size_t)answer.stride;
    answer.answer.align = !answer.no_align;
    answer.inputs.paths = argv + 1;
    if (!begin_results(&answer.inputs.shard, &status))
        return status;
    status = 1;
    if (text_model_open(&answer.text_model, answer.model, MEGA_TASK_ANSWER, "to answer questions",
                        &answer.session, &err))
        report("%s", err.text);
    else
        status = each_text(&answer.inputs, mega_model_meta(answer.text_model.model), answer_text,
                           &answer);
    text_model_close(&answer.text_model);
    return finish_results(status);
}
