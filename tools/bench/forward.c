/*
 * forward.c - time and memory of a forward pass on random input of a given length.
 *
 *     make bench && build/bench/forward MODEL.mega LENGTH [THREADS [REPEATS]]
 *
 * LENGTH counts tokens, samples or pixels; it is ignored for image patches, whose size is fixed.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <sys/resource.h>

#include "bench.h"
#include "model.h"

static int fill(MegaInput *input, const MegaModel *model, size_t length)
{
    const MegaEmbedConfig *embed = &mega_model_config(model)->embed;
    *input = (MegaInput){.kind = mega_model_input_kind(model), .length = length};
    if (input->kind == MEGA_INPUT_IMAGE) {
        input->channels = embed->channels;
        input->height = embed->height;
        input->width = embed->width;
        input->length = (size_t)embed->channels * (size_t)embed->height * (size_t)embed->width;
    }
    if (input->kind == MEGA_INPUT_TOKENS) {
        int32_t *tokens = malloc(input->length * sizeof *tokens);
        for (size_t i = 0; tokens && i < input->length; i++)
            do
                tokens[i] = rand() % embed->vocab;
            while (tokens[i] == embed->pad && embed->vocab > 1);
        input->tokens = tokens;
        return tokens ? 0 : -1;
    }
    float *values = malloc(input->length * sizeof *values);
    for (size_t i = 0; values && i < input->length; i++)
        values[i] = (float)(rand() % 2001 - 1000) * 1e-3f;
    input->values = values;
    return values ? 0 : -1;
}

int main(int argc, char **argv)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    MegaSession *session = NULL;
    MegaInput inputs[2];
    if (argc < 3) {
        fprintf(stderr, "usage: forward MODEL.mega LENGTH [THREADS [REPEATS]]\n");
        return 2;
    }
    size_t length = strtoul(argv[2], NULL, 10);
    MegaSessionOptions options = {.threads = argc > 3 ? atoi(argv[3]) : 0};
    int repeats = argc > 4 ? atoi(argv[4]) : 10, code = 1;
    float *logits = NULL;
    double begin = bench_seconds();
    if (mega_model_open(&model, argv[1], &err) ||
        mega_session_new(&session, model, &options, &err))
        goto out;
    double loaded = bench_seconds() - begin, sum = 0, square = 0, best = 1e30;
    logits = malloc((size_t)mega_model_class_count(model) * sizeof *logits);
    if (!logits || fill(&inputs[0], model, length) || fill(&inputs[1], model, length))
        goto out;
    for (int i = -1; i < repeats; i++) { /* the first one plans and warms up */
        begin = bench_seconds();
        if (mega_session_classify(session, inputs, mega_model_input_count(model), logits, &err))
            goto out;
        double took = bench_seconds() - begin;
        if (i < 0)
            continue;
        sum += took;
        square += took * took;
        best = took < best ? took : best;
    }
    double mean = sum / repeats, variance = square / repeats - mean * mean;
    struct rusage usage;
    getrusage(RUSAGE_SELF, &usage);
    printf("parameters %llu, load %.1f ms, forward %.2f ms +- %.2f (best %.2f), "
           "arena %.1f MB, peak memory %.1f MB\n",
           (unsigned long long)mega_model_parameter_count(model), loaded * 1e3, mean * 1e3,
           sqrt(variance > 0 ? variance : 0) * 1e3, best * 1e3,
           (double)mega_session_memory(session) / 1e6, (double)usage.ru_maxrss / 1e3);
    code = 0;
out:
    if (code)
        fprintf(stderr, "forward: %s\n", err.text[0] ? err.text : "no memory");
    free(logits);
    mega_session_free(session);
    mega_model_free(model);
    return code;
}
