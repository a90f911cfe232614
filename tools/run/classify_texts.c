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

bool is_hub_classifier(const MegaModel *model)
{
    return mega_model_task(model) == MEGA_TASK_CLASSIFY &&
           mega_meta_find(mega_model_meta(model), "text.tokenizer");
}

/* Returns the label of a class; one without a name is "LABEL_3". */
static const char *label_of(const MegaModel *model, int index, char buffer[24])
{
    const char *label = mega_model_label(model, index);
    snprintf(buffer, 24, "LABEL_%d", index);
    return label ? label : buffer;
}

void print_labels(const MegaModel *model, const MegaClassification *found, int top, bool json,
                  const char *path)
{
    json_t *list = json_array();
    char buffer[24];
    for (int i = 0; i < found->count && (top == 0 || i < top); i++) {
        const int index = found->order[i];
        const char *label = label_of(model, index, buffer);
        if (json)
            json_array_append_new(list, json_pack("{s:o,s:f}", "label", json_text(label), "score",
                                                  (double)found->probabilities[index]));
        else
            printf("%s%s%s\t%.6f\n", path ? path : "", path ? "\t" : "", label,
                   (double)found->probabilities[index]);
    }
    if (json)
        print_json_line(list);
    else
        json_decref(list);
    fflush(stdout);
}

typedef struct Run {
    const ClassifyTexts *texts;
    MegaModel *model;
    MegaPipeline *pipeline;
    bool any;
} Run;

static int classify_one(void *context, const MegaRaw *raw, MegaError *err)
{
    Run *run = context;
    const char *pair = run->texts->pair;
    MegaClassification found;
    const MegaRaw inputs[] = {*raw,
                              {.kind = MEGA_RAW_TEXT, .data = pair, .size = pair ? strlen(pair) : 0,
                               .name = "the second text"}};
    int code = mega_pipeline_classify(run->pipeline, inputs, pair ? 2 : 1, &found, err);
    if (code)
        return code;
    if (run->any && !run->texts->inputs.json && run->texts->top != 1)
        putchar('\n');
    if (is_hub_classifier(run->model))
        print_labels(run->model, &found, run->texts->top, run->texts->inputs.json, NULL);
    else
        print_labels(run->model, &found, run->texts->top ? run->texts->top : 1,
                     run->texts->inputs.json, NULL);
    run->any = true;
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
        status = each_text(&texts->inputs, classify_one, &run);
    mega_pipeline_free(run.pipeline);
    mega_model_free(run.model);
    free(path);
    return finish_output(status);
}
