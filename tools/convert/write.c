/*
 * write.c - see write.h.
 */
#include "tools/convert/write.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/mega/mega_file.h"
#include "formats/tensor/panels.h"
#include "src/model/earlier.h"
#include "tools/common/messages.h"
#include "tools/common/progress.h"
#include "tools/convert/items.h"
#include "tools/convert/kernels.h"

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Returns whether a tensor is a buffer of the original that inference does not use. */
static bool ignorable(const Architecture *architecture, const char *name)
{
    for (const char *const *end = architecture->unused; end && *end; end++)
        if (ends_with(name, *end))
            return true;
    return ends_with(name, "_float_tensor") || ends_with(name, "num_batches_tracked") ||
           ends_with(name, "version");
}

static int compare_pointers(const void *a, const void *b)
{
    const MegaCheckpointTensor *const *left = a, *const *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* Returns whether a tensor cannot be a weight: it is a counter, a mask, or of a type that cannot be
 * read. */
static bool is_inert(const MegaCheckpointTensor *tensor)
{
    return !tensor->readable || (tensor->dtype != MEGA_F32 && tensor->dtype != MEGA_F16 &&
                                 tensor->dtype != MEGA_BF16 && tensor->dtype != MEGA_F64);
}

/* Warns if two tensors that the model ties have different values. */
static void tell_tied(const Architecture *architecture, const WriteOptions *options)
{
    if (architecture->tied_differ && !options->quiet)
        report("warning: '%s' and '%s' should be one matrix, but differ; '%s' counts, as in the "
               "original",
               architecture->tied->name, architecture->tied_other->name, architecture->tied->name);
}

static int check_leftovers(const Items *items, const WriteOptions *options, MegaError *err)
{
    size_t unknown = 0;
    const char *first = NULL;
    const Names *names = &items->architecture->names;
    const MegaCheckpointTensor **used = calloc(items->count + 1, sizeof *used);
    if (!used)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    for (size_t i = 0; i < items->count; i++)
        used[i] = items->items[i].from;
    qsort(used, items->count, sizeof *used, compare_pointers);
    for (size_t i = 0; i < names->count; i++) {
        const MegaCheckpointTensor *tensor = names->items[i].tensor;
        if (ignorable(items->architecture, tensor->name) ||
            bsearch(&tensor, used, items->count, sizeof *used, compare_pointers))
            continue;
        if (is_inert(tensor)) {
            if (!options->quiet)
                report("note: tensor '%s' of type %s is left out", tensor->name, tensor->type);
            continue;
        }
        if (tensor == items->architecture->tied_other) {
            tell_tied(items->architecture, options);
            continue;
        }
        if (items->architecture->lenient) {
            if (!options->quiet)
                report("warning: tensor '%s' is left out, since %s does not know it", tensor->name,
                       items->architecture->class_name);
            continue;
        }
        report("tensor '%s' is not part of a %s", tensor->name, items->architecture->family);
        first = first ? first : tensor->name;
        unknown++;
    }
    free(used);
    if (unknown && !options->keep_going)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%zu tensors, such as '%s', are not part of this architecture; the result "
                         "would not equal the original (--force converts it anyway)",
                         unknown, first);
    return 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Returns whether an item cannot be cut out of quantized blocks: a column of a matrix, or a part of
 * a vector. */
static bool cuts_items(const Item *item)
{
    return mega_dtype_quantized(item->stored->dtype) &&
           (item->transposed || (item->whole_rows && item->spec.rank == 1));
}

/* Chooses the type of an item: matrices get the type of the options, but at least 8 bits if they
 * are fine; tensors that are small or sensitive (norms, EMA, biases, gamma and beta) stay
 * float32. */
static MegaDtype choose_dtype(const WriteOptions *options, const Item *item)
{
    if (item->stored && options->keep_types)
        return cuts_items(item) ? MEGA_F32 : item->stored->dtype;
    if (!item->spec.matrix || item->spec.exact)
        return MEGA_F32;
    return options->dtype == MEGA_Q4 && item->spec.fine ? MEGA_Q8 : options->dtype;
}

static MegaTensorDecl *declare(const Items *items, const WriteOptions *options)
{
    MegaTensorDecl *decls = calloc(items->count + 1, sizeof *decls);
    for (size_t i = 0; decls && i < items->count; i++) {
        const MegaTensorSpec *spec = &items->items[i].spec;
        decls[i] = (MegaTensorDecl){.name = spec->name,
                                    .dtype = choose_dtype(options, &items->items[i]),
                                    .rank = spec->rank, .tied_to = -1,
                                    .panels = !options->compress && spec->matrix};
        memcpy(decls[i].shape, spec->shape, sizeof decls[i].shape);
        for (size_t j = 0; j < i && decls[i].tied_to < 0; j++)
            if (decls[j].tied_to < 0 && decls[j].dtype == decls[i].dtype &&
                decls[j].rank == decls[i].rank &&
                memcmp(decls[j].shape, decls[i].shape, sizeof decls[i].shape) == 0 &&
                item_same(&items->items[j], &items->items[i]))
                decls[i].tied_to = (int)j;
    }
    return decls;
}

/* Checks that all values are finite, and that the type can hold them. */
static int check_values(const WriteOptions *options, const Item *item, const float *values,
                        MegaDtype dtype, MegaError *err)
{
    const char *name = item->from ? item->from->name : item->spec.name;
    bool finite = !options->allow_non_finite || mega_dtype_quantized(dtype);
    char at[128];
    for (uint64_t i = 0; i < item->spec.elements; i++) {
        if (finite && !isfinite(values[i])) {
            item_place_text(item, i, at, sizeof at);
            return mega_fail(err, MEGA_ERR_MODEL, "tensor '%s' holds %g at %s: %s", name,
                             (double)values[i], at,
                             options->allow_non_finite
                                 ? "int8 and int4 cannot hold that; use f32"
                                 : "the training run has failed, or the file is damaged "
                                   "(--allow-non-finite converts it anyway)");
        }
        if (dtype == MEGA_F16 && isfinite(values[i]) && fabsf(values[i]) > 65504.0f)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "tensor '%s' holds %g, too large for f16: use bf16 or f32", name,
                             (double)values[i]);
    }
    return 0;
}

/* Returns the bytes of a decoded row, and the number of rows in *rows. */
static uint64_t row_bytes(MegaDtype dtype, const MegaTensorSpec *spec, uint64_t *rows)
{
    uint64_t columns = spec->shape[spec->rank - 1];
    *rows = spec->elements / columns;
    return mega_dtype_items(dtype, columns) * mega_dtype_traits((int)dtype)->item_size;
}

/* ---- Memory --------------------------------------------------------------------------------- */

static uint64_t larger(uint64_t a, uint64_t b)
{
    return a > b ? a : b;
}

/* Returns the most bytes that write_tensor takes at once. The pages of a model file stay in memory,
 * those of the tensors before (`before` bytes) and of this one. The pages of a checkpoint are given
 * back before the tensor is written. */
static uint64_t tensor_memory(const Items *items, const Item *item, const MegaTensorDecl *decl,
                              uint64_t before)
{
    const MegaTensorSpec *spec = &item->spec;
    const MegaTensor *stored = item->stored;
    uint64_t rows, row = row_bytes(decl->dtype, spec, &rows);
    uint64_t floats = spec->elements * sizeof(float);
    const uint64_t panel = decl->panels ? row * MEGA_PANEL : 0;
    const uint64_t encoded = decl->dtype == MEGA_F32 ? 0 : rows * row;
    const uint64_t writing = floats + encoded + panel;
    if (item_is_computed(item))
        return before + floats + kernels_memory(items, item);
    if (!stored)
        return larger(mega_checkpoint_reading(items->checkpoint, item->from), writing);
    before += stored->stored_size;
    if (stored->dtype == decl->dtype && !item->transposed)
        return before + stored->size + larger(stored->block_size, panel);
    const uint64_t whole = item_is_part(item) ? stored->elements * sizeof(float) : 0;
    return before + larger(stored->size + stored->block_size + whole + floats, writing);
}

/* Computes the memory that the conversion holds all the time: that of the opened checkpoint, of the
 * metadata and of lists. */
static int constant_memory(uint64_t *out, const Items *items, const WriteOptions *options,
                           const MegaMeta *meta, MegaError *err)
{
    /* the values, and their serialised form twice while its buffer grows */
    const size_t copies = 3;
    uint8_t *bytes = NULL;
    size_t size = 0;
    int code = mega_meta_encode(meta, &bytes, &size, err);
    free(bytes);
    *out = size * copies + items->count * (sizeof(Item) + sizeof(MegaTensorDecl)) +
           (items->checkpoint ? mega_checkpoint_memory(items->checkpoint) : 0) +
           (options->compress ? MEGA_WRITER_MEMORY : 0);
    return code;
}

/* Checks, before anything is written, that every tensor can be converted within the limit. */
static int check_memory(const Items *items, const WriteOptions *options,
                        const MegaTensorDecl *decls, const MegaMeta *meta, MegaError *err)
{
    uint64_t constant, most = 0, before = 0;
    const char *name = "";
    if (!options->max_memory)
        return 0;
    int code = constant_memory(&constant, items, options, meta, err);
    for (size_t i = 0; i < items->count && !code; i++) {
        const Item *item = &items->items[i];
        const uint64_t needed =
            decls[i].tied_to < 0 ? tensor_memory(items, item, &decls[i], before) : 0;
        if (needed > most) {
            most = needed;
            name = item->from ? item->from->name : item->spec.name;
        }
        before += item->stored ? item->stored->stored_size : 0;
    }
    if (code || most + constant <= options->max_memory)
        return code;
    return mega_fail(err, MEGA_ERR_LIMIT,
                     "converting tensor '%s' needs %.1f MB of memory, of which %.1f MB are for all "
                     "tensors; %.1f MB are allowed",
                     name, (double)(most + constant) / 1e6, (double)constant / 1e6,
                     (double)options->max_memory / 1e6);
}

/* ---- Tensors -------------------------------------------------------------------------------- */

/* Copies a stored item in its own type, since quantized integers would not survive a conversion to
 * floats and back. */
static int copy_tensor(MegaWriter *writer, const Items *items, const Item *item, MegaError *err)
{
    char *data;
    size_t size;
    int code = item_read_bytes(items, item, &data, &size, err);
    if (!code)
        code = mega_writer_tensor(writer, data, size, err);
    free(data);
    return code;
}

static int write_tensor(MegaWriter *writer, const WriteOptions *options, const Items *items,
                        const Item *item, MegaDtype dtype, MegaError *err)
{
    const bool same_type = item->stored && item->stored->dtype == dtype;
    if (same_type && !item->transposed)
        return copy_tensor(writer, items, item, err);
    const MegaTensorSpec *spec = &item->spec;
    uint64_t rows, bytes = row_bytes(dtype, spec, &rows), columns = spec->elements / rows;
    float *values = malloc((size_t)spec->elements * sizeof *values);
    char *small = dtype == MEGA_F32 ? NULL : malloc((size_t)(rows * bytes));
    int code = 0;
    if (!values || (dtype != MEGA_F32 && !small))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", spec->name);
    if (!code)
        code = item_is_computed(item) ? kernels_make(items, item, values, err)
                                      : item_read(items, item, values, err);
    if (!code && !same_type)
        code = check_values(options, item, values, dtype, err);
    for (uint64_t row = 0; small && !code && row < rows; row++)
        mega_dtype_from_f32(dtype, values + row * columns, (size_t)columns, small + row * bytes);
    if (!code)
        code = mega_writer_tensor(writer, small ? (void *)small : values, (size_t)(rows * bytes),
                                  err);
    free(values);
    free(small);
    return code;
}

static int write_all(const WriteOptions *options, const Items *items, const MegaMeta *meta,
                     MegaError *err)
{
    MegaWriter *writer = NULL;
    uint64_t total = 0, done = 0;
    Progress progress;
    MegaTensorDecl *decls = declare(items, options);
    if (!decls)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    int code = check_memory(items, options, decls, meta, err);
    if (code) {
        free(decls);
        return code;
    }
    code = mega_writer_new(&writer, options->path, meta, decls, items->count, options->compress,
                           err);
    for (size_t i = 0; i < items->count; i++)
        total += items->items[i].spec.elements;
    progress_begin(&progress, total, "parameters", options->quiet);
    for (size_t i = 0; i < items->count && !code; i++) {
        if (decls[i].tied_to < 0)
            code = write_tensor(writer, options, items, &items->items[i], decls[i].dtype,
                                err);
        done += items->items[i].spec.elements;
        progress_update(&progress, done);
    }
    progress_end(&progress);
    if (!code)
        code = mega_writer_finish(writer, err);
    mega_writer_free(writer);
    free(decls);
    return code;
}

int plan_kernels(const WriteOptions *options, Architecture *architecture,
                 const MegaCheckpoint *checkpoint, MegaError *err)
{
    Items items = {.architecture = architecture, .checkpoint = checkpoint};
    if (options->keep_kernels <= 0)
        return 0;
    int code = items_of_checkpoint(&items, err);
    if (!code)
        code = kernels_choose(&architecture->config, &items, options->keep_kernels, err);
    free(items.items);
    return code;
}

int write_model(const WriteOptions *options, const Architecture *architecture,
                const MegaCheckpoint *checkpoint, const MegaMeta *meta, MegaError *err)
{
    Items items = {.architecture = architecture, .checkpoint = checkpoint};
    int code = items_of_checkpoint(&items, err);
    if (!code)
        code = check_leftovers(&items, options, err);
    if (!code)
        code = write_all(options, &items, meta, err);
    free(items.items);
    return code;
}

static int copy_values(MegaMeta *to, const MegaMeta *from, bool general)
{
    int code = 0;
    for (size_t i = 0; i < mega_meta_count(from) && !code; i++) {
        const MegaMetaValue *value = mega_meta_at(from, i);
        if ((strncmp(value->key, "general.", 8) == 0) == general &&
            !mega_meta_find(to, value->key) && !mega_earlier_only(value->key) &&
            strcmp(value->key, "encoder.kernel_lags") != 0)
            code = mega_meta_set_value(to, value);
    }
    return code;
}

/* Makes the metadata of a model file as this version writes them: the general keys, first those
 * that are given, then the configuration, written anew, then all other keys as they were. */
static int renew_metadata(MegaMeta **out, const MegaMeta *meta, const MegaMeta *given,
                          const MegaConfig *config, MegaError *err)
{
    *out = mega_meta_new();
    int code = *out ? copy_values(*out, given, true) : MEGA_ERR_MEMORY;
    if (!code)
        code = copy_values(*out, meta, true);
    if (!code && (code = mega_config_write(config, *out, err)))
        return code;
    if (!code)
        code = copy_values(*out, meta, false);
    return code ? mega_fail(err, code, "no memory for the metadata") : 0;
}

int rewrite_model(const WriteOptions *options, const char *path, const MegaMeta *given,
                  MegaError *err)
{
    MegaFile *file = NULL;
    MegaMeta *meta = NULL;
    MegaConfig config;
    Items items = {0};
    int code = mega_file_open(&file, path, err);
    if (!code)
        code = mega_config_read(&config, mega_file_meta(file), err);
    items.file = file;
    if (!code)
        code = items_of_file(&items, &config, err);
    if (!code && options->keep_kernels >= 0) {
        code = kernels_choose(&config, &items, options->keep_kernels, err);
        items.count = 0;
        items.renews_kept = true;
        if (!code)
            code = items_of_file(&items, &config, err);
    }
    if (!code)
        code = renew_metadata(&meta, mega_file_meta(file), given, &config, err);
    if (!code)
        code = write_all(options, &items, meta, err);
    mega_meta_free(meta);
    free(items.items);
    mega_file_close(file);
    return code;
}
