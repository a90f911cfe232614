/*
 * embed.c - mega-run embed: prints the vectors that a model makes of texts.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/text_argument.h"
#include "tools/run/text_inputs.h"

static const char help[] =
    "Usage: mega-run embed [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Prints the vectors that a model makes of a text, numbers separated by TABs. A model that "
    "only\n"
    "embeds gives one for each token, or with --pooled one for the text; others give one for the\n"
    "text. Without inputs, lines of standard input are read.\n"
    "\n"
    "  -m, --model FILE       the model (the first one found that only embeds)\n"
    "      --pooled           one vector for each text\n" TEXT_INPUT_HELP SESSION_HELP
    "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 done, 1 a text cannot be read, 2 wrong usage.\n";

typedef struct Embed {
    TextInputs inputs;
    const char *model;
    MegaSessionOptions session;
    bool pooled;
    MegaPipeline *pipeline;
    bool has_states;
} Embed;

/* Writes rows of numbers; JSON has one more level around all rows of a text. */
static void print_rows(Embed *embed, const float *values, size_t rows, size_t width, bool vector)
{
    const bool json = embed->inputs.json;
    if (!json && embed->inputs.before > 0 && !vector)
        putchar('\n');
    fputs(json && !vector ? "[[" : "", stdout);
    for (size_t row = 0; row < rows; row++, values += width) {
        fputs(json ? row ? ",[" : "[" : "", stdout);
        for (size_t i = 0; i < width; i++)
            printf("%s%.9g", i == 0 ? "" : json ? "," : "\t", (double)values[i]);
        fputs(json ? "]" : "\n", stdout);
    }
    fputs(!json ? "" : vector ? "\n" : "]]\n", stdout);
}

static int embed_text(void *context, const MegaRaw *raw, MegaError *err)
{
    Embed *embed = context;
    if (embed->has_states) {
        MegaStates states;
        int code = mega_pipeline_states(embed->pipeline, raw, &states, err);
        if (!code && embed->pooled)
            print_rows(embed, states.pooled, 1, (size_t)states.width, true);
        else if (!code)
            print_rows(embed, states.values, states.rows, (size_t)states.width, false);
        mega_states_free(&states);
        return code;
    }
    MegaEmbedding vector;
    int code = mega_pipeline_embed(embed->pipeline, raw, MEGA_VECTOR_OWN, &vector, err);
    if (!code)
        print_rows(embed, vector.values, 1, (size_t)vector.width, true);
    mega_embedding_free(&vector);
    return code;
}

static int run(Embed *embed)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    const MegaPipelineOptions options = {.session = embed->session};
    char *path = NULL;
    int status = 1;
    int code = open_model(&model, &path,
                          &(ModelWish){.given = embed->model,
                                       .task = MEGA_TASK_EMBED,
                                       .kind = MEGA_CONTENT_TEXT},
                          embed->session.max_memory, &err);
    if (!code)
        code = mega_pipeline_new(&embed->pipeline, model, &options, &err);
    if (code) {
        report("%s", err.text);
    } else {
        embed->has_states = mega_model_task(model) == MEGA_TASK_EMBED;
        status = each_text(&embed->inputs, mega_model_meta(model), embed_text, embed);
    }
    mega_pipeline_free(embed->pipeline);
    mega_model_free(model);
    free(path);
    return finish_results(status);
}

int command_embed(int argc, char **argv)
{
    Embed embed = {.inputs = {0}};
    const CommandOption table[] = {MODEL_OPTION(&embed.model),
                                   {.name = "pooled", .take = take_flag, .out = &embed.pooled},
                                   TEXT_INPUT_OPTIONS(&embed.inputs),
                                   SESSION_OPTIONS(&embed.session),
                                   {0}};
    int status;
    if (!read_command_line(&(CommandSyntax){"embed", help, table}, argc, argv, &embed.inputs.count,
                           &status))
        return status;
    if ((status = check_text_inputs("embed", &embed.inputs)))
        return status;
    embed.inputs.paths = argv + 1;
    return begin_results(&embed.inputs.shard, &status) ? run(&embed) : status;
}
