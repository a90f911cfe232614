/*
 * test_golden_decoder.c - translators and language models of the original implementation: teacher
 * forced, stage by stage, and fed token by token and in pieces.
 */
#include "golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The running input's stages are compared with the arrays of this prefix: "dbg.4". */
typedef struct Watch {
    Golden *golden;
    char debug[32];
} Watch;

/* "layer.0.ema" -> "enc.layer0.ema", "decoder.layer.1" -> "dec.state2" (state0 is the embedding) */
static void debug_name(const Watch *watch, const char *stage, bool translator, char *out,
                       size_t size)
{
    char part[16] = "";
    const char *side = translator ? "dec." : "";
    int index;
    if (sscanf(stage, "decoder.layer.%d.%15s", &index, part) == 2)
        snprintf(out, size, "%s.%slayer%d.%s", watch->debug, side, index, part);
    else if (sscanf(stage, "decoder.layer.%d", &index) == 1)
        snprintf(out, size, translator ? "%s.dec.state%d" : "%s.layer%d.out", watch->debug,
                 translator ? index + 1 : index);
    else if (sscanf(stage, "layer.%d.%15s", &index, part) == 2)
        snprintf(out, size, "%s.enc.layer%d.%s", watch->debug, index, part);
    else if (sscanf(stage, "layer.%d", &index) == 1)
        snprintf(out, size, "%s.enc.layer%d.out", watch->debug, index);
    else if (strcmp(stage, "target") == 0)
        snprintf(out, size, translator ? "%s.dec.state0" : "%s.embed", watch->debug);
    else
        snprintf(out, size, "%s.enc.%s", watch->debug, stage);
}

static void watch_stage(void *context, const char *stage, int number, const float *data,
                        size_t rows, size_t columns)
{
    const Watch *watch = context;
    char name[128];
    MegaNpy expected;
    bool translator = mega_model_task(watch->golden->model) == MEGA_TASK_TRANSLATE;
    (void)number;
    debug_name(watch, stage, translator, name, sizeof name);
    if (!golden_read(watch->golden, name, &expected))
        return;
    /* a sequence longer than a pass comes in several pieces, of which only whole ones compare */
    bool whole = expected.elements == rows * columns;
    mega_npy_free(&expected);
    if (whole)
        golden_compare(watch->golden, name, data, rows, columns, NULL);
}

static MegaDecoder *new_decoder(MegaSession *session, const MegaDecoderOptions *options)
{
    MegaDecoder *decoder;
    MegaError err = {0};
    if (mega_decoder_new(&decoder, session, options, &err))
        fail_msg("%s", err.text);
    return decoder;
}

/* ---- Translation ---------------------------------------------------------------------------- */

static void check_attention(Golden *golden, MegaDecoder *decoder, const MegaEncoded *encoded,
                            const MegaNpy *previous, int number)
{
    size_t vocab = (size_t)mega_model_vocab_size(golden->model);
    size_t length = previous->elements, source = mega_encoded_length(encoded);
    float *logits = malloc(vocab * sizeof *logits), *all = malloc(length * vocab * sizeof *all);
    float *attention = malloc(length * source * sizeof *attention);
    MegaError err = {0};
    char name[64];
    assert_int_equal(mega_decoder_begin(decoder, &encoded, 1, &err), 0);
    for (size_t t = 0; t < length; t++) {
        assert_int_equal(mega_decoder_step(decoder, &previous->i32[t], logits, &err), 0);
        memcpy(all + t * vocab, logits, vocab * sizeof *logits);
        memcpy(attention + t * source, mega_decoder_attention(decoder, 0), source * sizeof(float));
    }
    snprintf(name, sizeof name, "out.%d.logits", number);
    golden_compare(golden, name, all, length, vocab, NULL);
    snprintf(name, sizeof name, "out.%d.attn", number);
    golden_compare(golden, name, attention, length, source, NULL);
    free(attention);
    free(logits);
    free(all);
}

static bool check_pair(Golden *golden, MegaSession *session, int number)
{
    MegaNpy source, previous;
    MegaEncoded *encoded;
    MegaError err = {0};
    Watch watch = {.golden = golden};
    char name[64];
    size_t vocab = (size_t)mega_model_vocab_size(golden->model);
    snprintf(name, sizeof name, "in.%d.src", number);
    if (!golden_read(golden, name, &source))
        return false;
    snprintf(name, sizeof name, "in.%d.prev", number);
    assert_true(golden_read(golden, name, &previous));
    snprintf(watch.debug, sizeof watch.debug, "dbg.%d", number);
    mega_session_set_tap(session, watch_stage, &watch);
    MegaInput input = {.kind = MEGA_INPUT_TOKENS, .tokens = source.i32, .length = source.elements};
    if (mega_session_encode(session, &input, &encoded, &err))
        fail_msg("%s: %s", golden->name, err.text);
    snprintf(name, sizeof name, "out.%d.encoder", number);
    golden_compare(golden, name, mega_encoded_states(encoded), mega_encoded_length(encoded),
                   (size_t)mega_model_config(golden->model)->encoder.width, NULL);

    MegaDecoder *decoder = new_decoder(session, &(MegaDecoderOptions){.truncate = true});
    float *logits = malloc(previous.elements * vocab * sizeof *logits);
    const MegaEncoded *one = encoded;
    if (mega_decoder_begin(decoder, &one, 1, &err) ||
        mega_decoder_feed(decoder, previous.i32, previous.elements, logits, &err))
        fail_msg("%s: %s", golden->name, err.text);
    mega_session_set_tap(session, NULL, NULL);
    snprintf(name, sizeof name, "out.%d.logits", number);
    golden_compare(golden, name, logits, previous.elements, vocab, NULL);
    check_attention(golden, decoder, encoded, &previous, number);
    free(logits);
    mega_decoder_free(decoder);
    mega_encoded_free(encoded);
    mega_npy_free(&source);
    mega_npy_free(&previous);
    return true;
}

static void check_translator(Golden *golden, MegaSession *session)
{
    int number = 0;
    while (check_pair(golden, session, number))
        number++;
    assert_true(number > 0);
}

/* ---- Language models ------------------------------------------------------------------------ */

static void log_softmax_rows(float *x, size_t rows, size_t columns)
{
    for (size_t row = 0; row < rows; row++)
        mega_log_softmax(x + row * columns, (int)columns, x + row * columns);
}

static void check_full(Golden *golden, MegaSession *session, const MegaNpy *input, int length)
{
    MegaDecoder *decoder = new_decoder(session, &(MegaDecoderOptions){.truncate = true});
    size_t vocab = (size_t)mega_model_vocab_size(golden->model), count = input->elements;
    float *out = malloc(count * vocab * sizeof *out);
    Watch watch = {.golden = golden};
    MegaError err = {0};
    char name[64];
    snprintf(watch.debug, sizeof watch.debug, "dbg.L%d", length);
    mega_session_set_tap(session, watch_stage, &watch);
    if (mega_decoder_begin(decoder, NULL, 1, &err) ||
        mega_decoder_feed(decoder, input->i32, count, out, &err))
        fail_msg("%s: %s", golden->name, err.text);
    mega_session_set_tap(session, NULL, NULL);
    snprintf(name, sizeof name, "L%d.logits", length);
    golden_compare(golden, name, out, count, vocab, NULL);
    log_softmax_rows(out, count, vocab);
    snprintf(name, sizeof name, "L%d.logprobs", length);
    golden_compare(golden, name, out, count, vocab, NULL);
    free(out);
    mega_decoder_free(decoder);
}

/* Log-probabilities of the targets, fed `piece` tokens at a time. */
static void check_targets(Golden *golden, MegaSession *session, const MegaDecoderOptions *options,
                          const MegaNpy *input, size_t piece, const char *name)
{
    char target_name[64];
    MegaNpy targets, expected;
    MegaError err = {0};
    size_t count = input->elements;
    if (!golden_read(golden, name, &expected))
        return;
    mega_npy_free(&expected);
    snprintf(target_name, sizeof target_name, "L%zu.target", count);
    assert_true(golden_read(golden, target_name, &targets));
    MegaDecoder *decoder = new_decoder(session, options);
    float *logprobs = malloc(count * sizeof *logprobs);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, &err), 0);
    for (size_t done = 0; done < count; done += piece) {
        size_t now = count - done < piece ? count - done : piece;
        if (mega_decoder_score(decoder, input->i32 + done, targets.i32 + done, now, logprobs + done,
                               &err))
            fail_msg("%s: %s: %s", golden->name, name, err.text);
    }
    golden_compare(golden, name, logprobs, count, 1, NULL);
    free(logprobs);
    mega_decoder_free(decoder);
    mega_npy_free(&targets);
}

static void check_length(Golden *golden, MegaSession *session, int length)
{
    const int pieces[] = {1, 7, 8, 16, 32, 48, 64, 128}, chunks[] = {-1, 8, 16, 24, 32, 48, 64, 128};
    MegaDecoderOptions plain = {0}, full = {.truncate = true};
    MegaNpy input;
    char name[64];
    snprintf(name, sizeof name, "L%d.input", length);
    if (!golden_read(golden, name, &input))
        return;
    check_full(golden, session, &input, length);
    snprintf(name, sizeof name, "L%d.target_logprobs", length);
    check_targets(golden, session, &full, &input, 5, name);
    check_targets(golden, session, &full, &input, 1000000, name);
    snprintf(name, sizeof name, "L%d.logprobs_incremental", length);
    check_targets(golden, session, &plain, &input, 1, name);
    check_targets(golden, session, &plain, &input, 1000000, name);
    for (size_t i = 0; i < sizeof pieces / sizeof pieces[0]; i++) {
        snprintf(name, sizeof name, "L%d.logprobs_pieces%d", length, pieces[i]);
        check_targets(golden, session, &plain, &input, (size_t)pieces[i], name);
    }
    for (size_t i = 0; i < sizeof chunks / sizeof chunks[0]; i++) {
        MegaDecoderOptions options = {.truncate = true, .chunk = chunks[i]};
        snprintf(name, sizeof name, "L%d.target_logprobs_chunk%d", length, chunks[i]);
        if (chunks[i] < 0)
            snprintf(name, sizeof name, "L%d.target_logprobs_chunknone", length);
        check_targets(golden, session, &options, &input, 1000000, name);
    }
    mega_npy_free(&input);
}

static int best_token(const float *logits, int vocab, int banned)
{
    int best = -1;
    for (int i = 0; i < vocab; i++)
        if (i != banned && (best < 0 || logits[i] > logits[best]))
            best = i;
    return best;
}

static void check_greedy(Golden *golden, MegaSession *session)
{
    MegaNpy prompt, tokens;
    MegaError err = {0};
    int vocab = mega_model_vocab_size(golden->model);
    if (!golden_read(golden, "greedy.prompt", &prompt))
        return;
    assert_true(golden_read(golden, "greedy.tokens", &tokens));
    MegaDecoder *decoder = new_decoder(session, NULL);
    float *logits = malloc((size_t)vocab * prompt.elements * sizeof *logits);
    assert_int_equal(mega_decoder_begin(decoder, NULL, 1, &err), 0);
    assert_int_equal(mega_decoder_feed(decoder, prompt.i32, prompt.elements, logits, &err), 0);
    int next = best_token(logits + (prompt.elements - 1) * (size_t)vocab, vocab, 1);
    for (size_t i = 0; i < tokens.elements; i++) {
        assert_int_equal(next, tokens.i32[i]);
        assert_int_equal(mega_decoder_step(decoder, &next, logits, &err), 0);
        next = best_token(logits, vocab, 1);
    }
    golden->compared++;
    free(logits);
    mega_decoder_free(decoder);
    mega_npy_free(&prompt);
    mega_npy_free(&tokens);
}

static void check_language_model(Golden *golden, MegaSession *session)
{
    for (int length = 1; length <= 4096; length++)
        check_length(golden, session, length);
    check_greedy(golden, session);
}

/* ---- Both ----------------------------------------------------------------------------------- */

static const char *const translators[] = {"mt", NULL}, *const language_models[] = {"lm", NULL};

static void committed_fixtures(void **state)
{
    (void)state;
    golden_committed(translators, check_translator);
    golden_committed(language_models, check_language_model);
}

static void all_fixtures(void **state)
{
    (void)state;
    golden_all(translators, check_translator);
    golden_all(language_models, check_language_model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_fixtures),
        cmocka_unit_test(all_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
