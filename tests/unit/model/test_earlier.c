/*
 * test_earlier.c - files of the earlier layout have the same weights as those of today's, in every
 * type and encoding. Faulty files of that layout, and layouts of later versions, are refused.
 *
 * A file of the earlier layout is made from one of today's: parts are joined, and tied tails are
 * transposed.
 */
#include "tests/unit/support.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <unistd.h>

#include "src/model/model.h"

static char today[] = "/tmp/mega-test-today-XXXXXX", then[] = "/tmp/mega-test-then-XXXXXX";

/* ---- The writer of earlier versions, as far as the tests need it ---------------------------- */

typedef struct Writing {
    MegaTensorDecl decls[160];
    char names[160][96];
    char *data[160];
    size_t sizes[160], count;
} Writing;

static char *contents(const MegaFile *file, const MegaTensor *tensor)
{
    MegaError err = {0};
    char *data = malloc(tensor->size);
    assert_non_null(data);
    if (mega_file_read(file, tensor, data, &err))
        fail_msg("%s", err.text);
    return data;
}

static void put(Writing *all, const char *name, const MegaTensor *like, char *data, size_t size)
{
    MegaTensorDecl *decl = &all->decls[all->count];
    assert_true(all->count < 160);
    snprintf(all->names[all->count], sizeof all->names[0], "%s", name);
    *decl = (MegaTensorDecl){.name = all->names[all->count], .dtype = like->dtype,
                             .rank = like->rank, .tied_to = -1, .panels = like->rank == 2};
    memcpy(decl->shape, like->shape, sizeof decl->shape);
    all->data[all->count] = data;
    all->sizes[all->count++] = size;
}

/* "encoder.layer.0.u.weight" becomes the beginning of "encoder.layer.0.mx.weight"; z and r_hx
 * follow. */
static bool join(Writing *all, const MegaFile *file, const MegaTensor *tensor)
{
    static const char *const parts[] = {"u", "z", "r_hx"};
    char name[96], *data = NULL;
    size_t size = 0;
    uint64_t rows = 0;
    int begin = 0;
    sscanf(tensor->name, "%*[a-z].layer.%*d.%n", &begin);
    const char *dot = begin ? strchr(tensor->name + begin, '.') : NULL;
    if (!dot || strstr(dot + 1, "."))
        return false;
    size_t length = (size_t)(dot - tensor->name) - (size_t)begin;
    if (strncmp(tensor->name + begin, "z", length) == 0 ||
        strncmp(tensor->name + begin, "r_hx", length) == 0)
        return true; /* it was written together with u */
    if (strncmp(tensor->name + begin, "u", length) != 0)
        return false;
    for (int i = 0; i < 3; i++) {
        snprintf(name, sizeof name, "%.*s%s%s", begin, tensor->name, parts[i], dot);
        const MegaTensor *part = mega_file_find(file, name);
        assert_non_null(part);
        char *bytes = contents(file, part);
        data = realloc(data, size + part->size);
        assert_non_null(data);
        memcpy(data + size, bytes, part->size);
        size += part->size;
        rows += part->shape[0];
        free(bytes);
    }
    MegaTensor whole = *tensor;
    whole.shape[0] = rows;
    snprintf(name, sizeof name, "%.*smx%s", begin, tensor->name, dot);
    put(all, name, &whole, data, size);
    return true;
}

/* Transposes the projection of a tied tail, which is float32 in a file of today. */
static void turn(Writing *all, const MegaTensor *tensor, const char *data)
{
    size_t rows = tensor->shape[0], columns = tensor->shape[1];
    char *turned = malloc(tensor->size);
    assert_non_null(turned);
    assert_int_equal(tensor->dtype, MEGA_F32);
    for (size_t r = 0; r < rows; r++)
        for (size_t c = 0; c < columns; c++)
            memcpy(turned + (c * rows + r) * 4, data + (r * columns + c) * 4, 4);
    MegaTensor other = *tensor;
    other.shape[0] = columns;
    other.shape[1] = rows;
    put(all, tensor->name, &other, turned, tensor->size);
}

static MegaMeta *earlier_metadata(const MegaMeta *meta)
{
    MegaMeta *out = mega_meta_new();
    for (size_t i = 0; i < mega_meta_count(meta); i++) {
        const MegaMetaValue *value = mega_meta_at(meta, i);
        if (strcmp(value->key, "target.tied_projections") == 0)
            mega_meta_set_bool(out, "target.transposed_tails", value->boolean);
        else if (strcmp(value->key, "general.tensor_layout") != 0)
            mega_meta_set_value(out, value);
    }
    return out;
}

/* Writes `then` from `today`, without the tensor `missing`. */
static void write_earlier(const MegaConfig *config, bool compress, const char *missing)
{
    MegaError err = {0};
    MegaFile *file;
    MegaWriter *writer;
    Writing all = {.count = 0};
    assert_int_equal(mega_file_open(&file, today, &err), 0);
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        int number = 0, end = 0;
        sscanf(tensor->name, "output.%d.projection.weight%n", &number, &end);
        if (join(&all, file, tensor))
            continue;
        char *data = contents(file, tensor);
        if (config->target.tied_projections && end && number > 0) {
            turn(&all, tensor, data);
            free(data);
        } else {
            put(&all, tensor->name, tensor, data, tensor->size);
        }
    }
    for (size_t i = 0; missing && i < all.count; i++)
        if (strcmp(all.names[i], missing) == 0) {
            all.count--;
            free(all.data[i]);
            for (; i < all.count; i++) {
                all.decls[i] = all.decls[i + 1];
                all.data[i] = all.data[i + 1];
                all.sizes[i] = all.sizes[i + 1];
            }
        }
    MegaMeta *meta = earlier_metadata(mega_file_meta(file));
    int code = mega_writer_new(&writer, then, meta, all.decls, all.count, compress, &err);
    for (size_t i = 0; i < all.count; i++) {
        if (!code)
            code = mega_writer_tensor(writer, all.data[i], all.sizes[i], &err);
        free(all.data[i]);
    }
    if (!code)
        code = mega_writer_finish(writer, &err);
    if (code)
        fail_msg("%s", err.text);
    mega_writer_free(writer);
    mega_meta_free(meta);
    mega_file_close(file);
}

/* ---- Comparing ------------------------------------------------------------------------------ */

typedef struct Slots {
    MegaTensorSpec specs[160];
    size_t count;
} Slots;

static int collect(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Slots *slots = context;
    (void)err;
    assert_true(slots->count < 160);
    slots->specs[slots->count++] = *spec;
    return 0;
}

static void expect_same_weights(MegaModel *left, MegaModel *right)
{
    Slots a = {.count = 0}, b = {.count = 0};
    mega_tensors_each(&left->config, &left->weights, collect, &a, NULL);
    mega_tensors_each(&right->config, &right->weights, collect, &b, NULL);
    assert_int_equal(a.count, b.count);
    assert_int_equal(mega_model_parameter_count(left), mega_model_parameter_count(right));
    for (size_t i = 0; i < a.count; i++) {
        const MegaTensorSpec *spec = &a.specs[i];
        size_t size = spec->elements * sizeof(float);
        assert_string_equal(spec->name, b.specs[i].name);
        if (!spec->matrix) {
            assert_memory_equal(*spec->slot, *b.specs[i].slot, size);
            continue;
        }
        assert_int_equal(spec->packed->dtype, b.specs[i].packed->dtype);
        /* Compares row by row, since the padding of the last panel may differ. */
        for (size_t row = 0; row < spec->packed->out; row++) {
            float left_row[64], right_row[64];
            assert_true(spec->packed->in <= 64);
            mega_packed_row(spec->packed, row, left_row);
            mega_packed_row(b.specs[i].packed, row, right_row);
            assert_memory_equal(left_row, right_row, spec->packed->in * sizeof(float));
        }
    }
}

static void expect_same(const MegaConfig *config, const ModelTweak *tweak, bool compress)
{
    Random random = {5};
    MegaError err = {0};
    MegaModel *models[2] = {0};
    random_model_file(today, config, tweak, &random);
    write_earlier(config, compress, NULL);
    if (mega_model_open(&models[0], today, &err) || mega_model_open(&models[1], then, &err))
        fail_msg("%s", err.text);
    expect_same_weights(models[0], models[1]);
    mega_model_free(models[0]);
    mega_model_free(models[1]);
}

/* Returns a language model or translator whose adaptive softmax has three clusters. */
static MegaConfig adaptive_config(bool translator, bool tied, bool split)
{
    MegaConfig config = {.task = translator ? MEGA_TASK_TRANSLATE : MEGA_TASK_GENERATE};
    config.decoder = mega_with_gated((MegaStackConfig){.layers = 2,
                                                       .width = 12,
                                                       .ffn = 16,
                                                       .max_positions = 40,
                                                       .norm_affine = true,
                                                       .final_norm_affine = true,
                                                       .final_norm = true,
                                                       .pre_norm = true,
                                                       .activation = MEGA_ACTIVATION_SILU},
                                     (MegaGatedConfig){.hidden = 20, .zdim = 6, .ndim = 3});
    config.target = (MegaTargetConfig){.vocab = 40, .pad = 1, .eos = 2, .unk = 3,
                                       .adaptive_input = true, .input_projection = true,
                                       .adaptive_output = true, .split_head = split,
                                       .tied_projections = tied, .max_positions = 40,
                                       .cross_positions = 40};
    config.target.input = config.target.output = (MegaClusters){3, {10, 25, 40}, {12, 6, 12}};
    config.embed = (MegaEmbedConfig){.kind = MEGA_EMBED_TOKENS, .vocab = 33, .pad = 1};
    config.encoder = config.decoder;
    config.encoder.bidirectional = true;
    mega_gated_of(&config.encoder)->zdim =
        16; /* makes another layout of panels than the decoder's */
    return config;
}

static void earlier_files_give_the_same_weights(void **state)
{
    static const MegaDtype dtypes[] = {MEGA_F32, MEGA_F16, MEGA_BF16, MEGA_Q8, MEGA_Q4};
    const MegaConfig configs[] = {small_config(), adaptive_config(false, true, true),
                                  adaptive_config(false, false, false),
                                  adaptive_config(true, true, false)};
    (void)state;
    for (size_t c = 0; c < sizeof configs / sizeof configs[0]; c++)
        for (size_t d = 0; d < sizeof dtypes / sizeof dtypes[0]; d++)
            for (int how = 0; how < 4; how++)
                expect_same(&configs[c],
                            &(ModelTweak){.dtype = dtypes[d], .compress = how & 1, .panels = true},
                            how & 2);
}

static void expect_refusal(const char *sentence)
{
    MegaError err = {0};
    MegaModel *model;
    assert_int_not_equal(mega_model_open(&model, then, &err), 0);
    assert_null(model);
    if (!strstr(err.text, sentence))
        fail_msg("'%s' does not contain '%s'", err.text, sentence);
}

static void misfits_have_their_names_in_the_file(void **state)
{
    Random random = {6};
    MegaConfig config = small_config();
    (void)state;
    random_model_file(today, &config, &(ModelTweak){0}, &random);
    write_earlier(&config, false, "encoder.layer.1.mx.bias");
    expect_refusal("tensor 'encoder.layer.1.mx.bias' is missing");
    write_earlier(&config, false, "encoder.layer.0.mx.weight");
    expect_refusal("tensor 'encoder.layer.0.mx.weight' is missing");
    random_model_file(today, &config, &(ModelTweak){.longer = "encoder.layer.0.r_hx.weight"},
                      &random);
    write_earlier(&config, true, NULL);
    expect_refusal("tensor 'encoder.layer.0.mx.weight' has shape 51 x 12, but the configuration "
                   "implies 50 x 12");
}

static void later_layouts_are_refused(void **state)
{
    MegaConfig config = small_config();
    MegaError err = {0};
    MegaMeta *meta = mega_meta_new();
    (void)state;
    assert_int_equal(mega_config_write(&config, meta, &err), 0);
    assert_int_equal(mega_config_read(&config, meta, &err), 0);
    assert_int_equal(config.tensor_layout, MEGA_TENSOR_LAYOUT);
    mega_meta_set_int(meta, "general.tensor_layout", MEGA_TENSOR_LAYOUT + 1);
    assert_int_equal(mega_config_read(&config, meta, &err), MEGA_ERR_UNSUPPORTED);
    assert_non_null(strstr(err.text, "a later version"));
    mega_meta_set_int(meta, "general.tensor_layout", 0);
    assert_int_equal(mega_config_read(&config, meta, &err), MEGA_ERR_MODEL);
    mega_meta_set_string(meta, "general.tensor_layout", "2");
    assert_int_equal(mega_config_read(&config, meta, &err), MEGA_ERR_MODEL);
    mega_meta_free(meta);
}

int main(void)
{
    const struct CMUnitTest tests[] = {
        cmocka_unit_test(earlier_files_give_the_same_weights),
        cmocka_unit_test(misfits_have_their_names_in_the_file),
        cmocka_unit_test(later_layouts_are_refused),
    };
    close(mkstemp(today));
    close(mkstemp(then));
    int failed = cmocka_run_group_tests(tests, NULL, NULL);
    unlink(today);
    unlink(then);
    return failed;
}
