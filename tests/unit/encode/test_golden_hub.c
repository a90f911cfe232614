/*
 * test_golden_hub.c - compares models of the Hugging Face library, whose folders are converted,
 * with its results: every class, in one pass and token by token.
 */
#include "tests/unit/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

/* Reads the ids and token types with this name, "0" or "1.2". Returns false if there are none. */
static bool read_input(const Golden *golden, const char *name, MegaNpy *ids, MegaNpy *types,
                       MegaInput *input)
{
    char file[64];
    snprintf(file, sizeof file, "in.%s.ids", name);
    if (!golden_read(golden, file, ids))
        return false;
    *types = (MegaNpy){0};
    snprintf(file, sizeof file, "in.%s.types", name);
    golden_read(golden, file, types);
    *input = (MegaInput){.kind = MEGA_INPUT_TOKENS,
                         .tokens = ids->i32,
                         .types = types->i32,
                         .length = ids->elements};
    return true;
}

/* ---- Encoders ------------------------------------------------------------------------------- */

static void check_labels(Golden *golden, MegaSession *session, const char *name,
                         const MegaInput *input)
{
    const size_t classes = (size_t)mega_model_class_count(golden->model);
    float *logits = calloc(input->length, classes * sizeof *logits);
    float *column = calloc(input->length, sizeof *column);
    const size_t last = input->length - 1;
    char file[64];
    MegaError err = {0};
    if (mega_session_label(session, input, NULL, input->length, logits, &err))
        fail_msg("%s: %s", golden->name, err.text);
    snprintf(file, sizeof file, "out.%s.logits", name);
    golden_compare(golden, file, logits, input->length, classes, NULL);
    for (size_t c = 0; c < 2 && mega_model_task(golden->model) == MEGA_TASK_ANSWER; c++) {
        for (size_t i = 0; i < input->length; i++)
            column[i] = logits[2 * i + c];
        snprintf(file, sizeof file, "out.%s.%s", name, c ? "end" : "start");
        golden_compare(golden, file, column, input->length, 1, NULL);
    }
    /* a single position has the same logits */
    float *single = calloc(classes, sizeof *single);
    assert_int_equal(mega_session_label(session, input, &last, 1, single, &err), 0);
    for (size_t c = 0; c < classes; c++)
        assert_true(single[c] - logits[last * classes + c] < 1e-5f &&
                    logits[last * classes + c] - single[c] < 1e-5f);
    free(single);
    free(column);
    free(logits);
}

typedef struct States {
    Golden *golden;
    const char *name;
} States;

static void compare_states(void *context, const char *stage, int input, const float *data,
                           size_t rows, size_t columns)
{
    const States *states = context;
    char file[64];
    (void)input;
    snprintf(file, sizeof file, "out.%s.%s", states->name,
             strcmp(stage, "pooled") == 0 ? "pooled" : "hidden");
    if (strcmp(stage, "pooled") == 0 || strcmp(stage, "logits") == 0)
        golden_compare(states->golden, file, data, rows, columns, NULL);
}

static void check_whole(Golden *golden, MegaSession *session, const char *name,
                        const MegaInput *input)
{
    const bool embeds = mega_model_task(golden->model) == MEGA_TASK_EMBED;
    const size_t classes = (size_t)mega_model_class_count(golden->model);
    States states = {golden, name};
    float *out = calloc(classes + (size_t)mega_model_width(golden->model), sizeof *out);
    char file[64];
    MegaError err = {0};
    if (embeds)
        mega_session_set_tap(session, compare_states, &states);
    if (mega_session_classify(session, input, 1, out, &err))
        fail_msg("%s: %s", golden->name, err.text);
    mega_session_set_tap(session, NULL, NULL);
    snprintf(file, sizeof file, "out.%s.logits", name);
    if (!embeds)
        golden_compare(golden, file, out, 1, classes, NULL);
    free(out);
}

/* The rows of a choice are padded at the right; each runs without its padding. */
static void check_choice(Golden *golden, MegaSession *session, int number)
{
    char file[64];
    MegaNpy ids, mask;
    float logits[16];
    MegaError err = {0};
    snprintf(file, sizeof file, "in.%d.ids", number);
    assert_true(golden_read(golden, file, &ids));
    snprintf(file, sizeof file, "in.%d.mask", number);
    assert_true(golden_read(golden, file, &mask));
    const size_t rows = (size_t)ids.shape[0], columns = (size_t)ids.shape[1];
    assert_true(rows <= sizeof logits / sizeof logits[0]);
    for (size_t row = 0; row < rows; row++) {
        MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = ids.i32 + row * columns};
        while (input.length < columns && mask.i32[row * columns + input.length])
            input.length++;
        if (mega_session_classify(session, &input, 1, &logits[row], &err))
            fail_msg("%s: %s", golden->name, err.text);
    }
    snprintf(file, sizeof file, "out.%d.logits", number);
    golden_compare(golden, file, logits, rows, 1, NULL);
    mega_npy_free(&ids);
    mega_npy_free(&mask);
}

static void check_encoder(Golden *golden, MegaSession *session)
{
    const MegaTask task = mega_model_task(golden->model);
    const bool labels = mega_task_traits(task)->labels_positions;
    MegaNpy ids, types;
    MegaInput input;
    char name[32];
    for (int i = 0; task == MEGA_TASK_CHOOSE && i < 2; i++)
        check_choice(golden, session, i);
    for (int i = 0; i < 8 && task != MEGA_TASK_CHOOSE; i++)
        for (int window = -1; window < 8; window++) {
            snprintf(name, sizeof name, window < 0 ? "%d" : "%d.%d", i, window);
            if (!read_input(golden, name, &ids, &types, &input))
                continue;
            (labels ? check_labels : check_whole)(golden, session, name, &input);
            mega_npy_free(&ids);
            mega_npy_free(&types);
        }
}

/* ---- Language models ------------------------------------------------------------------------ */

/* Reads all tokens at once, or one at a time, and compares the logits. */
static void check_pass(Golden *golden, MegaSession *session, const MegaInput *input,
                       const char *name, bool truncate, bool single)
{
    const size_t vocab = (size_t)mega_model_vocab_size(golden->model);
    float *logits = calloc(input->length, vocab * sizeof *logits);
    MegaDecoderOptions options = {.truncate = truncate};
    MegaDecoder *decoder = NULL;
    MegaError err = {0};
    int code = mega_decoder_new(&decoder, session, &options, &err);
    if (!code)
        code = mega_decoder_begin(decoder, NULL, 1, &err);
    if (!code && !single)
        code = mega_decoder_feed(decoder, input->tokens, input->length, logits, &err);
    for (size_t i = 0; i < input->length && !code && single; i++)
        code = mega_decoder_step(decoder, &input->tokens[i], logits + i * vocab, &err);
    if (code)
        fail_msg("%s: %s", golden->name, err.text);
    golden_compare(golden, name, logits, input->length, vocab, NULL);
    mega_decoder_free(decoder);
    free(logits);
}

static void check_decoder(Golden *golden, MegaSession *session)
{
    MegaNpy ids, types;
    MegaInput input;
    char number[8], full[32], cached[32];
    for (int i = 0; i < 8; i++) {
        snprintf(number, sizeof number, "%d", i);
        snprintf(full, sizeof full, "out.%d.logits", i);
        snprintf(cached, sizeof cached, "out.%d.logits_cached", i);
        if (!read_input(golden, number, &ids, &types, &input))
            continue;
        check_pass(golden, session, &input, full, true, false);
        check_pass(golden, session, &input, cached, false, false);
        check_pass(golden, session, &input, cached, false, true);
        mega_npy_free(&ids);
        mega_npy_free(&types);
    }
}

/* ---- Cases ---------------------------------------------------------------------------------- */

static const char *const encoders[] = {
    "hf_mega/fill_mask", "hf_mega/classify", "hf_mega/tag", "hf_mega/answer",
    "hf_mega/choice",    "hf_mega/encode",   NULL};
static const char *const decoders[] = {"hf_mega/lm", NULL};

static void test_committed(void **state)
{
    (void)state;
    golden_committed(encoders, check_encoder);
    golden_committed(decoders, check_decoder);
}

static void test_committed_in_tiles(void **state)
{
    (void)state;
    golden_committed_in_tiles(encoders, check_encoder);
    golden_committed_in_tiles(decoders, check_decoder);
}

static void test_all(void **state)
{
    (void)state;
    golden_all(encoders, check_encoder);
    golden_all(decoders, check_decoder);
}

int main(void)
{
    const struct CMUnitTest tests[] = {cmocka_unit_test(test_committed),
                                       cmocka_unit_test(test_committed_in_tiles),
                                       cmocka_unit_test(test_all)};
    return cmocka_run_group_tests(tests, NULL, NULL);
}
