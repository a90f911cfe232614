/*
 * models.c - mega-run models: lists the models that the other commands find without -m.
 */
#include <stdio.h>
#include <string.h>

#include "src/model/config.h"
#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"

static const char help[] =
    "Usage: mega-run models [--json]\n"
    "\n"
    "Lists the models that are found: their name, which -m takes in place of a file, what they "
    "are\n"
    "for, a line about them, and their file. They are looked for in the folders of MEGA_MODELS,\n"
    "in the folder of the program, and in ../share/mega and ../models from there. Without -m the\n"
    "first one for the task and the kind of the input is taken.\n"
    "\n"
    "      --json    one JSON object a line\n"
    "  -h, --help    show this help\n"
    "\n"
    "Exit status: 0 models were found, 1 there are none, 2 wrong usage.\n";

static void print_json(const FoundModel *model)
{
    json_t *object = json_pack("{s:o,s:s,s:s,s:o}", "name", json_text(model->name), "task",
                               mega_task_name(model->task), "input", kind_name(model->kind),
                               "model", json_text(model->path));
    if (*model->title)
        json_object_set_new(object, "title", json_text(model->title));
    if (*model->into)
        json_object_set_new(object, "into", json_text(model->into));
    if (*model->license)
        json_object_set_new(object, "license", json_text(model->license));
    print_json_line(object);
}

static int column_width(const ModelList *list)
{
    int width = 0;
    for (size_t i = 0; i < list->count; i++) {
        const int length = (int)strlen(list->models[i].name);
        width = length > width ? length : width;
    }
    return width < 40 ? width : 40;
}

static void print_model(const FoundModel *model, int width)
{
    MegaError line; /* mega_fail removes control characters from the text */
    char what[40];
    snprintf(what, sizeof what, "%s %s", mega_task_name(model->task), kind_name(model->kind));
    mega_fail(&line, MEGA_OK, "%-*s  %-17s  %s", width, model->name, what,
              *model->title ? model->title : "(no name)");
    printf("%s\n%*s", line.text, width + 2, "");
    mega_fail(&line, MEGA_OK, "%s", model->path);
    puts(line.text);
}

int command_models(int argc, char **argv)
{
    bool json = false;
    const CommandOption table[] = {JSON_OPTION(&json), {0}};
    int inputs, status;
    MegaError err = {0};
    ModelList list;
    if (!read_command_line(&(CommandSyntax){"models", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs)
        return usage_error("models",
                           "unexpected argument '%s'; 'mega-run inspect %s' shows one model",
                           argv[1], argv[1]);
    int code = model_list_read(&list, &err);
    if (!code && list.count == 0)
        code = mega_fail(&err, MEGA_ERR_IO,
                         "no model was found in %s; name a folder with models in MEGA_MODELS",
                         list.places);
    for (size_t i = 0; i < list.count && !code; i++)
        if (json)
            print_json(&list.models[i]);
        else
            print_model(&list.models[i], column_width(&list));
    if (code)
        report("%s", err.text);
    model_list_free(&list);
    return finish_output(code ? 1 : 0);
}
