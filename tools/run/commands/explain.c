/*
 * explain.c - mega-run explain: draws what a model attended to in one input.
 */
#include "tools/run/pictures/explain.h"

#include <errno.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "formats/base/input_stream.h"
#include "formats/text/tokenizer.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/lines.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"

static const char help[] =
    "Usage: mega-run explain [-m MODEL] INPUT -o FILE.svg|FILE.png\n"
    "\n"
    "Draws an input and what a model looked at in it.\n"
    "\n"
    "A classifier: the recording with its spectrogram, the picture or the text; for every layer\n"
    "the attention that each place got, its gate, and how far the EMA reaches; the probabilities.\n"
    "A pair model takes two inputs, or a text with a TAB.\n"
    "A translator: which source symbols each target symbol looked at, and how sure it was.\n"
    "A language model: how surprising each symbol was.\n"
    "A model that tags words, fills masks or answers a question: tags, fillings or answer in the\n"
    "text, with the attention that each place got.\n"
    "\n"
    "For all but a classifier INPUT is the text itself, or a file: its first line for a\n"
    "translator, else all of it. '-' is standard input. Without -m the shipped model for the kind\n"
    "of input is taken; what is neither sound nor picture is translated.\n"
    "\n"
    "  -m, --model FILE        the model\n"
    "  -o, --output FILE       the picture; its suffix says which kind\n"
    "      --json              print what was drawn as a JSON object\n"
    "      --text TEXT         the input is TEXT, even if it looks like a file\n"
    "      --question TEXT     what a model that answers questions looks for in the input\n"
    "      --raw FMT:RATE:CH   input is headerless PCM, such as s16le:16000:1\n"
    "      --partial           accept a recording that is cut short\n"
    "      --ids               input is token ids, used as they are\n"
    "      --no-orient         a picture as it is stored, not turned as its Exif data say\n"
    "      --pre-tokenized     text is tokenised already\n" SESSION_HELP
    "  -h, --help              show this help\n"
    "\n"
    "Exit status: 0 drawn, 1 input or model cannot be used or picture not written, 2 wrong\n"
    "usage.\n";

/* Reads the text that the input stands for. A translator gets only the first line of a file. */
static int read_text(const ExplainOptions *options, const char *input, bool line,
                     const MegaTextRules *rules, MegaBuffer *out, const char **name, MegaError *err)
{
    const ArgumentKind kind = options->text ? ARGUMENTS_ARE_TEXTS : ARGUMENTS_MAY_BE_TEXTS;
    if (!line)
        return read_text_argument(out, input, kind, rules, name, err);
    char *paths[] = {(char *)input};
    LineReader reader;
    int code = line_reader_begin(&reader, paths, 1, rules, err);
    reader.arguments = kind;
    int more = code ? code : line_reader_next(&reader, err);
    if (more > 0)
        mega_put_bytes(out, reader.text, reader.size);
    if (more == 0)
        more = mega_fail(err, MEGA_ERR_INPUT, "%s is empty",
                         reader.name ? reader.name : mega_source_name(input));
    line_reader_end(&reader);
    return more < 0 ? more : out->failed ? mega_fail(err, MEGA_ERR_MEMORY, "no memory") : 0;
}

/* Checks that there is a question if and only if the model answers questions. */
static int check_question(const ExplainOptions *options, const MegaModel *model, MegaError *err)
{
    const bool answers = mega_model_task(model) == MEGA_TASK_ANSWER;
    if (answers && !options->question)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "no question was given: --question TEXT");
    if (!answers && options->question)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "--question is for models that answer questions, but this one %s",
                         mega_task_traits(mega_model_task(model))->does);
    return 0;
}

static int explain_files(const ExplainOptions *options, const MegaModel *model,
                         MegaSession *session, char **paths, int count, MegaError *err)
{
    MegaRaw files[2] = {{0}};
    for (int i = 0; i < count; i++)
        files[i] = (MegaRaw){.kind = MEGA_RAW_PATH, .data = paths[i]};
    return explain_classifier(options, model, session, files, count, err);
}

static int explain_reading(const ExplainOptions *options, const MegaModel *model,
                           const MegaBuffer *text, const char *name, MegaError *err)
{
    const MegaPipelineOptions reading = {.session = options->session,
                                         .ids = options->input.ids,
                                         .pre_tokenized = options->pre_tokenized};
    MegaPipeline *pipeline = NULL;
    int code = mega_pipeline_new(&pipeline, model, &reading, err);
    if (!code)
        code = explain_reader(options, model, pipeline, (const char *)text->data, text->size, name,
                              err);
    mega_pipeline_free(pipeline);
    return code;
}

/* `kind` is that of the first input. */
static int explain(const ExplainOptions *options, const MegaModel *model, MegaContentKind kind,
                   char **inputs, int count, MegaError *err)
{
    const MegaTaskTraits *traits = mega_task_traits(mega_model_task(model));
    const bool classifier = traits->takes_media;
    MegaSession *session = NULL;
    MegaBuffer text = {0};
    const char *name = NULL;
    int code = observe_check(model, err);
    if (code)
        return code;
    if (!classifier && !traits->has_decoder && !traits->labels_positions)
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model %s; there are pictures of classifiers, translators, language "
                         "models, and models that tag words, fill masks or answer questions",
                         traits->does);
    if (options->text && classifier)
        return mega_fail(err, MEGA_ERR_ARGUMENT,
                         "--text is for models that make or mark texts; a classifier takes a file");
    code = check_question(options, model, err);
    if (code)
        return code;
    if (count > (classifier ? mega_model_input_count(model) : 1))
        return mega_fail(err, MEGA_ERR_INPUT, "unexpected argument '%s': one input, one picture",
                         inputs[count - 1]);
    MegaTextRules rules = mega_tokenizer_text_rules(mega_model_meta(model), MEGA_TOKENIZER_SOURCE,
                                                    options->input.ids, "a text");
    if (traits->labels_positions && options->input.ids)
        return mega_fail(
            err, MEGA_ERR_ARGUMENT,
            "--ids is for models that make texts; tags, masks and answers are drawn in "
            "a text");
    if (traits->labels_positions)
        return explain_head(options, model, inputs[0], err);
    if (options->session.max_memory)
        mega_text_limit(&rules, options->session.max_memory);
    if (!classifier)
        code = read_text(options, inputs[0], traits->has_cross, &rules, &text, &name, err);
    if (!code && !traits->has_encoder) {
        code = explain_reading(options, model, &text, name, err);
    } else if (!code) {
        code = mega_session_new(&session, model, &options->session, err);
        if (!code)
            code = classifier
                       ? explain_files(options, model, session, inputs, count, err)
                       : explain_translator(options, model, session, (const char *)text.data,
                                            text.size, err);
    }
    if (code == MEGA_ERR_INPUT && classifier && kind != model_kind(model))
        advise_classifier(kind, err);
    mega_session_free(session);
    mega_buffer_free(&text);
    return code;
}

/* Returns the kind of the first input, which is --text or a path. */
static MegaContentKind kind_of(const ExplainOptions *options, const char *input)
{
    return options->raw.rate ? MEGA_CONTENT_SOUND
           : options->text   ? MEGA_CONTENT_TEXT
                             : content_of_path(input);
}

/* Chooses a classifier for sound and pictures, for which there are shipped models, and the
 * translator for everything else. */
static int choose_model(const ExplainOptions *options, MegaContentKind kind, MegaModel **model,
                        char **path, MegaError *err)
{
    const bool media = kind == MEGA_CONTENT_SOUND || kind == MEGA_CONTENT_PICTURE;
    const ModelWish wish = {.given = options->model,
                            .task = media ? MEGA_TASK_CLASSIFY : MEGA_TASK_TRANSLATE,
                            .kind = media ? kind : MEGA_CONTENT_TEXT};
    return open_model(model, path, &wish, options->session.max_memory, err);
}

static void print_drawn(const ExplainOptions *options, char **inputs, int count)
{
    json_t *list = json_array();
    for (int i = 0; i < count; i++)
        json_array_append_new(list, json_text(inputs[i]));
    print_json_line(json_pack("{s:o,s:o,s:o}", "model", json_text(options->model), "inputs", list,
                              "output", json_text(options->output)));
}

static int run(ExplainOptions *options, char **inputs, int count)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    char *found = NULL;
    if (!options->text)
        tell_of_terminal(inputs[0]);
    const MegaContentKind kind = kind_of(options, inputs[0]);
    int code = choose_model(options, kind, &model, &found, &err);
    options->model = found;
    if (!code)
        code = explain(options, model, kind, inputs, count, &err);
    mega_model_free(model);
    if (code)
        report("%s", err.text);
    else if (options->json)
        print_drawn(options, inputs, count);
    free(found);
    return finish_output(code ? 1 : 0);
}

int command_explain(int argc, char **argv)
{
    ExplainOptions options = {0};
    MegaError err = {0};
    const CommandOption table[] = {
        MODEL_OPTION(&options.model),
        OUTPUT_OPTION(&options.output),
        {.name = "text", .also = "prompt", .take = take_text, .out = &options.text},
        {.name = "question", .take = take_text, .out = &options.question},
        {.name = "raw", .take = take_raw, .out = &options.raw},
        {.name = "partial", .take = take_flag, .out = &options.input.partial},
        {.name = "ids", .take = take_flag, .out = &options.input.ids},
        {.name = "no-orient", .take = take_flag, .out = &options.input.keep_orientation},
        {.name = "pre-tokenized", .take = take_flag, .out = &options.pre_tokenized},
        JSON_OPTION(&options.json),
        SESSION_OPTIONS(&options.session),
        INPUT_OPTIONS,
        {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"explain", help, table}, argc, argv, &inputs, &status))
        return status;
    if (options.text && inputs)
        return usage_error("explain", "--text or an input, not both");
    if (inputs == 0 && !options.text)
        return usage_error("explain", "no input was given");
    if (!options.output)
        return usage_error("explain", "no output was given: -o FILE.svg or -o FILE.png");
    if (canvas_check(options.output, &err))
        return usage_error("explain", "%s", err.text);
    options.input.session = options.session;
    options.input.media = mega_media();
    options.input.raw = options.raw.rate ? &options.raw : NULL;
    char *text[] = {(char *)options.text};
    return options.text ? run(&options, text, 1) : run(&options, argv + 1, inputs);
}
