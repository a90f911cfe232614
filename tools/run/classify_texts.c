/*
 * classify_texts.c - see classify_texts.h.
 */
#include "tools/run/classify_texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/results.h"

bool wants_texts(const ClassifyTexts *texts)
{
    return texts->inputs.text || texts->pair || texts->inputs.lines || texts->inputs.column;
}

bool is_hub_classifier(const MegaModel *model)
{
    return mega_model_task(model) == MEGA_TASK_CLASSIFY &&
           mega_meta_find(mega_model_meta(model), "text.tokenizer");
}

void print_labels(const MegaModel *model, const MegaClassification *found, int top, bool json,
                  const char *path)
{
    char buffer[24];
    if (json)
        print_json_line(labels_json(model, found, top));
    for (int i = 0; !json && i < found->count && (top == 0 || i < top); i++)
        printf("%s%s%s\t%.6f\n", path ? path : "", path ? "\t" : "",
               hub_label(model, found->order[i], buffer),
               (double)found->probabilities[found->order[i]]);
    fflush(stdout);
}

typedef struct Run {
    const ClassifyTexts *texts;
    MegaModel *model;
    MegaPipeline *pipeline;
} Run;

static int classify_one(void *context, const MegaRaw *raw, MegaError *err)
{
    const Run *run = context;
    const char *pair = run->texts->pair;
    MegaClassification found;
    const MegaRaw inputs[] = {*raw,
                              {.kind = MEGA_RAW_TEXT, .data = pair, .size = pair ? strlen(pair) : 0,
                               .name = "the second text"}};
    int code = mega_pipeline_classify(run->pipeline, inputs, pair ? 2 : 1, &found, err);
    if (code)
        return code;
    if (run->texts->inputs.before > 0 && !run->texts->inputs.json && run->texts->top != 1)
        putchar('\n');
    if (is_hub_classifier(run->model))
        print_labels(run->model, &found, run->texts->top, run->texts->inputs.json, NULL);
    else
        print_labels(run->model, &found, run->texts->top ? run->texts->top : 1,
                     run->texts->inputs.json, NULL);
    mega_classification_free(&found);
    return 0;
}

int classify_texts(ClassifyTexts *texts)
{
    Run run = {.texts = texts};
    MegaError err = {0};
    char *path = NULL;
    int status = 1;
    int code = open_model(&run.model, &path,
                          &(ModelWish){.given = texts->model,
                                       .task = MEGA_TASK_CLASSIFY,
                                       .kind = MEGA_CONTENT_TEXT},
                          texts->pipeline.session.max_memory, &err);
    if (!code && (mega_model_task(run.model) != MEGA_TASK_CLASSIFY ||
                  model_kind(run.model) != MEGA_CONTENT_TEXT))
        code = fail_wrong_model(run.model, path, "for texts", MEGA_TASK_CLASSIFY,
                                MEGA_CONTENT_TEXT, &err);
    if (!code)
        code = mega_pipeline_new(&run.pipeline, run.model, &texts->pipeline, &err);
    if (code)
        report("%s", err.text);
    else
        status = each_text(&texts->inputs, mega_model_meta(run.model), classify_one, &run);
    mega_pipeline_free(run.pipeline);
    mega_model_free(run.model);
    free(path);
    return finish_results(status);
}
