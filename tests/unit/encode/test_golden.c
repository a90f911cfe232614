/*
 * test_golden.c - compares classifiers of the original implementation, stage by stage.
 */
#include "tests/unit/golden.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/base/float_mode.h"

/* The stages of the current input are compared with the arrays of these names. */
typedef struct Watch {
    Golden *golden;
    int input;        /* N of in.N and out.N */
    char debug[32];   /* prefix of its dbg arrays: "dbg.0" or "dbg.L23" */
    bool first_only;  /* in a pair, they are those of the first text */
} Watch;

/* Maps "layer.0.ema" to "layer0.ema", and "layer.3" to "layer3.out". */
static void debug_name(const char *stage, char *out, size_t size)
{
    char part[16] = "";
    int index;
    if (strcmp(stage, "positions") == 0)
        snprintf(out, size, "pos");
    else if (sscanf(stage, "layer.%d.%15s", &index, part) >= 1)
        snprintf(out, size, "layer%d.%s", index, part[0] ? part : "out");
    else
        snprintf(out, size, "%s", stage);
}

/* Compares kernels [rows of C * features][lags] with the array that holds some of the lags. In a
 * pair the array is as long as the longer text. */
static void compare_kernels(const Watch *watch, const char *part, const float *kernels, size_t rows,
                            size_t taps)
{
    MegaNpy expected, lags;
    char name[128];
    snprintf(name, sizeof name, "%s.%s", watch->debug, part);
    if (!golden_read(watch->golden, name, &expected))
        return;
    snprintf(name, sizeof name, "%s.lags", watch->debug);
    assert_true(golden_read(watch->golden, name, &lags));
    assert_int_equal(expected.elements, rows * lags.elements);
    for (size_t row = 0; row < rows; row++)
        for (size_t i = 0; i < lags.elements && (size_t)lags.i32[i] < taps; i++) {
            const float got = kernels[row * taps + (size_t)lags.i32[i]];
            assert_float_equal(got, expected.f32[row * lags.elements + i], GOLDEN_TOLERANCE);
        }
    watch->golden->compared++;
    mega_npy_free(&expected);
    mega_npy_free(&lags);
}

static void watch_stage(void *context, const char *stage, int number, const float *data,
                        size_t rows, size_t columns)
{
    const Watch *watch = context;
    char part[64], name[128];
    MegaNpy positions = {0};
    assert_true((mega_float_mode() & MEGA_FLOAT_MODE) == MEGA_FLOAT_MODE);
    if (strcmp(stage, "pooled") == 0) {
        snprintf(name, sizeof name, number ? "out.%d.rep1" : "out.%d.rep", watch->input);
        golden_compare(watch->golden, name, data, 1, columns, NULL);
        if (!mega_model_config(watch->golden->model)->head.layers) {
            snprintf(name, sizeof name, "out.%d.features", watch->input);
            golden_compare(watch->golden, name, data, 1, columns, NULL);
        }
        return;
    }
    if (number > 0)
        return; /* of a pair, the arrays are those of the first input */
    debug_name(stage, part, sizeof part);
    if (number == 1 && watch->first_only)
        return;
    if (strstr(part, ".kernel")) {
        compare_kernels(watch, part, data, rows, columns);
        return;
    }
    snprintf(name, sizeof name, "%s.positions", watch->debug);
    bool sampled = golden_read(watch->golden, name, &positions);
    snprintf(name, sizeof name, "%s.%s", watch->debug, part);
    golden_compare(watch->golden, name, data, rows, columns, sampled ? &positions : NULL);
    if (sampled)
        mega_npy_free(&positions);
}

static bool load_input(const Golden *golden, int number, const char *suffix, MegaNpy *array,
                       MegaInput *input)
{
    char name[64];
    snprintf(name, sizeof name, "in.%d.%s", number, suffix);
    if (!golden_read(golden, name, array))
        return false;
    *input = (MegaInput){.length = array->elements};
    if (array->type == MEGA_NPY_I32) {
        input->kind = MEGA_INPUT_TOKENS;
        input->tokens = array->i32;
    } else {
        input->kind = array->rank == 3 ? MEGA_INPUT_IMAGE : MEGA_INPUT_SAMPLES;
        input->values = array->f32;
    }
    if (array->rank == 3) {
        input->channels = (int)array->shape[0];
        input->height = (int)array->shape[1];
        input->width = (int)array->shape[2];
    }
    return true;
}

static void check_input(Golden *golden, MegaSession *session, int number)
{
    MegaNpy arrays[2] = {{0}, {0}};
    MegaInput inputs[2];
    Watch watch = {.golden = golden, .input = number};
    MegaError err = {0};
    char name[64];
    int count = mega_model_input_count(golden->model);
    bool tokens = load_input(golden, number, "tokens", &arrays[0], &inputs[0]);
    if (!tokens)
        assert_true(load_input(golden, number, "values", &arrays[0], &inputs[0]));
    if (count == 2)
        assert_true(load_input(golden, number, "tokens1", &arrays[1], &inputs[1]));
    const char *kind = json_string_value(json_object_get(golden->meta, "kind"));
    watch.first_only = kind && strncmp(kind, "s4_", 3) == 0;
    if (tokens && !watch.first_only)
        snprintf(watch.debug, sizeof watch.debug, "dbg.L%zu", inputs[0].length);
    else
        snprintf(watch.debug, sizeof watch.debug, "dbg.%d", number);
    float *logits = calloc((size_t)mega_model_class_count(golden->model), sizeof *logits);
    assert_non_null(logits);
    mega_session_set_tap(session, watch_stage, &watch);
    if (mega_session_classify(session, inputs, count, logits, &err))
        fail_msg("%s: input %d: %s", golden->name, number, err.text);
    /* the logits of S4 in float32 have the noise of the original's kernels */
    snprintf(name, sizeof name, watch.first_only ? "out.%d.logits_f64" : "out.%d.logits", number);
    size_t before = golden->compared;
    golden_compare(golden, name, logits, 1, (size_t)mega_model_class_count(golden->model), NULL);
    assert_int_equal(golden->compared, before + 1);
    free(logits);
    mega_npy_free(&arrays[0]);
    mega_npy_free(&arrays[1]);
}

static void check_case(Golden *golden, MegaSession *session)
{
    char name[1024];
    int number = 0;
    for (;; number++) {
        snprintf(name, sizeof name, "%s/out.%d.logits.npy", golden->folder, number);
        if (access(name, R_OK) != 0)
            break;
        check_input(golden, session, number);
    }
    assert_true(number > 0);
}

static const char *const kinds[] = {"lra_text", "lra_image", "sc_raw", "vision_mega",
                                    "s4_lightning", "s4_example",
                                    "transformer/lra_text", "transformer/lra_image", NULL};

static void committed_fixtures(void **state)
{
    (void)state;
    golden_committed(kinds, check_case);
}

static void committed_fixtures_in_tiles(void **state)
{
    (void)state;
    golden_committed_in_tiles(kinds, check_case);
}

static void all_fixtures(void **state)
{
    (void)state;
    golden_all(kinds, check_case);
}

/* The kernels of layer 0 as a tap sees them. */
typedef struct Seen {
    float *kernels;
    size_t count;
} Seen;

static void keep_kernels(void *context, const char *stage, int input, const float *data,
                         size_t rows, size_t columns)
{
    Seen *seen = context;
    (void)input;
    if (strcmp(stage, "layer.0.kernel") != 0)
        return;
    free(seen->kernels);
    seen->count = rows * columns;
    seen->kernels = malloc(seen->count * sizeof *seen->kernels);
    assert_non_null(seen->kernels);
    memcpy(seen->kernels, data, seen->count * sizeof *data);
}

static void run_with_kernels(MegaSession *session, const MegaInput *input, float *logits,
                             Seen *seen)
{
    MegaError err = {0};
    mega_session_set_tap(session, keep_kernels, seen);
    if (mega_session_classify(session, input, 1, logits, &err))
        fail_msg("%s", err.text);
}

/* Which kernels a session keeps depends on the inputs that it has seen. No result depends on that,
 * nor on the number of threads. */
static void check_order(Golden *golden, MegaSession *session)
{
    const size_t classes = (size_t)mega_model_class_count(golden->model);
    MegaNpy array = {0};
    MegaInput input;
    if (!load_input(golden, 0, "tokens", &array, &input))
        assert_true(load_input(golden, 0, "values", &array, &input));
    assert_int_equal(mega_model_input_count(golden->model), 1);
    assert_int_not_equal(input.kind, MEGA_INPUT_IMAGE);
    const size_t all = input.length;
    const size_t lengths[] = {all - 1, all, all / 2, all / 2, all / 3 + 1, all, 5, all};
    float *got = calloc(2 * classes, sizeof *got), *expected = got + classes;
    assert_non_null(got);
    for (size_t i = 0; i < sizeof lengths / sizeof *lengths; i++, golden->compared++) {
        Seen seen = {0}, afresh = {0};
        const MegaSessionOptions options = {.threads = 1 + (int)i % 3};
        MegaSession *other;
        assert_int_equal(mega_session_new(&other, golden->model, &options, NULL), 0);
        input.length = lengths[i];
        run_with_kernels(session, &input, got, &seen);
        run_with_kernels(other, &input, expected, &afresh);
        assert_memory_equal(got, expected, classes * sizeof *got);
        assert_int_equal(seen.count, afresh.count);
        if (seen.count)
            assert_memory_equal(seen.kernels, afresh.kernels, seen.count * sizeof(float));
        mega_session_free(other);
        free(seen.kernels);
        free(afresh.kernels);
    }
    free(got);
    mega_npy_free(&array);
}

static void earlier_inputs_change_nothing(void **state)
{
    static const char *const s4[] = {"s4_lightning", "s4_example", NULL};
    (void)state;
    golden_committed(s4, check_order);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_fixtures),
        cmocka_unit_test(committed_fixtures_in_tiles),
        cmocka_unit_test(all_fixtures),
        cmocka_unit_test(earlier_inputs_change_nothing),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
