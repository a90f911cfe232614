/*
 * tag.c - mega-run tag: prints the labels of the tokens or words of texts.
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
    "Usage: mega-run tag [-m MODEL] [FILE | TEXT]...\n"
    "\n"
    "Prints the labels that a model gives the tokens of a text, such as names of persons and\n"
    "places: token or group, label and score, separated by TABs. What is labelled O is left out.\n"
    "Without inputs, lines of standard input are read.\n"
    "\n"
    "  -m, --model FILE       the model (the first one found that tags words)\n"
    "      --group HOW        join neighbours of one label: simple, or as whole words that have\n"
    "                         the label of their first token (first), of the mean of their\n"
    "                         tokens' scores (average), or of the surest token (max)\n"
    "      --all              print what is labelled O, too\n"
    "      --bytes            places in JSON count bytes, not characters\n" TEXT_INPUT_HELP
        SESSION_HELP "  -h, --help             show this help\n"
    "\n"
    "Exit status: 0 all texts were tagged, 1 one was not, 2 wrong usage.\n";

typedef struct Tag {
    TextInputs inputs;
    const char *model;
    MegaSessionOptions session;
    MegaTagOptions tag;
    bool bytes;
    TextModel text_model;
} Tag;

static int take_grouping(const CommandOption *option, const char *value, MegaError *err)
{
    static const char *const names[] = {"none", "simple", "first", "average", "max"};
    for (int i = 0; i < 5; i++)
        if (strcmp(names[i], value) == 0) {
            *(MegaGrouping *)option->out = (MegaGrouping)i;
            return 0;
        }
    return refuse_value(option, value, err, "none, simple, first, average or max");
}

static void print_line(const Tag *tag, const MegaTag *item, const MegaCharacters *text)
{
    const size_t start = mega_characters_byte(text, item->start);
    const size_t end = mega_characters_byte(text, item->end);
    if (tag->tag.grouping == MEGA_GROUP_NONE)
        put_line(item->word.data, item->word.size);
    else
        put_line(text->text + start, end - start);
    printf("\t%s\t%.6f\n", item->name, (double)item->score);
}

static int tag_text(void *context, const MegaRaw *raw, MegaError *err)
{
    const Tag *tag = context;
    MegaTags tags;
    int code = mega_pipeline_tag(tag->text_model.pipeline, raw, &tag->tag, &tags, err);
    if (code)
        return code;
    if (tag->inputs.json)
        print_json_line(tags_json(&tags, &tag->tag, raw, tag->bytes));
    else if (tag->inputs.before > 0)
        putchar('\n');
    MegaCharacters characters = mega_characters_of(raw->data, raw->size);
    for (size_t i = 0; !tag->inputs.json && i < tags.count; i++)
        print_line(tag, &tags.items[i], &characters);
    mega_characters_free(&characters);
    mega_tags_free(&tags);
    return 0;
}

int command_tag(int argc, char **argv)
{
    Tag tag = {.inputs = {0}};
    const CommandOption table[] = {MODEL_OPTION(&tag.model),
                                   {.name = "group",
                                    .also = "aggregation-strategy",
                                    .take = take_grouping,
                                    .out = &tag.tag.grouping},
                                   {.name = "all", .take = take_flag, .out = &tag.tag.keep_outside},
                                   {.name = "bytes", .take = take_flag, .out = &tag.bytes},
                                   TEXT_INPUT_OPTIONS(&tag.inputs),
                                   SESSION_OPTIONS(&tag.session),
                                   {0}};
    MegaError err = {0};
    int status;
    if (!read_command_line(&(CommandSyntax){"tag", help, table}, argc, argv, &tag.inputs.count,
                           &status))
        return status;
    if ((status = check_text_inputs("tag", &tag.inputs)))
        return status;
    tag.inputs.paths = argv + 1;
    if (!begin_results(&tag.inputs.shard, &status))
        return status;
    status = 1;
    if (text_model_open(&tag.text_model, tag.model, MEGA_TASK_TAG, "to tag words", &tag.session,
                        &err))
        report("%s", err.text);
    else
        status = each_text(&tag.inputs, mega_model_meta(tag.text_model.model), tag_text, &tag);
    text_model_close(&tag.text_model);
    return finish_results(status);
}
