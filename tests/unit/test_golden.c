/*
 * test_golden.c - converts checkpoints of the original implementation and compares with its
 * results, stage by stage: tests/fixtures, and all of the project's fixtures where they are at hand
 * ($MEGA_FIXTURES, else ../shared/fixtures). Bound of the fixtures: 1e-4 relative to the largest
 * expected value, and absolute.
 */
#include "support.h"

#include <dirent.h>
#include <jansson.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <sys/wait.h>
#include <unistd.h>

#include "npy.h"
#include "session.h"

#define TOLERANCE 1e-4

typedef struct Golden {
    char folder[512];
    const char *name;
    json_t *meta;
    MegaModel *model;
    size_t compared; /* arrays */
} Golden;

/* The running input's stages are compared with the arrays of these names. */
typedef struct Watch {
    Golden *golden;
    int input;        /* N of in.N and out.N */
    char debug[32];   /* prefix of its dbg arrays: "dbg.0" or "dbg.L23" */
} Watch;

static bool read_array(const Golden *golden, const char *name, MegaNpy *out)
{
    char path[1024];
    MegaError err = {0};
    snprintf(path, sizeof path, "%s/%s.npy", golden->folder, name);
    if (access(path, R_OK) != 0)
        return false;
    if (mega_npy_read(out, path, &err))
        fail_msg("%s", err.text);
    return true;
}

static void compare(Golden *golden, const char *name, const float *got, size_t got_rows,
                    size_t columns, const MegaNpy *positions)
{
    MegaNpy expected;
    if (!read_array(golden, name, &expected))
        return;
    assert_int_equal(expected.type, MEGA_NPY_F32);
    size_t rows = (size_t)(expected.elements / columns);
    assert_int_equal(rows * columns, expected.elements);
    double scale = 1;
    for (size_t i = 0; i < expected.elements; i++)
        scale = fmax(scale, fabs((double)expected.f32[i]));
    for (size_t r = 0; r < rows; r++) {
        size_t at = positions ? (size_t)positions->i32[r] : r;
        if (at >= got_rows && positions)
            continue; /* a padded position of the original */
        assert_true(at < got_rows);
        for (size_t c = 0; c < columns; c++) {
            double difference = fabs((double)got[at * columns + c] - expected.f32[r * columns + c]);
            if (!(difference <= TOLERANCE * scale))
                fail_msg("%s: %s[%zu][%zu] is %.9g, expected %.9g (largest %.3g)", golden->name,
                         name, at, c, (double)got[at * columns + c],
                         (double)expected.f32[r * columns + c], scale);
        }
    }
    golden->compared++;
    mega_npy_free(&expected);
}

/* "layer.0.ema" -> "layer0.ema", "layer.3" -> "layer3.out" */
static void debug_name(const char *stage, char *out, size_t size)
{
    char part[16] = "";
    int index;
    if (sscanf(stage, "layer.%d.%15s", &index, part) >= 1)
        snprintf(out, size, "layer%d.%s", index, part[0] ? part : "out");
    else
        snprintf(out, size, "%s", stage);
}

static void watch_stage(void *context, const char *stage, int number, const float *data,
                        size_t rows, size_t columns)
{
    const Watch *watch = context;
    char part[64], name[128];
    MegaNpy positions = {0};
    if (strcmp(stage, "pooled") == 0) {
        snprintf(name, sizeof name, number ? "out.%d.rep1" : "out.%d.rep", watch->input);
        compare(watch->golden, name, data, 1, columns, NULL);
        if (!mega_model_config(watch->golden->model)->head.layers) {
            snprintf(name, sizeof name, "out.%d.features", watch->input);
            compare(watch->golden, name, data, 1, columns, NULL);
        }
        return;
    }
    debug_name(stage, part, sizeof part);
    snprintf(name, sizeof name, "%s.positions", watch->debug);
    bool sampled = read_array(watch->golden, name, &positions);
    snprintf(name, sizeof name, "%s.%s", watch->debug, part);
    compare(watch->golden, name, data, rows, columns, sampled ? &positions : NULL);
    if (sampled)
        mega_npy_free(&positions);
}

static bool load_input(const Golden *golden, int number, const char *suffix, MegaNpy *array,
                       MegaInput *input)
{
    char name[64];
    snprintf(name, sizeof name, "in.%d.%s", number, suffix);
    if (!read_array(golden, name, array))
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
    if (tokens)
        snprintf(watch.debug, sizeof watch.debug, "dbg.L%zu", inputs[0].length);
    else
        snprintf(watch.debug, sizeof watch.debug, "dbg.%d", number);
    float *logits = calloc((size_t)mega_model_class_count(golden->model), sizeof *logits);
    assert_non_null(logits);
    mega_session_set_tap(session, watch_stage, &watch);
    if (mega_session_classify(session, inputs, count, logits, &err))
        fail_msg("%s: input %d: %s", golden->name, number, err.text);
    snprintf(name, sizeof name, "out.%d.logits", number);
    size_t before = golden->compared;
    compare(golden, name, logits, 1, (size_t)mega_model_class_count(golden->model), NULL);
    assert_int_equal(golden->compared, before + 1);
    free(logits);
    mega_npy_free(&arrays[0]);
    mega_npy_free(&arrays[1]);
}

static void convert(const Golden *golden, const char *out)
{
    const char *build = getenv("MEGA_BUILD");
    const char *checkpoint = json_string_value(json_object_get(golden->meta, "checkpoint"));
    char command[4096], dict[1024];
    snprintf(dict, sizeof dict, "%s/dict.txt", golden->folder);
    int n = snprintf(command, sizeof command,
                     "%s/mega-convert -q --force -o '%s' --config '%s/meta.json' '%s/%s'",
                     build ? build : "build", out, golden->folder, golden->folder, checkpoint);
    if (access(dict, R_OK) == 0)
        snprintf(command + n, sizeof command - (size_t)n, " --dict '%s'", dict);
    int status = system(command);
    if (!WIFEXITED(status) || WEXITSTATUS(status) != 0)
        fail_msg("%s: conversion failed: %s", golden->name, command);
}

static void check_case(Golden *golden)
{
    char model[] = "/tmp/mega-golden-XXXXXX";
    MegaError err = {0};
    MegaSession *session;
    int fd = mkstemp(model), number = 0;
    char name[1024];
    assert_true(fd >= 0);
    close(fd);
    convert(golden, model);
    if (mega_model_open(&golden->model, model, &err) ||
        mega_session_new(&session, golden->model, NULL, &err))
        fail_msg("%s: %s", golden->name, err.text);
    unlink(model);
    for (;; number++) {
        snprintf(name, sizeof name, "%s/out.%d.logits.npy", golden->folder, number);
        if (access(name, R_OK) != 0)
            break;
        check_input(golden, session, number);
    }
    assert_true(number > 0);
    printf("  %-34s %d inputs, %zu arrays equal\n", golden->name, number, golden->compared);
    mega_session_free(session);
    mega_model_free(golden->model);
}

static bool is_classifier(const json_t *meta)
{
    static const char *const kinds[] = {"lra_text", "lra_image", "sc_raw", "vision_mega"};
    const char *kind = json_string_value(json_object_get(meta, "kind"));
    for (size_t i = 0; kind && i < sizeof kinds / sizeof kinds[0]; i++)
        if (strcmp(kind, kinds[i]) == 0)
            return true;
    return false;
}

/* Every case below a folder; how many there were. */
static int check_folder(const char *root)
{
    struct dirent **entries;
    int count = scandir(root, &entries, NULL, alphasort), checked = 0;
    for (int i = 0; i < count; i++) {
        Golden golden = {.name = entries[i]->d_name};
        char path[1024];
        snprintf(golden.folder, sizeof golden.folder, "%s/%s", root, entries[i]->d_name);
        snprintf(path, sizeof path, "%s/meta.json", golden.folder);
        golden.meta = json_load_file(path, 0, NULL);
        if (golden.meta && is_classifier(golden.meta)) {
            check_case(&golden);
            checked++;
        }
        json_decref(golden.meta);
        free(entries[i]);
    }
    if (count >= 0)
        free(entries);
    return checked;
}

static void committed_fixtures(void **state)
{
    (void)state;
    assert_true(check_folder("tests/fixtures") > 0);
}

static void all_fixtures(void **state)
{
    const char *root = getenv("MEGA_FIXTURES") ? getenv("MEGA_FIXTURES") : "../shared/fixtures";
    (void)state;
    if (access(root, R_OK) != 0)
        skip();
    assert_true(check_folder(root) > 0);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(committed_fixtures),
        cmocka_unit_test(all_fixtures),
    };
    return cmocka_run_group_tests(tests, NULL, NULL);
}
