/*
 * support.c - see support.h.
 */
#include "tests/unit/support.h"

#include <dirent.h>
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

uint32_t random_bits(Random *random)
{
    random->state ^= random->state >> 12;
    random->state ^= random->state << 25;
    random->state ^= random->state >> 27;
    return (uint32_t)((random->state * 0x2545f4914f6cdd1dull) >> 32);
}

float random_uniform(Random *random, float low, float high)
{
    return low + (high - low) * ((float)(random_bits(random) >> 8) / 16777216.0f);
}

int random_int(Random *random, int low, int high)
{
    return low + (int)(random_bits(random) % (uint32_t)(high - low + 1));
}

float *random_floats(Random *random, size_t n, float low, float high)
{
    float *values = malloc((n + 1) * sizeof *values);
    assert_non_null(values);
    for (size_t i = 0; i < n; i++)
        values[i] = random_uniform(random, low, high);
    return values;
}

#define GUARD 16
#define GUARD_VALUE 12345.0f

float *guarded_floats(Random *random, size_t n, float low, float high)
{
    float *block = random_floats(random, n + 2 * GUARD, low, high);
    for (size_t i = 0; i < GUARD; i++)
        block[i] = block[GUARD + n + i] = GUARD_VALUE;
    return block + GUARD;
}

void release_floats(float *x, size_t n)
{
    for (size_t i = 0; i < GUARD; i++) {
        assert_true(x[i - GUARD] == GUARD_VALUE);
        assert_true(x[n + i] == GUARD_VALUE);
    }
    free(x - GUARD);
}

/* ---- Models --------------------------------------------------------------------------------- */

typedef struct Specs {
    MegaTensorSpec *items;
    size_t count;
} Specs;

static int collect(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Specs *specs = context;
    (void)err;
    specs->items = realloc(specs->items, (specs->count + 1) * sizeof *specs->items);
    assert_non_null(specs->items);
    specs->items[specs->count++] = *spec;
    return 0;
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* A product with a random matrix has about the size of its input; other tensors are of order
 * one. */
static float *random_tensor(const MegaTensorSpec *spec, Random *random)
{
    float size = 1.0f;
    if (spec->rank == 2 && ends_with(spec->name, "weight"))
        size = 1.5f / sqrtf((float)spec->shape[1]);
    if (ends_with(spec->name, "running_var"))
        return random_floats(random, spec->elements, 0.5f, 2.0f);
    return random_floats(random, spec->elements, -size, size);
}

/* Declares the tensors of the specs with the changes of the tweak, and sets *count. */
static MegaTensorDecl *declare(const Specs *specs, const ModelTweak *tweak, size_t *count)
{
    MegaTensorDecl *decls = calloc(specs->count + 1, sizeof *decls);
    assert_non_null(decls);
    *count = 0;
    for (size_t i = 0; i < specs->count; i++) {
        const MegaTensorSpec *spec = &specs->items[i];
        MegaTensorDecl *decl = &decls[*count];
        if (tweak->missing && strcmp(tweak->missing, spec->name) == 0)
            continue;
        *decl = (MegaTensorDecl){.name = spec->name, .dtype = tweak->dtype, .rank = spec->rank,
                                 .tied_to = -1, .panels = tweak->panels && spec->matrix};
        if (spec->exact || (mega_dtype_quantized(decl->dtype) && !spec->matrix))
            decl->dtype = MEGA_F32;
        memcpy(decl->shape, spec->shape, sizeof decl->shape);
        if (tweak->longer && strcmp(tweak->longer, spec->name) == 0)
            decl->shape[0]++;
        (*count)++;
    }
    if (tweak->extra)
        decls[(*count)++] =
            (MegaTensorDecl){.name = tweak->extra, .rank = 1, .shape = {3}, .tied_to = -1};
    return decls;
}

static int write_tensor(MegaWriter *writer, const MegaTensorDecl *decl, Random *random,
                        MegaError *err)
{
    MegaTensorSpec spec = {.rank = decl->rank, .elements = 1};
    snprintf(spec.name, sizeof spec.name, "%s", decl->name);
    for (int i = 0; i < decl->rank; i++) {
        spec.shape[i] = decl->shape[i];
        spec.elements *= decl->shape[i];
    }
    float *values = random_tensor(&spec, random);
    uint64_t size = 0, columns = spec.shape[spec.rank - 1], rows = spec.elements / columns;
    assert_true(mega_dtype_bytes(decl->dtype, spec.shape, spec.rank, &size));
    char *stored = malloc(size);
    assert_non_null(stored);
    for (uint64_t row = 0; row < rows; row++)
        mega_dtype_from_f32(decl->dtype, values + row * columns, columns,
                            stored + row * (size / rows));
    int code = mega_writer_tensor(writer, stored, size, err);
    free(stored);
    free(values);
    return code;
}

void random_model_file(const char *path, const MegaConfig *config, const ModelTweak *tweak,
                       Random *random)
{
    MegaError err = {0};
    Specs specs = {0};
    MegaWriter *writer = NULL;
    size_t count;
    MegaMeta *meta = mega_meta_new();
    assert_non_null(meta);
    if (mega_config_write(config, meta, &err))
        fail_msg("%s", err.text);
    mega_tensors_each(config, NULL, collect, &specs, &err);
    MegaTensorDecl *decls = declare(&specs, tweak, &count);
    int code = mega_writer_new(&writer, path, meta, decls, count, tweak->compress, &err);
    for (size_t i = 0; i < count && !code; i++)
        code = write_tensor(writer, &decls[i], random, &err);
    if (!code)
        code = mega_writer_finish(writer, &err);
    if (code)
        fail_msg("%s", err.text);
    mega_writer_free(writer);
    mega_meta_free(meta);
    free(decls);
    free(specs.items);
}

MegaModel *random_model(const MegaConfig *config, Random *random)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    ModelTweak tweak = {.compress = random_bits(random) & 1};
    char path[] = "/tmp/mega-test-XXXXXX";
    int fd = mkstemp(path);
    assert_true(fd >= 0);
    close(fd);
    random_model_file(path, config, &tweak, random);
    if (mega_model_open(&model, path, &err))
        fail_msg("%s", err.text);
    unlink(path);
    return model;
}

MegaConfig small_config(void)
{
    return (MegaConfig){
        .task = MEGA_TASK_CLASSIFY,
        .embed = {.kind = MEGA_EMBED_TOKENS, .vocab = 30, .pad = 1},
        .encoder = mega_with_gated((MegaStackConfig){.layers = 2,
                                                     .width = 12,
                                                     .ffn = 16,
                                                     .max_positions = 300,
                                                     .bidirectional = true,
                                                     .norm_affine = true,
                                                     .final_norm_affine = true,
                                                     .activation = MEGA_ACTIVATION_SILU},
                                   (MegaGatedConfig){.hidden = 20, .zdim = 6, .ndim = 3}),
        .head = {.layers = 1, .width = 10, .activation = MEGA_ACTIVATION_GELU, .classes = 5},
    };
}

void assert_config_refused(const MegaConfig *config, const char *part)
{
    MegaError err = {0};
    assert_int_equal(mega_config_check(config, &err), MEGA_ERR_MODEL);
    assert_says(&err, part);
}

void assert_says(const MegaError *err, const char *part)
{
    if (!strstr(err->text, part))
        fail_msg("'%s' does not contain '%s'", err->text, part);
}

/* ---- Files ---------------------------------------------------------------------------------- */

char scratch_path[] = "/tmp/mega-test-XXXXXX";

int make_scratch_file(void **state)
{
    (void)state;
    int fd = mkstemp(scratch_path);
    return fd < 0 ? -1 : close(fd);
}

int remove_scratch_file(void **state)
{
    (void)state;
    return unlink(scratch_path);
}

char scratch_folder[64];

int make_scratch_folder(void **state)
{
    (void)state;
    snprintf(scratch_folder, sizeof scratch_folder, "/tmp/mega-test-XXXXXX");
    return mkdtemp(scratch_folder) ? 0 : -1;
}

int remove_scratch_folder(void **state)
{
    (void)state;
    return rmdir(scratch_folder);
}

const char *path_in_folder(const char *name)
{
    static char path[128];
    snprintf(path, sizeof path, "%s/%s", scratch_folder, name);
    return path;
}

int count_files(const char *folder)
{
    int count = -2; /* "." and ".." */
    DIR *dir = opendir(folder);
    assert_non_null(dir);
    while (readdir(dir))
        count++;
    closedir(dir);
    return count;
}

/* ---- Comparison ----------------------------------------------------------------------------- */

static void check(double got, double expected, double limit, size_t at)
{
    if (!(fabs(got - expected) <= limit))
        fail_msg("element %zu is %.9g, expected %.9g within %.3g", at, got, expected, limit);
}

void assert_close(const float *got, const double *expected, size_t n, double tolerance)
{
    double scale = 1;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs(expected[i]));
    for (size_t i = 0; i < n; i++)
        check(got[i], expected[i], tolerance * scale, i);
}

void assert_close_f32(const float *got, const float *expected, size_t n, double tolerance)
{
    double scale = 1;
    for (size_t i = 0; i < n; i++)
        scale = fmax(scale, fabs((double)expected[i]));
    for (size_t i = 0; i < n; i++)
        check(got[i], expected[i], tolerance * scale, i);
}
