/*
 * test_golden_decoder.c - translators and language models of the original implementation: with
 * teacher forcing, stage by stage, and fed token by token and in pieces.
 */
#include "tests/unit/golden.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

/* The stages of the current input are compared with the arrays of this prefix: "dbg.4". */
typedef struct Watch {
    Golden *golden;
    char debug[32];
} Watch;

/* Maps "layer.0.ema" to "enc.layer0.ema", and "decoder.layer.1" to "dec.state2", since state0 is
 * the embedding. */
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
    else if (strcmp(stage, "positions") == 0)
        snprintf(out, size, "%s.enc.pos", watch->debug);
    else if (strcmp(stage, "target.positions") == 0)
        snprintf(out, size, "%s.%spos", watch->debug, side);
    else if (strcmp(stage, "decoder.features") == 0)
        snprintf(out, size, "%s.features", watch->debug);
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
    /* A sequence longer than a pass comes in several pieces; only a complete one is compared. */
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

static MegaSearchOptions search_options(const json_t *config)
{
    MegaSearchOptions options = mega_search_defaults();
    options.beam = (int)json_integer_value(json_object_get(config, "beam"));
    options.length_penalty = json_number_value(json_object_get(config, "lenpen"));
    options.max_len_a = json_number_value(json_object_get(config, "max_len_a"));
    options.max_len_b = (int)json_integer_value(json_object_get(config, "max_len_b"));
    options.min_len = (int)json_integer_value(json_object_get(config, "min_len"));
    options.no_repeat_ngram = (int)json_integer_value(json_object_get(config, "no_repeat_ngram"));
    options.unk_penalty = json_number_value(json_object_get(config, "unkpen"));
    options.temperature = json_number_value(json_object_get(config, "temperature"));
    options.unnormalized = json_is_true(json_object_get(config, "unnormalized"));
    options.alignments = true;
    return options;
}

/* Returns how far the score of a token may be off. Tiles know 16 bits of a factor (amx_tmpl.h), so
 * they get twice the tolerance of other kernels, which the fixtures allow: 1e-4, and 1e-4 of the
 * largest score or of 1. */
static double score_tolerance(const Golden *golden)
{
    return golden->in_tiles ? 2 * GOLDEN_TOLERANCE : GOLDEN_TOLERANCE;
}

static void check_hypothesis(const Golden *golden, const MegaHypothesis *got, size_t source_length,
                             const json_t *expected)
{
    const json_t *tokens = json_object_get(expected, "tokens");
    const json_t *scores = json_object_get(expected, "positional_scores");
    const json_t *places = json_object_get(expected, "attention_argmax");
    double score = json_number_value(json_object_get(expected, "score"));
    if (got->length != json_array_size(tokens))
        fail_msg("%s: %zu tokens, expected %zu", golden->name, got->length,
                 json_array_size(tokens));
    for (size_t i = 0; i < got->length; i++) {
        const float *attention = got->attention + i * source_length;
        size_t place = (size_t)json_integer_value(json_array_get(places, i));
        assert_int_equal(got->tokens[i], json_integer_value(json_array_get(tokens, i)));
        const double expected_score = json_number_value(json_array_get(scores, i));
        if (!(fabs(got->scores[i] - expected_score) <
              score_tolerance(golden) * fmax(1, fabs(expected_score))))
            fail_msg("%s: a token scores %.9g, expected %.9g", golden->name, (double)got->scores[i],
                     expected_score);
        for (size_t j = 0; j < source_length; j++)
            assert_true(attention[j] <= attention[place] + 1e-5f);
    }
    if (!(fabs(got->score - score) < 1e-4 * fmax(1, fabs(score))))
        fail_msg("%s: score %.9g, expected %.9g", golden->name, got->score, score);
}

static bool same_hypotheses(const MegaTranslation *a, const MegaTranslation *b)
{
    bool same = a->count == b->count;
    for (int i = 0; same && i < a->count; i++)
        same = a->hypotheses[i].length == b->hypotheses[i].length &&
               memcmp(a->hypotheses[i].tokens, b->hypotheses[i].tokens,
                      a->hypotheses[i].length * sizeof(int32_t)) == 0;
    return same;
}

/* Runs every search of generation.json. Each source alone must give the original's results, and all
 * together must give the same. */
static void check_search(Golden *golden, MegaSession *session, const json_t *entry)
{
    enum { MAX_SOURCES = 16 };
    MegaSearchOptions options = search_options(json_object_get(entry, "config"));
    const json_t *single = json_object_get(entry, "single");
    int count = (int)json_array_size(single);
    MegaNpy arrays[MAX_SOURCES];
    MegaInput sources[MAX_SOURCES];
    MegaTranslation alone[MAX_SOURCES], together[MAX_SOURCES];
    MegaError err = {0};
    assert_true(count > 0 && count <= MAX_SOURCES);
    for (int i = 0; i < count; i++) {
        const json_t *list = json_array_get(single, (size_t)i);
        char name[32];
        snprintf(name, sizeof name, "in.%d.src", i);
        assert_true(golden_read(golden, name, &arrays[i]));
        sources[i] = (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = arrays[i].i32,
                                 .length = arrays[i].elements};
        if (mega_session_translate(session, &sources[i], 1, &options, &alone[i], &err))
            fail_msg("%s: %s", golden->name, err.text);
        assert_true((size_t)alone[i].count >= json_array_size(list));
        for (size_t n = 0; n < json_array_size(list); n++)
            check_hypothesis(golden, &alone[i].hypotheses[n], alone[i].source_length,
                             json_array_get(list, n));
    }
    if (mega_session_translate(session, sources, count, &options, together, &err))
        fail_msg("%s: %s", golden->name, err.text);
    for (int i = 0; i < count; i++) {
        assert_true(same_hypotheses(&alone[i], &together[i]));
        mega_translation_free(&alone[i]);
        mega_translation_free(&together[i]);
        mega_npy_free(&arrays[i]);
    }
    golden->compared++;
}

static void check_translator(Golden *golden, MegaSession *session)
{
    char path[1024];
    int number = 0;
    while (check_pair(golden, session, number))
        number++;
    assert_true(number > 0);
    snprintf(path, sizeof path, "%s/generation.json", golden->folder);
    json_t *searches = json_load_file(path, 0, NULL);
    assert_true(json_array_size(searches) > 0);
    for (size_t i = 0; i < json_array_size(searches); i++)
        check_search(golden, session, json_array_get(searches, i));
    json_decref(searches);
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

/* Computes the log-probabilities of the targets, fed `piece` tokens at a time. */
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
    const int pieces[] = {1, 7, 8, 16, 32, 48, 64, 128};
    const int chunks[] = {-1, 8, 16, 24, 32, 48, 64, 128};
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

static const char *const translators[] = {"mt", "transformer/mt", NULL};
static const char *const language_models[] = {"lm", "transformer/lm", NULL};

static void committed_fixtures(void **state)
{
    (void)state;
    golden_committed(translators, check_translator);
    golden_committed(language_models, check_language_model);
}

/* Language models have no product that translators lack, and many more rows; the beam searches of
 * Transformers are left out where AddressSanitizer makes the tiles slow. test_golden and
 * test_golden_hub have encoders, and a language model. */
static void committed_fixtures_in_tiles(void **state)
{
    (void)state;
    golden_committed_in_tiles((const char *const[]){"mt", NULL}, check_translator);
#ifndef __SANITIZE_ADDRESS__
    golden_committed_in_tiles((const char *const[]){"transformer/mt", NULL}, check_translator);
#endif
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
        cmocka_unit_test(committed_fixtures_in_tiles),
        cmocka_unit_test(all_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
