/*
 * test_memory.c - memory limits: the ledger counts as much as is allocated, a limit holds while a
 * model is opened and while it is used, and a small file that needs much memory is refused.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "tests/unit/support.h"

#include "formats/mega/mega_file.h"
#include "src/encode/session.h"
#include "src/pipeline/input.h"

static const char *const path = scratch_path;

/* ---- Counted and real memory ---------------------------------------------------------------- */

/* Returns the value of a line of /proc/self/status in bytes. */
static double status_of(const char *name)
{
    char line[256];
    double kibibytes = 0;
    FILE *status = fopen("/proc/self/status", "r");
    size_t length = strlen(name);
    while (status && fgets(line, sizeof line, status))
        if (strncmp(line, name, length) == 0 && line[length] == ':')
            kibibytes = atof(line + length + 1);
    if (status)
        fclose(status);
    return 1024 * kibibytes;
}

static MegaConfig wide_config(MegaTask task)
{
    MegaConfig config = small_config();
    config.task = task;
    config.encoder.layers = 2;
    config.encoder.width = 64;
    mega_gated_of(&config.encoder)->hidden = 256;
    mega_gated_of(&config.encoder)->zdim = 32;
    mega_gated_of(&config.encoder)->bias = MEGA_BIAS_ROTARY;
    mega_gated_of(&config.encoder)->chunk = 16;
    mega_gated_of(&config.encoder)->truncation = 0;
    config.decoder = config.encoder;
    config.decoder.bidirectional = false;
    mega_gated_of(&config.decoder)->chunk = 0;
    config.decoder.layers = 8; /* one of which at a time is copied */
    mega_gated_of(&config.decoder)->hidden = 64;
    config.target = (MegaTargetConfig){.vocab = 30, .pad = 1, .eos = 2, .unk = 3,
                                       .max_positions = 1000, .cross_positions = 1000};
    config.target.input = config.target.output =
        (MegaClusters){.count = 1, .end = {30}, .width = {config.decoder.width}};
    return config;
}

static MegaInput tokens_of(size_t length)
{
    /* is not freed, since the process ends with the test */
    int32_t *tokens = malloc(length * sizeof *tokens);
    for (size_t i = 0; tokens && i < length; i++)
        tokens[i] = 4 + (int32_t)(i % 20);
    return (MegaInput){.kind = MEGA_INPUT_TOKENS, .tokens = tokens, .length = length};
}

static int long_input(MegaSession *session, MegaError *err)
{
    MegaInput input = tokens_of(30000);
    float logits[64];
    return mega_session_classify(session, &input, 1, logits, err);
}

/* Decodes sequences whose states grow several times. */
static int many_sequences(MegaSession *session, MegaError *err)
{
    enum { SEQUENCES = 128, STEPS = 250 };
    static int32_t tokens[SEQUENCES];
    static float logits[SEQUENCES * 30];
    MegaDecoder *decoder;
    int code = mega_decoder_new(&decoder, session, &(MegaDecoderOptions){.sequences = SEQUENCES},
                                err);
    if (!code)
        code = mega_decoder_begin(decoder, NULL, SEQUENCES, err);
    for (int i = 0; i < STEPS && !code; i++)
        code = mega_decoder_step(decoder, tokens, logits, err);
    mega_decoder_free(decoder);
    return code;
}

static int long_sources(MegaSession *session, MegaError *err)
{
    MegaInput input = tokens_of(10000);
    MegaEncoded *encoded[3] = {NULL};
    int code = 0;
    for (int i = 0; i < 3 && !code; i++)
        code = mega_session_encode(session, &input, &encoded[i], err);
    for (int i = 0; i < 3; i++)
        mega_encoded_free(encoded[i]);
    return code;
}

/* Runs `use` in a process of its own, and compares the peak of that process with the ledger's. */
static void compare(const char *name, MegaTask task, int (*use)(MegaSession *, MegaError *))
{
    pid_t child = fork();
    if (child != 0) {
        int status = 0;
        assert_int_equal(waitpid(child, &status, 0), child);
        if (status != 0)
            fail_msg("%s: other memory was taken than counted", name);
        return;
    }
    Random random = {3};
    MegaConfig config = wide_config(task);
    MegaError err = {0};
    MegaSession *session;
    MegaModel *model = random_model(&config, &random);
    if (mega_session_new(&session, model, &(MegaSessionOptions){.threads = 1}, &err))
        _exit(2);
    FILE *reset = fopen("/proc/self/clear_refs", "w"); /* resets the peak */
    if (reset) {
        fputs("5", reset);
        fclose(reset);
    }
    double before = status_of("VmRSS");
    if (use(session, &err)) {
        fprintf(stderr, "%s\n", err.text);
        _exit(2);
    }
    double real = status_of("VmHWM") - before;
    double counted = (double)(mega_ledger_peak(session->ledger) - mega_model_memory(model));
    if (counted < 2e7 || fabs(real - counted) > 0.1 * counted) {
        fprintf(stderr, "%s: %.1f MB counted, %.1f MB taken\n", name, counted / 1e6, real / 1e6);
        _exit(1);
    }
    mega_session_free(session);
    mega_model_free(model);
    _exit(0);
}

static void counted_is_taken(void **state)
{
    (void)state;
    if (SANITIZED || access("/proc/self/clear_refs", W_OK) != 0)
        skip();
    compare("a long input", MEGA_TASK_CLASSIFY, long_input);
    compare("many sequences", MEGA_TASK_GENERATE, many_sequences);
    compare("long sources", MEGA_TASK_TRANSLATE, long_sources);
}

/* A refused call allocates nothing, and freed memory is available again. */
static void limits_are_kept(void **state)
{
    Random random = {3};
    MegaConfig config = wide_config(MEGA_TASK_TRANSLATE);
    MegaModel *model = random_model(&config, &random);
    MegaInput input = tokens_of(3000);
    MegaEncoded *encoded[20];
    MegaSession *session;
    MegaError err = {0};
    MegaTranslation out[1];
    MegaSearchOptions search = mega_search_defaults();
    uint64_t model_size = mega_model_memory(model);
    (void)state;
    MegaSessionOptions options = {.threads = 1, .max_memory = model_size + 40000000};
    assert_int_equal(mega_session_new(&session, model, &options, &err), 0);
    for (int round = 0; round < 2; round++) {
        int count = 0, code = 0;
        while (!code && count < 20)
            code = mega_session_encode(session, &input, &encoded[count++], &err);
        assert_int_equal(code, MEGA_ERR_LIMIT);
        assert_non_null(strstr(err.text, "an encoded source of 3000 tokens needs 4"));
        assert_true(count > 3);
        for (int i = 0; i < count - 1; i++)
            mega_encoded_free(encoded[i]);
        assert_true(mega_ledger_peak(session->ledger) <= options.max_memory);
    }
    search.beam = 1024;
    assert_int_equal(mega_session_translate(session, &input, 1, &search, out, &err),
                     MEGA_ERR_LIMIT);
    search.beam = 1;
    search.max_len_b = 5;
    assert_int_equal(mega_session_translate(session, &input, 1, &search, out, &err), 0);
    mega_translation_free(&out[0]);
    assert_int_equal(mega_session_encode(session, &input, &encoded[0], &err), 0);
    free((void *)input.tokens);
    mega_session_free(session);
    mega_encoded_free(encoded[0]); /* freed after its session */
    mega_model_free(model);
}

/* Memory that a caller has reported to a session is not available to the session. */
static void inputs_count(void **state)
{
    Random random = {4};
    MegaConfig config = wide_config(MEGA_TASK_CLASSIFY);
    MegaModel *model = random_model(&config, &random);
    MegaInput view = tokens_of(300);
    MegaPrepared input = {.views = {view}, .count = 1};
    MegaSession *session;
    MegaError err = {0};
    float *probabilities = malloc((size_t)mega_model_class_count(model) * sizeof *probabilities);
    (void)state;
    MegaSessionOptions options = {.threads = 1, .max_memory = mega_model_memory(model) + 40000000};
    assert_non_null(probabilities);
    assert_int_equal(mega_session_new(&session, model, &options, &err), 0);
    assert_int_equal(mega_prepared_run(&input, session, probabilities, &err), 0);
    const uint64_t left = mega_session_left(session);
    assert_true(left > 0 && left < 40000000);
    input.memory = left + 1;
    assert_int_equal(mega_prepared_run(&input, session, probabilities, &err),
                     MEGA_ERR_LIMIT);
    assert_non_null(strstr(err.text, "the input needs "));
    input.memory = left;
    assert_int_equal(mega_prepared_run(&input, session, probabilities, &err), 0);
    assert_int_equal(mega_session_left(session), left);
    assert_int_equal(mega_session_count(session, 0, left, "an array", &err), 0);
    assert_int_equal(mega_session_left(session), 0);
    MegaInput longer = tokens_of(3000); /* an input for which the session would have to grow */
    input = (MegaPrepared){.views = {longer}, .count = 1};
    assert_int_equal(mega_prepared_run(&input, session, probabilities, &err),
                     MEGA_ERR_LIMIT);
    free((void *)longer.tokens);
    free((void *)view.tokens);
    free(probabilities);
    mega_session_free(session);
    mega_model_free(model);
}

/* ---- Opening -------------------------------------------------------------------------------- */

typedef struct Declared {
    MegaTensorDecl list[64];
    char names[64][96];
    size_t count;
} Declared;

static int declare(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Declared *all = context;
    (void)err;
    MegaTensorDecl *decl = &all->list[all->count];
    snprintf(all->names[all->count], sizeof all->names[0], "%s", spec->name);
    *decl = (MegaTensorDecl){.name = all->names[all->count], .rank = spec->rank, .tied_to = -1};
    memcpy(decl->shape, spec->shape, sizeof decl->shape);
    all->count++;
    return 0;
}

/* Writes a compressed model of zeros. length is audio.length, or 0. */
static void write_zeros(const MegaConfig *config, int64_t length)
{
    static Declared all;
    MegaError err = {0};
    MegaWriter *writer;
    MegaMeta *meta = mega_meta_new();
    all.count = 0;
    assert_int_equal(mega_config_write(config, meta, &err), 0);
    if (length)
        assert_int_equal(mega_meta_set_int(meta, "audio.length", length), 0);
    assert_int_equal(mega_tensors_each(config, NULL, declare, &all, &err), 0);
    assert_int_equal(mega_writer_new(&writer, path, meta, all.list, all.count, true, &err), 0);
    for (size_t i = 0; i < all.count; i++) {
        uint64_t size = 0;
        assert_true(mega_dtype_bytes(MEGA_F32, all.list[i].shape, all.list[i].rank, &size));
        void *zeros = calloc(1, size);
        assert_int_equal(mega_writer_tensor(writer, zeros, size, &err), 0);
        free(zeros);
    }
    assert_int_equal(mega_writer_finish(writer, &err), 0);
    mega_writer_free(writer);
    mega_meta_free(meta);
}

static void expect_refusal(uint64_t max_memory, const char *sentence)
{
    MegaModel *model;
    MegaError err = {0};
    double before = status_of("VmHWM");
    assert_int_equal(mega_model_open_with(&model, path,
                                          &(MegaModelOptions){.max_memory = max_memory}, &err),
                     MEGA_ERR_LIMIT);
    assert_null(model);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' does not contain '%s'", err.text, sentence);
    if (!SANITIZED && status_of("VmHWM") > before + 2e7)
        fail_msg("refusing took %.1f MB", (status_of("VmHWM") - before) / 1e6);
}

static void small_files_do_not_take_much(void **state)
{
    MegaConfig config = small_config();
    MegaModel *model;
    MegaError err = {0};
    (void)state;
    config.encoder.width = 1;
    config.encoder.layers = 1;
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_PATCHES, .pad = -1, .patch = 2048,
                                     .channels = 3, .height = 2048, .width = 2048};
    write_zeros(&config, 0); /* one row of 50 MB, in a panel of sixteen rows */
    expect_refusal(0, "is trusted with");
    expect_refusal(100000000, "100.0 MB are allowed");
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_REAL, .pad = -1};
    write_zeros(&config, 80000000);
    expect_refusal(0, "is trusted with");
    expect_refusal(100000000, "an input of the model needs 320.0 MB");
    assert_int_equal(mega_model_open_with(&model, path,
                                          &(MegaModelOptions){.max_memory = 400000000}, &err), 0);
    mega_model_free(model);
    write_zeros(&config, 16000);
    assert_int_equal(mega_model_open(&model, path, &err), 0);
    mega_model_free(model);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(counted_is_taken),
        cmocka_unit_test(limits_are_kept),
        cmocka_unit_test(inputs_count),
        cmocka_unit_test(small_files_do_not_take_much),
    };
    return cmocka_run_group_tests(tests, make_scratch_file, remove_scratch_file);
}
