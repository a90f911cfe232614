/*
 * embed.c - computes one vector for an input: a classifier's pooled one, or the mean of the last
 * layer's states. Both are taken from the taps of the session.
 */
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/input_reader.h"
#include "src/pipeline/tokens.h"

void mega_embedding_free(MegaEmbedding *embedding)
{
    if (!embedding)
        return;
    free(embedding->values);
    *embedding = (MegaEmbedding){0};
}

/* What the tap has taken from the stages that it waits for. */
typedef struct Capture {
    const char *states; /* name of the stage of the last layer's states */
    double *sums;       /* [width] sums of their rows so far */
    float *pooled;      /* [width] the data of the stage "pooled" */
    size_t width, rows;
} Capture;

static void capture_stage(void *context, const char *stage, int input, const float *data,
                          size_t rows, size_t columns)
{
    Capture *capture = context;
    if (input > 0 || columns != capture->width)
        return;
    if (strcmp(stage, "pooled") == 0)
        memcpy(capture->pooled, data, columns * sizeof *data);
    if (strcmp(stage, capture->states) != 0)
        return;
    for (size_t i = 0; i < rows; i++)
        for (size_t j = 0; j < columns; j++)
            capture->sums[j] += (double)data[i * columns + j];
    capture->rows += rows;
}

/* Runs a classifier's encoder. A pair model gets the same input twice. */
static int run_classifier(MegaPipeline *p, const MegaRaw *input, MegaError *err)
{
    const int count = mega_model_input_count(p->model);
    float *logits = malloc((size_t)mega_model_class_count(p->model) * sizeof *logits);
    MegaPrepared prepared = {0};
    const MegaRaw inputs[] = {*input, *input};
    int code = logits ? mega_input_reader_begin(p->reader, inputs, count, err)
                      : mega_fail(err, MEGA_ERR_MEMORY, "no memory for an embedding");
    if (!code) {
        const int more = mega_input_reader_next(p->reader, &prepared, err);
        code = more > 0    ? mega_prepared_run(&prepared, p->session, logits, err)
               : more == 0 ? mega_fail(err, MEGA_ERR_INPUT, "%s: there is nothing in it",
                                       mega_raw_name(input))
                           : more;
    }
    mega_input_end(p->reader);
    mega_prepared_free(&prepared);
    free(logits);
    return code;
}

/* Runs a model that has a head for text, and ignores the head's output. */
static int run_tokens(MegaPipeline *p, const MegaRaw *input, MegaError *err)
{
    const size_t none = 0;
    MegaBuffer bytes = {0};
    MegaTokenInput tokens = {0};
    float *out = malloc(((size_t)mega_model_width(p->model) + 1) * sizeof *out);
    int code = out ? mega_pipeline_read_bytes(p, input, &bytes, err)
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for an embedding");
    if (!code)
        code = mega_pipeline_token_input(p, &bytes, NULL, 0, &tokens, err);
    if (!code)
        code = mega_task_traits(p->task)->labels_positions
                   ? mega_session_label(p->session, &tokens.input, &none, 0, out, err)
                   : mega_session_classify(p->session, &tokens.input, 1, out, err);
    mega_token_input_free(&tokens);
    mega_buffer_free(&bytes);
    free(out);
    return code;
}

static int run_encoder(MegaPipeline *p, const MegaRaw *input, MegaError *err)
{
    MegaIds tokens = {0};
    MegaEncoded *encoded = NULL;
    int code = mega_pipeline_tokenize(p, MEGA_SIDE_INPUT, input, &tokens, err);
    const MegaInput source = {
        .kind = MEGA_INPUT_TOKENS, .tokens = tokens.ids, .length = tokens.count};
    if (!code)
        code = mega_session_encode(p->session, &source, &encoded, err);
    mega_encoded_free(encoded);
    mega_ids_free(&tokens);
    return code;
}

static int run_decoder(MegaPipeline *p, const MegaRaw *input, MegaError *err)
{
    const MegaDecoderOptions options = {.chunk = p->chunk};
    MegaIds tokens = {0};
    MegaDecoder *decoder = NULL;
    int code = mega_pipeline_tokenize(p, MEGA_SIDE_OUTPUT, input, &tokens, err);
    if (!code)
        code = mega_decoder_new(&decoder, p->session, &options, err);
    if (!code)
        code = mega_decoder_begin(decoder, NULL, 1, err);
    if (!code)
        code = mega_decoder_feed(decoder, tokens.ids, tokens.count, NULL, err);
    mega_decoder_free(decoder);
    mega_ids_free(&tokens);
    return code;
}

int mega_pipeline_embed(MegaPipeline *p, const MegaRaw *input, MegaVectorKind kind,
                        MegaEmbedding *out, MegaError *err)
{
    const MegaConfig *config = mega_model_config(p->model);
    const bool decoder = !mega_config_has_encoder(config), classifier = p->reader != NULL;
    const MegaStackConfig *stack = decoder ? &config->decoder : &config->encoder;
    const size_t width = (size_t)stack->width;
    char states[40];
    if (stack->final_norm)
        snprintf(states, sizeof states, decoder ? "decoder.final" : "final");
    else
        snprintf(states, sizeof states, "%slayer.%d", decoder ? "decoder." : "", stack->layers - 1);
    Capture capture = {.states = states,
                       .sums = calloc(width, sizeof *capture.sums),
                       .pooled = calloc(width, sizeof *capture.pooled),
                       .width = width};
    const MegaTap tap = p->session->tap.tap;
    void *const context = p->session->tap.context;
    const bool takes_pieces = p->session->tap_takes_pieces;
    *out = (MegaEmbedding){0};
    int code = kind == MEGA_VECTOR_OWN || kind == MEGA_VECTOR_MEAN
                   ? 0
                   : mega_fail(err, MEGA_ERR_ARGUMENT, "%d is no MegaVectorKind", (int)kind);
    if (!code)
        code = capture.sums && capture.pooled
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for an embedding");
    mega_session_set_piece_tap(p->session, capture_stage, &capture);
    if (!code)
        code = classifier                     ? run_classifier(p, input, err)
               : mega_config_has_head(config) ? run_tokens(p, input, err)
               : decoder                      ? run_decoder(p, input, err)
                                              : run_encoder(p, input, err);
    mega_session_set_tap(p->session, tap, context);
    p->session->tap_takes_pieces = takes_pieces;
    const bool mean = !classifier || kind == MEGA_VECTOR_MEAN;
    for (size_t i = 0; i < width && !code && mean; i++)
        capture.pooled[i] = (float)(capture.sums[i] / (double)capture.rows);
    free(capture.sums);
    if (code) {
        free(capture.pooled);
        return code;
    }
    *out = (MegaEmbedding){capture.pooled, (int)width, capture.rows};
    return 0;
}
