/*
 * test_going_on.c - objects stay usable after a call that ran out of memory. For every object, a
 * script of calls runs once undisturbed, then once for every allocation of every call, which fails.
 * The call must report that. It is repeated, the other calls follow, and the results are the same
 * bits.
 *
 * The linker redirects the allocations of the library to this file (Makefile, -Wl,--wrap).
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "tests/unit/support.h"

#include "formats/mega/mega_file.h"
#include "formats/text/tokenizer.h"
#include "src/encode/session.h"
#include "src/pipeline/input.h"

/* ---- Allocations that fail ------------------------------------------------------------------ */

static long left = -1; /* allocations until one fails; -1: all succeed */
static long allocations;

void *__real_malloc(size_t size);
void *__real_calloc(size_t count, size_t size);
void *__real_realloc(void *memory, size_t size);
void *__real_aligned_alloc(size_t alignment, size_t size);
void *__wrap_malloc(size_t size);
void *__wrap_calloc(size_t count, size_t size);
void *__wrap_realloc(void *memory, size_t size);
void *__wrap_aligned_alloc(size_t alignment, size_t size);

static bool fails(void)
{
    allocations++;
    return left >= 0 && left-- == 0;
}

void *__wrap_malloc(size_t size)
{
    return fails() ? NULL : __real_malloc(size);
}

void *__wrap_calloc(size_t count, size_t size)
{
    return fails() ? NULL : __real_calloc(count, size);
}

void *__wrap_realloc(void *memory, size_t size)
{
    return fails() ? NULL : __real_realloc(memory, size);
}

void *__wrap_aligned_alloc(size_t alignment, size_t size)
{
    return fails() ? NULL : __real_aligned_alloc(alignment, size);
}

/* ---- Scripts -------------------------------------------------------------------------------- */

#define MOST_CALLS 200
#define MOST_LOGITS 2048

/* The objects that the calls of all scripts use, and a digest of all their results. */
typedef struct World {
    MegaModel *model;
    MegaSession *session;
    MegaDecoder *decoder;
    MegaEncoded *encoded[2];
    MegaSampler *sampler;
    MegaMeta *meta;
    MegaWriter *writer;
    MegaTokenizer *tokenizer;
    MegaInputReader *reader;
    float logits[MOST_LOGITS];
    uint64_t digest;
} World;

typedef struct Script {
    const char *name;
    int calls;
    int (*call)(World *world, int number, MegaError *err);
    MegaConfig config; /* of the model */
    bool given;        /* the model exists before the first call */
    bool refuses;      /* after a failure the object may refuse all further calls */
} Script;

static const char *const path = scratch_path;

static void digest(World *world, const void *data, size_t size)
{
    const uint8_t *bytes = data;
    for (size_t i = 0; i < size; i++)
        world->digest = (world->digest ^ bytes[i]) * 0x100000001b3u;
}

static void end_world(World *world)
{
    mega_decoder_free(world->decoder);
    mega_encoded_free(world->encoded[0]);
    mega_encoded_free(world->encoded[1]);
    mega_sampler_free(world->sampler);
    mega_session_free(world->session);
    mega_model_free(world->model);
    mega_tokenizer_free(world->tokenizer);
    mega_input_reader_free(world->reader);
    mega_writer_free(world->writer);
    mega_meta_free(world->meta);
}

/* Runs a script in which allocation number `failing` of call number `armed` fails; -1: none fails.
 * counts [calls] receives the number of allocations in each call. */
static uint64_t run_script(const Script *script, int armed, long failing, long *counts)
{
    World world = {.digest = 0xcbf29ce484222325u};
    Random random = {77};
    bool failed = false;
    if (script->given)
        world.model = random_model(&script->config, &random);
    for (int number = 0; number < script->calls; number++) {
        MegaError err = {0};
        allocations = 0;
        left = number == armed ? failing : -1;
        int code = script->call(&world, number, &err);
        left = -1;
        if (counts)
            counts[number] = allocations;
        if (number == armed && code) {
            failed = true;
            if (code != MEGA_ERR_MEMORY || !err.text[0])
                fail_msg("%s: call %d, allocation %ld: code %d, '%s'", script->name, number,
                         failing, code, err.text);
            code = script->call(&world, number, &err);
        }
        if (code && !(failed && script->refuses))
            fail_msg("%s: call %d after allocation %ld of call %d failed: %s", script->name, number,
                     failing, armed, err.text);
    }
    end_world(&world);
    return failed && script->refuses ? 0 : world.digest;
}

static void go_on(const Script *script)
{
    long counts[MOST_CALLS], total = 0;
    uint64_t expected = run_script(script, -1, -1, counts);
    for (int armed = 0; armed < script->calls; armed++)
        for (long failing = 0; failing < counts[armed]; failing++, total++) {
            uint64_t got = run_script(script, armed, failing, NULL);
            if (got != expected && !(script->refuses && got == 0))
                fail_msg("%s: other results after allocation %ld of call %d failed", script->name,
                         failing, armed);
        }
    if (total < 3)
        fail_msg("%s: only %ld allocations were seen", script->name, total);
}

/* ---- Models --------------------------------------------------------------------------------- */

#define VOCAB 30

static MegaConfig language_model(MegaBiasKind bias, int truncation)
{
    MegaConfig config = small_config();
    config.task = MEGA_TASK_GENERATE;
    config.decoder = config.encoder;
    config.decoder.bidirectional = false;
    mega_gated_of(&config.decoder)->bias = bias;
    mega_gated_of(&config.decoder)->chunk = 0;
    mega_gated_of(&config.decoder)->truncation = truncation;
    config.target = (MegaTargetConfig){
        .vocab = VOCAB, .pad = 1, .eos = 2, .unk = 3, .max_positions = 300, .cross_positions = 300};
    config.target.input = config.target.output =
        (MegaClusters){.count = 1, .end = {VOCAB}, .width = {config.decoder.width}};
    return config;
}

static MegaConfig translator(MegaBiasKind bias)
{
    MegaConfig config = language_model(bias, 0);
    config.task = MEGA_TASK_TRANSLATE;
    return config;
}

static int open_session(World *world, MegaError *err)
{
    return mega_session_new(&world->session, world->model, &(MegaSessionOptions){.threads = 1},
                            err);
}

static MegaInput source_of(int length)
{
    static int32_t tokens[260];
    for (int i = 0; i < 260; i++)
        tokens[i] = 4 + i * 7 % (VOCAB - 4);
    return (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = (size_t)length};
}

/* ---- Decoders ------------------------------------------------------------------------------- */

static int begin_decoder(World *world, const MegaEncoded *source, int count, MegaError *err)
{
    const MegaEncoded *sources[] = {source, source, source};
    return mega_decoder_begin(world->decoder, source ? sources : NULL, count, err);
}

static int step_decoder(World *world, int number, MegaError *err)
{
    const int32_t tokens[] = {4 + number % 20, 5 + number % 20, 6 + number % 20};
    int code = mega_decoder_step(world->decoder, tokens, world->logits, err);
    if (!code)
        digest(world, world->logits,
               (size_t)mega_decoder_live(world->decoder) * VOCAB * sizeof(float));
    return code;
}

/* Short sequences and sources come first, then long ones. Sequences are reordered in between. */
static int decoder_call(World *world, int number, MegaError *err)
{
    bool has_source = mega_model_task(world->model) == MEGA_TASK_TRANSLATE;
    const MegaInput inputs[2] = {source_of(3), source_of(250)};
    if (number == 0)
        return open_session(world, err);
    if (number == 1 || number == 2)
        return has_source ? mega_session_encode(world->session, &inputs[number - 1],
                                                &world->encoded[number - 1], err)
                          : 0;
    if (number == 3)
        return mega_decoder_new(&world->decoder, world->session,
                                &(MegaDecoderOptions){.sequences = 3}, err);
    if (number == 4)
        return begin_decoder(world, world->encoded[0], 3, err);
    if (number == 20)
        return begin_decoder(world, world->encoded[1], 2, err);
    if (number % 7 == 3)
        return mega_decoder_select(world->decoder, (int[]){1, 0, 1}, 3, err);
    return step_decoder(world, number, err);
}

/* Runs one sequence with a history of the EMA and blocks of tokens. */
static int block_call(World *world, int number, MegaError *err)
{
    MegaInput text = source_of(250);
    MegaDecoderOptions options = {.truncate = true};
    if (number == 0)
        return open_session(world, err);
    if (number == 1)
        return mega_decoder_new(&world->decoder, world->session, &options, err);
    if (number == 2)
        return begin_decoder(world, NULL, 1, err);
    if (number % 2)
        return step_decoder(world, number, err);
    int code =
        mega_decoder_score(world->decoder, text.tokens, text.tokens + 1, 40, world->logits, err);
    if (!code)
        digest(world, world->logits, 40 * sizeof(float));
    return code;
}

static void decoders_go_on(void **state)
{
    (void)state;
    for (MegaBiasKind bias = MEGA_BIAS_SIMPLE; bias <= MEGA_BIAS_ROTARY; bias++) {
        go_on(&(Script){"language model", 120, decoder_call, language_model(bias, 0), true, false});
        go_on(&(Script){"translator", 120, decoder_call, translator(bias), true, false});
        go_on(&(Script){"blocks", 13, block_call, language_model(bias, 100), true, false});
    }
}

/* ---- Sessions, searches, samplers ----------------------------------------------------------- */

static int classify_call(World *world, int number, MegaError *err)
{
    MegaInput input = source_of((const int[]){1, 3, 250, 3, 120, 251}[number]);
    if (number == 0)
        return open_session(world, err);
    int code = mega_session_classify(world->session, &input, 1, world->logits, err);
    if (!code)
        digest(world, world->logits, (size_t)mega_model_class_count(world->model) * sizeof(float));
    return code;
}

static void sessions_go_on(void **state)
{
    MegaConfig simple = small_config(), rotary = simple;
    (void)state;
    mega_gated_of(&rotary.encoder)->bias = MEGA_BIAS_ROTARY;
    mega_gated_of(&rotary.encoder)->chunk = 16;
    go_on(&(Script){"classifier", 6, classify_call, simple, true, false});
    go_on(&(Script){"classifier with chunks", 6, classify_call, rotary, true, false});
}

static int search_call(World *world, int number, MegaError *err)
{
    MegaInput sources[2] = {source_of(5), source_of(40)};
    MegaTranslation out[2];
    MegaSearchOptions options = mega_search_defaults();
    if (number == 0)
        return open_session(world, err);
    options.beam = 3;
    options.max_len_b = number == 1 ? 5 : 70;
    options.min_len = options.max_len_b - 1;
    options.alignments = number == 1;
    int code = mega_session_translate(world->session, sources, 2, &options, out, err);
    for (int i = 0; i < 2 && !code; i++) {
        for (int h = 0; h < out[i].count; h++)
            digest(world, out[i].hypotheses[h].scores, out[i].hypotheses[h].length * sizeof(float));
        mega_translation_free(&out[i]);
    }
    return code;
}

static int sampler_call(World *world, int number, MegaError *err)
{
    if (number == 0)
        return mega_sampler_new(&world->sampler, world->model, NULL, err);
    for (int i = 0; i < VOCAB; i++)
        world->logits[i] = (float)(i * number % 11);
    int32_t token = mega_sampler_next(world->sampler, world->logits);
    digest(world, &token, sizeof token);
    return 0;
}

static void searches_go_on(void **state)
{
    (void)state;
    go_on(&(Script){"search", 3, search_call, translator(MEGA_BIAS_ROTARY), true, false});
    go_on(&(Script){"sampler", 4, sampler_call, language_model(MEGA_BIAS_SIMPLE, 0), true, false});
}

/* ---- Files and metadata --------------------------------------------------------------------- */

static int open_call(World *world, int number, MegaError *err)
{
    if (number == 1)
        return open_session(world, err);
    if (number == 2)
        return classify_call(world, number, err);
    return mega_model_open(&world->model, path, err);
}

static void models_go_on(void **state)
{
    MegaConfig config = small_config();
    Random random = {5};
    (void)state;
    for (int compress = 0; compress < 2; compress++) {
        random_model_file(path, &config, &(ModelTweak){.compress = compress, .dtype = MEGA_F16},
                          &random);
        go_on(&(Script){"model", 3, open_call, config, false, false});
    }
}

static int meta_call(World *world, int number, MegaError *err)
{
    char key[32];
    uint8_t *bytes = NULL;
    size_t size = 0;
    if (number == 0) {
        world->meta = mega_meta_new();
        return world->meta ? 0 : mega_fail(err, MEGA_ERR_MEMORY, "no memory");
    }
    snprintf(key, sizeof key, "key.%d", number);
    int code = number % 3 == 0   ? mega_meta_set_int(world->meta, key, number)
               : number % 3 == 1 ? mega_meta_set_string(world->meta, key, key)
                                 : mega_meta_set_string(world->meta, "again", key);
    if (code)
        return mega_fail(err, code, "no memory for a value");
    code = mega_meta_encode(world->meta, &bytes, &size, err);
    if (!code && number == 99)
        digest(world, bytes, size);
    free(bytes);
    return code;
}

/* After a tensor could not be written, the file must not appear as if it were complete. */
static int writer_call(World *world, int number, MegaError *err)
{
    static const float numbers[64 * 40];
    static const MegaTensorDecl decls[] = {{"a", MEGA_F32, 2, {64, 40}, -1, true},
                                           {"b", MEGA_F32, 1, {7}, -1, false}};
    int code = 0;
    if (number == 0)
        return meta_call(world, 0, err);
    if (number == 1)
        return mega_writer_new(&world->writer, path, world->meta, decls, 2, false, err);
    if (number == 2 || number == 3)
        code = mega_writer_tensor(world->writer, numbers,
                                  number == 2 ? sizeof numbers : 7 * sizeof *numbers, err);
    else if ((code = mega_writer_finish(world->writer, err)) == 0) {
        MegaFile *file;
        left = -1;
        assert_int_equal(mega_file_open(&file, path, err), 0);
        assert_int_equal(mega_file_verify(file, err), 0);
        mega_file_close(file);
    }
    return code;
}

static int tokenizer_call(World *world, int number, MegaError *err)
{
    static const char *const symbols[] = {"<s>", "<pad>", "</s>", "<unk>", "a", "b", "lo", "w</w>"};
    static const char *const codes[] = {"l o", "lo w</w>"};
    static const char text[] = "low a b \"low\".";
    MegaBuffer out = {0};
    int32_t *ids = NULL;
    size_t count = 0;
    if (number == 0) {
        int code = meta_call(world, 0, err);
        if (code || mega_meta_set_strings(world->meta, "vocab.symbols", symbols, 8) ||
            mega_meta_set_strings(world->meta, "bpe.codes", codes, 2) ||
            mega_meta_set_string(world->meta, "bpe.version", "0.2") ||
            mega_meta_set_string(world->meta, "text.unit", "symbols") ||
            mega_meta_set_int(world->meta, "text.cls", -1) ||
            mega_meta_set_int(world->meta, "text.eos", 2) ||
            mega_meta_set_int(world->meta, "text.unk", 3) ||
            mega_meta_set_string(world->meta, "text.tokenizer", "moses") ||
            mega_meta_set_string(world->meta, "text.target_language", "en")) {
            mega_meta_free(world->meta);
            world->meta = NULL;
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the metadata");
        }
        return 0;
    }
    if (number == 1)
        return mega_tokenizer_new(&world->tokenizer, world->meta, MEGA_TOKENIZER_TARGET, err);
    int code =
        mega_tokenizer_encode(world->tokenizer, text, sizeof text - 1, false, &ids, &count, err);
    if (!code)
        code = mega_tokenizer_decode(world->tokenizer, ids, count, false, &out, err);
    if (!code) {
        digest(world, ids, count * sizeof *ids);
        digest(world, out.data, out.size);
    }
    free(ids);
    mega_buffer_free(&out);
    return code;
}

static int reader_call(World *world, int number, MegaError *err)
{
    MegaPrepared input = {0};
    if (number == 0)
        return mega_input_reader_new(&world->reader, world->model,
                                     &(MegaPipelineOptions){.ids = true}, err);
    int code = mega_input_reader_open(world->reader, path, NULL, err); /* an error ends the path */
    if (!code)
        code = mega_input_reader_next(world->reader, &input, err);
    if (code > 0)
        digest(world, input.views[0].tokens, input.views[0].length * sizeof(int32_t));
    mega_prepared_free(&input);
    return code > 0 ? 0 : code;
}

static void files_go_on(void **state)
{
    MegaConfig none = small_config();
    (void)state;
    FILE *ids = fopen(path, "w");
    assert_non_null(ids);
    for (int i = 0; i < 3000; i++)
        fprintf(ids, "%d ", 4 + i % 20);
    fclose(ids);
    go_on(&(Script){"input reader", 3, reader_call, none, true, false});
    go_on(&(Script){"metadata", 100, meta_call, none, false, false});
    go_on(&(Script){"writer", 5, writer_call, none, false, true});
    go_on(&(Script){"tokenizer", 4, tokenizer_call, none, false, false});
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(decoders_go_on), cmocka_unit_test(sessions_go_on),
        cmocka_unit_test(searches_go_on), cmocka_unit_test(models_go_on),
        cmocka_unit_test(files_go_on),
    };
    return cmocka_run_group_tests(tests, make_scratch_file, remove_scratch_file);
}
