/*
 * info.c - mega-run info: says in words what a model is for, what it takes, and what it cannot do.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"

static const char help[] =
    "Usage: mega-run info MODEL...\n"
    "\n"
    "Says what a model is for: its class, the command for it, labels, special tokens, the longest\n"
    "input, its chunk, and what it cannot do. 'mega-run inspect' shows everything that the file\n"
    "holds.\n"
    "\n"
    "      --json         one JSON object for each model\n"
    "  -h, --help         show this help\n"
    "\n"
    "Exit status: 0 done, 1 a model cannot be opened, 2 wrong usage.\n";

static const char *const specials[] = {"cls", "sep", "bos", "eos", "unk", "pad", "mask"};
#define SPECIALS (sizeof specials / sizeof specials[0])

typedef struct Facts {
    const MegaModel *model;
    const MegaMeta *meta;
    const MegaStackConfig *stack;
    MegaReach reach;
    json_t *labels, *tokens, *cannot;
} Facts;

static const char *text_of(const MegaMeta *meta, const char *key)
{
    const MegaMetaValue *value = mega_meta_find(meta, key);
    return value && value->type == MEGA_META_STRING ? value->string : "";
}

/* Returns the text of a special token, or NULL if the model has none of that name. */
static const char *special_of(const MegaMeta *meta, const char *name)
{
    const MegaMetaValue *symbols = mega_meta_find(meta, "vocab.symbols");
    char key[32];
    snprintf(key, sizeof key, "special.%s", name);
    const MegaMetaValue *id = mega_meta_find(meta, key);
    if (!id || id->type != MEGA_META_INT || !symbols || symbols->type != MEGA_META_STRINGS ||
        id->integer < 0 || (uint64_t)id->integer >= symbols->count)
        return NULL;
    return symbols->strings[id->integer];
}

static void add_cannot(const Facts *facts, const char *sentence)
{
    json_array_append_new(facts->cannot, json_string(sentence));
}

static void list_cannot(const Facts *facts)
{
    const MegaTask task = mega_model_task(facts->model);
    const bool takes_text = model_kind(facts->model) == MEGA_CONTENT_TEXT;
    const bool has_vocab = mega_meta_find(facts->meta, "vocab.symbols") ||
                           mega_meta_find(facts->meta, "vocab.source");
    if (takes_text && !has_vocab)
        add_cannot(facts, "no tokenizer: it takes token ids only");
    if (task == MEGA_TASK_FILL && has_vocab && !special_of(facts->meta, "mask"))
        add_cannot(facts, "no mask token: fill is not possible");
    if (task == MEGA_TASK_FILL && strcmp(text_of(facts->meta, "general.architecture"),
                                         "MegaForCausalLM") == 0)
        add_cannot(facts, "every position sees those after it: generate is not possible");
    if ((task == MEGA_TASK_CLASSIFY || task == MEGA_TASK_TAG) && !mega_model_label(facts->model, 0))
        add_cannot(facts, "no labels: classes are numbers");
    if ((task == MEGA_TASK_ANSWER || task == MEGA_TASK_CHOOSE) && has_vocab &&
        !mega_meta_find(facts->meta, "text.pair"))
        add_cannot(facts, "no template for two texts: answers and choices are not possible");
}

static int collect(Facts *facts, const MegaModel *model, MegaError *err)
{
    const MegaConfig *config = mega_model_config(model);
    *facts = (Facts){.model = model, .meta = mega_model_meta(model),
                     .stack = mega_config_has_encoder(config) ? &config->encoder
                                                              : &config->decoder};
    facts->reach = mega_stack_reach(config, facts->stack);
    facts->labels = json_array();
    facts->tokens = json_object();
    facts->cannot = json_array();
    if (!facts->labels || !facts->tokens || !facts->cannot)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory");
    for (int i = 0; i < mega_model_class_count(model) && mega_model_label(model, i); i++)
        json_array_append_new(facts->labels, json_text(mega_model_label(model, i)));
    for (size_t i = 0; i < SPECIALS; i++)
        if (special_of(facts->meta, specials[i]))
            json_object_set_new(facts->tokens, specials[i],
                                json_text(special_of(facts->meta, specials[i])));
    list_cannot(facts);
    return 0;
}

/* Prints the texts of a list, or of an object's values after their keys. */
static void print_texts(const char *name, json_t *texts)
{
    const char *key;
    json_t *value;
    size_t i, count = 0;
    if (json_array_size(texts) + json_object_size(texts) == 0)
        return;
    printf("%-16s", name);
    json_array_foreach(texts, i, value)
    {
        printf("%s%s", count++ ? ", " : "", json_string_value(value));
    }
    json_object_foreach(texts, key, value)
    {
        printf("%s%s %s", count++ ? ", " : "", key, json_string_value(value));
    }
    putchar('\n');
}

static void print_lines(const Facts *facts, const char *path)
{
    json_t *value;
    size_t i;
    printf("%-16s%s\n%-16s%s\n", "model", path, "class",
           text_of(facts->meta, "general.architecture"));
    printf("%-16smega-run %s\n", "command", mega_task_name(mega_model_task(facts->model)));
    print_texts("labels", facts->labels);
    print_texts("special tokens", facts->tokens);
    if (facts->reach.positions == INT64_MAX)
        printf("%-16sany length\n", "longest input");
    else
        printf("%-16s%lld positions\n", "longest input", (long long)facts->reach.positions);
    if (facts->reach.chunk > 0)
        printf("%-16s%d positions\n", "chunk", facts->reach.chunk);
    else
        printf("%-16snone\n", "chunk");
    json_array_foreach(facts->cannot, i, value)
    {
        printf("%-16s%s\n", "note", json_string_value(value));
    }
}

static int show(const char *given, bool json, MegaError *err)
{
    char *path = NULL;
    MegaModel *model = NULL;
    Facts facts = {0};
    int code = named_model(&path, given, err);
    if (!code)
        code = mega_model_open(&model, path, err);
    if (!code)
        code = collect(&facts, model, err);
    if (!code && json)
        print_json_line(json_pack(
            "{s:o,s:o,s:s,s:O,s:O,s:o,s:i,s:O}", "model", json_text(path), "class",
            json_text(text_of(facts.meta, "general.architecture")), "task",
            mega_task_name(mega_model_task(model)), "labels", facts.labels, "special_tokens",
            facts.tokens, "longest_input",
            facts.reach.positions == INT64_MAX ? json_null()
                                               : json_integer(facts.reach.positions),
            "chunk", facts.reach.chunk, "notes", facts.cannot));
    else if (!code)
        print_lines(&facts, path);
    json_decref(facts.labels);
    json_decref(facts.tokens);
    json_decref(facts.cannot);
    mega_model_free(model);
    free(path);
    return code;
}

int command_info(int argc, char **argv)
{
    bool json = false;
    const CommandOption table[] = {
        {.name = "model", .letter = 'm', .take = take_input}, JSON_OPTION(&json), {0}};
    int inputs, status;
    if (!read_command_line(&(CommandSyntax){"info", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs == 0)
        return usage_error("info", "no model was given");
    for (int i = 1; i <= inputs; i++) {
        MegaError err = {0};
        if (show(argv[i], json, &err)) {
            report("%s", err.text);
            status = 1;
        } else if (!json && i < inputs) {
            putchar('\n');
        }
    }
    return finish_output(status);
}
