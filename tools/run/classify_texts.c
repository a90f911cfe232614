/*
 * classify_texts.c - see classify_texts.h.
 */
#include "tools/run/classify_texts.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/model/model.h"
#include "tools/common/progress.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/verbose.h"

bool wants_texts(const ClassifyTexts *texts)
{
    return texts->inputs.text || texts->pair || texts->inputs.lines || texts->inputs.column;
}

typedef struct Run {
    ClassifyTexts *texts;
    char *path;
    MegaModel *model;
    MegaPipeline *pipeline;
    ClassifyPrinter printer;
    double loading, reading, running; /* seconds */
    uint64_t done;
} Run;

static int classify_one(void *context, const MegaRaw *raw, MegaError *err)
{
    Run *run = context;
    const TextInputs *inputs = &run->texts->inputs;
    const char *pair = run->texts->pair;
    MegaClassification found;
    const MegaRaw texts[] = {*raw,
                             {.kind = MEGA_RAW_TEXT, .data = pair, .size = pair ? strlen(pair) : 0,
                              .name = "the second text"}};
    int code = mega_pipeline_classify(run->pipeline, texts, pair ? 2 : 1, &found, err);
    if (code)
        return code;
    run->reading += found.reading;
    run->running += found.running;
    run->done++;
    if (inputs->before > 0 && !inputs->json && classify_printer_top(&run->printer) > 1)
        putchar('\n');
    classify_printer_begin(&run->printer, raw->name, inputs->line);
    code = classify_printer_take(&run->printer, &found, 0, err);
    classify_printer_end(&run->printer, true);
    mega_classification_free(&found);
    return code;
}

/* Returns whether the model takes what is given. Token ids need no words, which a model that was
 * converted without its dictionary lacks. */
static bool takes_texts(const Run *run)
{
    if (run->texts->pipeline.ids)
        return mega_model_input_kind(run->model) == MEGA_INPUT_TOKENS;
    return model_kind(run->model) == MEGA_CONTENT_TEXT;
}

static int load(Run *run, MegaError *err)
{
    const ClassifyTexts *texts = run->texts;
    const double begun = clock_seconds();
    int code = open_model(&run->model, &run->path,
                          &(ModelWish){.given = texts->model,
                                       .task = MEGA_TASK_CLASSIFY,
                                       .kind = MEGA_CONTENT_TEXT},
                          texts->pipeline.session.max_memory, err);
    if (!code && (mega_model_task(run->model) != MEGA_TASK_CLASSIFY || !takes_texts(run)))
        code = fail_wrong_model(run->model, run->path, "for texts", MEGA_TASK_CLASSIFY,
                                MEGA_CONTENT_TEXT, err);
    if (!code)
        code = mega_pipeline_new(&run->pipeline, run->model, &texts->pipeline, err);
    if (!code)
        code = classify_printer_new(&run->printer, &texts->style, run->model, run->path, 0, err);
    run->loading = clock_seconds() - begun;
    if (!code && texts->verbose)
        verbose_session(run->path, mega_pipeline_session(run->pipeline), run->loading);
    return code;
}

int classify_texts(ClassifyTexts *texts)
{
    Run run = {.texts = texts};
    MegaError err = {0};
    int status = 1;
    if (load(&run, &err)) {
        report("%s", err.text);
    } else {
        const double begun = clock_seconds();
        status = each_text(&texts->inputs, mega_model_meta(run.model), classify_one, &run);
        if (texts->verbose && run.done)
            verbose_end(run.done, "input", clock_seconds() - begun);
        if (texts->time)
            verbose_times(run.loading, run.reading, run.running);
    }
    classify_printer_free(&run.printer);
    mega_pipeline_free(run.pipeline);
    mega_model_free(run.model);
    free(run.path);
    return finish_results(status);
}
