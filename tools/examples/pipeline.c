/*
 * pipeline.c - an example of the C interface: what is said in a recording, and a line in German.
 *
 *     cc pipeline.c -o pipeline $(pkg-config --cflags --libs mega-media)
 *     ./pipeline speech.mega yes.wav translator.mega 'Two dogs are playing in the snow.'
 */
#include <mega.h>
#include <stdio.h>
#include <string.h>

/* Prints the label and probability of every class, the most probable one first. */
static int classify(const MegaModel *model, MegaPipeline *pipeline, const char *path,
                    MegaError *err)
{
    const MegaRaw input = {.kind = MEGA_RAW_PATH, .data = path};
    MegaClassification found;
    int code = mega_pipeline_classify(pipeline, &input, 1, &found, err);
    for (int i = 0; !code && i < found.count; i++) {
        const char *label = mega_model_label(model, found.order[i]);
        printf("%s\t%.4f\n", label ? label : "?", (double)found.probabilities[found.order[i]]);
    }
    mega_classification_free(&found);
    return code;
}

static int translate(MegaPipeline *pipeline, const char *line, MegaError *err)
{
    const MegaRaw text = {.kind = MEGA_RAW_TEXT, .data = line, .size = strlen(line)};
    MegaTranslation found;
    int code = mega_pipeline_translate(pipeline, &text, 1, NULL, &found, err);
    if (!code && found.count > 0)
        puts(found.hypotheses[0].text);
    mega_translation_free(&found);
    return code;
}

int main(int argc, char **argv)
{
    const MegaPipelineOptions options = {.media = mega_media()};
    MegaError err = {0};
    int code = argc % 2 && argc > 1 ? 0 : mega_fail(&err, -1, "expected MODEL INPUT ...");
    for (int i = 1; i < argc && !code; i += 2) {
        MegaModel *model = NULL;
        MegaPipeline *pipeline = NULL;
        code = mega_model_open(&model, argv[i], &err);
        if (!code)
            code = mega_pipeline_new(&pipeline, model, &options, &err);
        if (!code)
            code = mega_model_task(model) == MEGA_TASK_TRANSLATE
                       ? translate(pipeline, argv[i + 1], &err)
                       : classify(model, pipeline, argv[i + 1], &err);
        mega_pipeline_free(pipeline);
        mega_model_free(model);
    }
    if (code)
        fprintf(stderr, "%s: %s\n", argv[0], err.text);
    return code != 0;
}
