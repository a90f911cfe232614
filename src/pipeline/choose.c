/*
 * choose.c - scores how well each of several texts goes with another one, and returns the states of
 * a text's tokens, for models without a head.
 */
#include <stdlib.h>
#include <string.h>

#include "src/pipeline/tokens.h"

int mega_pipeline_choose(MegaPipeline *p, const MegaRaw *prompt, const MegaRaw *choices, int count,
                         float *scores, MegaError *err)
{
    MegaBuffer first = {0};
    int code = mega_pipeline_need_task(p, MEGA_TASK_CHOOSE, "choose between texts", err);
    if (!code && count < 1)
        code = mega_fail(err, MEGA_ERR_ARGUMENT, "there are no texts to choose from");
    if (!code)
        code = mega_pipeline_read_bytes(p, prompt, &first, err);
    for (int i = 0; i < count && !code; i++) {
        MegaBuffer second = {0};
        MegaTokenInput input = {0};
        code = mega_pipeline_read_bytes(p, &choices[i], &second, err);
        if (!code)
            code = mega_pipeline_token_input(p, &first, &second, 0, &input, err);
        if (!code)
            code = mega_session_classify(p->session, &input.input, 1, &scores[i], err);
        mega_token_input_free(&input);
        mega_buffer_free(&second);
    }
    if (!code)
        mega_softmax(scores, count, scores);
    mega_buffer_free(&first);
    return code;
}

void mega_states_free(MegaStates *states)
{
    if (!states)
        return;
    free(states->values);
    free(states->pooled);
    *states = (MegaStates){0};
}

/* Copies the states of all positions, which a model without classes shows a tap as its result. */
static void copy_states(void *context, const char *stage, int input, const float *data, size_t rows,
                        size_t columns)
{
    MegaStates *states = context;
    (void)input;
    if (strcmp(stage, "logits") != 0)
        return;
    states->values = malloc((rows * columns + 1) * sizeof *data);
    if (states->values)
        memcpy(states->values, data, rows * columns * sizeof *data);
    states->rows = rows;
}

int mega_pipeline_states(MegaPipeline *p, const MegaRaw *text, MegaStates *out, MegaError *err)
{
    const MegaTapping before = p->session->tap;
    MegaBuffer bytes = {0};
    MegaTokenInput input = {0};
    *out = (MegaStates){.width = mega_model_width(p->model)};
    int code = mega_pipeline_need_task(p, MEGA_TASK_EMBED, "give the states of tokens", err);
    if (!code)
        code = mega_pipeline_read_bytes(p, text, &bytes, err);
    if (!code)
        code = mega_pipeline_token_input(p, &bytes, NULL, 0, &input, err);
    out->pooled = code ? NULL : malloc((size_t)out->width * sizeof *out->pooled);
    if (!code && !out->pooled)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the states of a text");
    mega_session_set_tap(p->session, copy_states, out);
    if (!code)
        code = mega_session_classify(p->session, &input.input, 1, out->pooled, err);
    p->session->tap = before;
    if (!code && !out->values)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the states of a text");
    if (code)
        mega_states_free(out);
    mega_token_input_free(&input);
    mega_buffer_free(&bytes);
    return code;
}
