/*
 * write.c - see write.h.
 */
#include "tools/convert/write.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/mega/mega_file.h"
#include "formats/tensor/panels.h"
#include "tools/common/progress.h"
#include "tools/common/terminal.h"

#define MAX_REPEATED (1u << 20)

/* One tensor on its way: what the model wants and where the checkpoint, or the model file that is
 * written anew, has it. */
typedef struct Item {
    MegaTensorSpec spec;
    const MegaCheckpointTensor *from;
    const MegaTensor *stored;
} Item;

typedef struct Items {
    const Architecture *architecture;
    const MegaCheckpoint *checkpoint;
    const MegaFile *file; /* instead of these two */
    Item *items; /* [count] */
    size_t count, capacity;
    size_t missing;
} Items;

/* ---- Finding -------------------------------------------------------------------------------- */

/* The same elements in the same order: leading and trailing dimensions of 1 do not count, and
 * further trailing dimensions may be flattened ([D, C, p, p] is [D, C p p]). */
static bool shape_fits(const MegaTensorSpec *spec, const MegaCheckpointTensor *tensor)
{
    const uint64_t *shape = tensor->shape;
    int rank = tensor->rank;
    for (; rank > spec->rank && shape[0] == 1; rank--)
        shape++;
    while (rank > spec->rank && shape[rank - 1] == 1)
        rank--;
    if (rank < spec->rank || tensor->elements != spec->elements)
        return false;
    for (int i = 0; i < spec->rank - 1; i++)
        if (shape[i] != spec->shape[i])
            return false;
    return true; /* the last dimension follows from the number of elements */
}

static void shape_text(const uint64_t *shape, int rank, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, rank < 0 ? "[?" : "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

static int append(Items *items, const Item *item, MegaError *err)
{
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 256;
        Item *grown = realloc(items->items, capacity * sizeof *grown);
        if (!grown)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
        items->items = grown;
        items->capacity = capacity;
    }
    items->items[items->count++] = *item;
    return 0;
}

static int add_item(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Items *items = context;
    const MegaCheckpointTensor *from =
        spec->source[0] ? architecture_find(items->architecture, spec->source) : NULL;
    if (!from) { /* all are listed before the conversion stops */
        print_diagnostic("mega-convert", "tensor '%s%s' is missing",
                         items->architecture->names.prefix,
                         spec->source[0] ? spec->source : spec->name);
        items->missing++;
        return 0;
    }
    char found[128], expected[128];
    if (!from->readable) {
        shape_text(from->shape, from->rank, found, sizeof found);
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model needs tensor '%s', but it is %s %s; expected numbers of f32, "
                         "f16, bf16 or f64 with at most %d dimensions",
                         from->name, from->type, found, MEGA_CHECKPOINT_MAX_RANK);
    }
    if (!shape_fits(spec, from)) {
        shape_text(from->shape, from->rank, found, sizeof found);
        shape_text(spec->shape, spec->rank, expected, sizeof expected);
        return mega_fail(err, MEGA_ERR_MODEL,
                         "tensor '%s' has shape %s, but the other tensors and arguments imply %s",
                         from->name, found, expected);
    }
    /* a stride of 0 shows one element many times: more of them than the file can have */
    if (from->elements > MAX_REPEATED &&
        from->elements > from->storage_size / mega_dtype_traits((int)from->dtype)->item_size)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "tensor '%s' claims %llu elements, more than its storage of %llu bytes "
                         "has",
                         from->name, (unsigned long long)from->elements,
                         (unsigned long long)from->storage_size);
    return append(items, &(Item){.spec = *spec, .from = from}, err);
}

/* The same of a model file. */
static int add_stored(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Items *items = context;
    const MegaTensor *stored = mega_file_find(items->file, spec->name);
    if (!stored || stored->rank != spec->rank ||
        memcmp(stored->shape, spec->shape, (size_t)spec->rank * sizeof *spec->shape) != 0)
        return mega_fail(err, MEGA_ERR_MODEL, "%s: tensor '%s' is missing or of another shape",
                         mega_file_name(items->file), spec->name);
    return append(items, &(Item){.spec = *spec, .stored = stored}, err);
}

static bool ends_with(const char *text, const char *end)
{
    size_t n = strlen(text), m = strlen(end);
    return n >= m && strcmp(text + n - m, end) == 0;
}

/* Buffers of the original that take no part in inference. */
static bool ignorable(const char *name)
{
    return ends_with(name, "_float_tensor") || ends_with(name, "num_batches_tracked") ||
           ends_with(name, "version");
}

static int compare_pointers(const void *a, const void *b)
{
    const MegaCheckpointTensor *const *left = a, *const *right = b;
    return *left < *right ? -1 : *left > *right;
}

/* Numbers that cannot be weights: counters, masks, and what cannot be read at all. */
static bool is_inert(const MegaCheckpointTensor *tensor)
{
    return !tensor->readable || (tensor->dtype != MEGA_F32 && tensor->dtype != MEGA_F16 &&
                                 tensor->dtype != MEGA_BF16 && tensor->dtype != MEGA_F64);
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
        if (ignorable(tensor->name) ||
            bsearch(&tensor, used, items->count, sizeof *used, compare_pointers))
            continue;
        if (is_inert(tensor)) {
            if (!options->quiet)
                print_diagnostic("mega-convert", "note: tensor '%s' of type %s is left out",
                              tensor->name, tensor->type);
            continue;
        }
        print_diagnostic("mega-convert", "tensor '%s' is not part of a %s", tensor->name,
                      items->architecture->family);
        first = first ? first : tensor->name;
        unknown++;
    }
    free(used);
    if (unknown && !options->keep_going)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%zu tensors, such as '%s', are not part of this architecture; the result "
                         "would not equal the original (--force converts all the same)",
                         unknown, first);
    return 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Matrices shrink; what is small or sensitive (norms, EMA, biases, gamma and beta) stays float32.
 */
static MegaDtype choose_dtype(const WriteOptions *options, const Item *item)
{
    if (item->stored && options->keep_types)
        return item->stored->dtype;
    return item->spec.matrix ? options->dtype : MEGA_F32;
}

/* Whether the engine can use the parts of a matrix where they lie in its panels. */
static bool panels_serve(const MegaTensorSpec *spec)
{
    uint64_t first = 0;
    for (int i = 0; i < spec->part_count; first += spec->part_rows[i++])
        if (first % MEGA_PANEL != 0)
            return false;
    return spec->matrix;
}

static bool contiguous(const MegaCheckpointTensor *tensor)
{
    uint64_t run = 1;
    for (int i = tensor->rank - 1; i >= 0; run *= tensor->shape[i--])
        if (tensor->shape[i] != 1 && (uint64_t)tensor->stride[i] != run)
            return false;
    return true;
}

/* One table under two names: the same storage, or, where the file's format cannot tell, the same
 * bytes. */
static bool same_table(const Item *a, const Item *b)
{
    const MegaCheckpointTensor *left = a->from, *right = b->from;
    if (a->stored)
        return b->stored->tied_to == (int)a->stored->index;
    size_t item = mega_dtype_traits((int)left->dtype)->item_size;
    if (mega_checkpoint_same(left, right))
        return true;
    if (a->spec.rank != 2 || left->dtype != right->dtype || !contiguous(left) || !contiguous(right))
        return false;
    const bool same = memcmp((const char *)left->storage + left->offset * item,
                             (const char *)right->storage + right->offset * item,
                             (size_t)left->elements * item) == 0;
    mega_checkpoint_release(left);
    mega_checkpoint_release(right);
    return same;
}

static MegaTensorDecl *declare(const Items *items, const WriteOptions *options)
{
    MegaTensorDecl *decls = calloc(items->count + 1, sizeof *decls);
    for (size_t i = 0; decls && i < items->count; i++) {
        const MegaTensorSpec *spec = &items->items[i].spec;
        decls[i] = (MegaTensorDecl){.name = spec->name,
                                    .dtype = choose_dtype(options, &items->items[i]),
                                    .rank = spec->rank, .tied_to = -1,
                                    .panels = !options->compress && panels_serve(spec)};
        memcpy(decls[i].shape, spec->shape, sizeof decls[i].shape);
        for (size_t j = 0; j < i && decls[i].tied_to < 0; j++)
            if (decls[j].tied_to < 0 && decls[j].dtype == decls[i].dtype &&
                decls[j].rank == decls[i].rank &&
                memcmp(decls[j].shape, decls[i].shape, sizeof decls[i].shape) == 0 &&
                same_table(&items->items[j], &items->items[i]))
                decls[i].tied_to = (int)j;
    }
    return decls;
}

/* "[0, 3]": where an element lies in its tensor. */
static void index_text(const MegaTensorSpec *spec, uint64_t element, char *text, size_t size)
{
    uint64_t index[MEGA_MAX_RANK];
    for (int i = spec->rank - 1; i >= 0; i--) {
        index[i] = element % spec->shape[i];
        element /= spec->shape[i];
    }
    shape_text(index, spec->rank, text, size);
}

/* Whether the values are numbers, and a type can hold them. */
static int check_values(const WriteOptions *options, const Item *item, const float *values,
                        MegaDtype dtype, MegaError *err)
{
    const char *name = item->from ? item->from->name : item->spec.name;
    bool finite = !options->allow_non_finite || mega_dtype_quantized(dtype);
    char at[128];
    for (uint64_t i = 0; i < item->spec.elements; i++) {
        if (finite && !isfinite(values[i])) {
            index_text(&item->spec, i, at, sizeof at);
            return mega_fail(err, MEGA_ERR_MODEL, "tensor '%s' holds %g at %s: %s", name,
                             (double)values[i], at,
                             options->allow_non_finite
                                 ? "int8 and int4 cannot hold that; use f32"
                                 : "the training run has failed, or the file is damaged "
                                   "(--allow-non-finite converts all the same)");
        }
        if (dtype == MEGA_F16 && isfinite(values[i]) && fabsf(values[i]) > 65504.0f)
            return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                             "tensor '%s' holds %g, too large for f16: use bf16 or f32", name,
                             (double)values[i]);
    }
    return 0;
}

/* Decoded bytes of a row, and how many rows there are. */
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

/* The most bytes that write_tensor takes at once. The pages of a model file stay taken, all those
 * `before` and this tensor's; those of a checkpoint have been given back when its floats are there. */
static uint64_t tensor_memory(const Items *items, const Item *item, const MegaTensorDecl *decl,
                              uint64_t before)
{
    const MegaTensorSpec *spec = &item->spec;
    const MegaTensor *stored = item->stored;
    uint64_t rows, row = row_bytes(decl->dtype, spec, &rows), floats = spec->elements * sizeof(float);
    const uint64_t panel = decl->panels ? row * MEGA_PANEL : 0;
    const uint64_t encoded = decl->dtype == MEGA_F32 ? 0 : rows * row;
    const uint64_t writing = floats + encoded + panel;
    if (!stored)
        return larger(mega_checkpoint_reading(items->checkpoint, item->from), writing);
    before += stored->stored_size;
    if (stored->dtype == decl->dtype)
        return before + stored->size + larger(stored->block_size, panel);
    return before + larger(stored->size + stored->block_size + floats, writing);
}

/* What the conversion holds from beginning to end: what opening took, metadata, lists of tensors. */
static int constant_memory(uint64_t *out, const Items *items, const WriteOptions *options,
                           const MegaMeta *meta, MegaError *err)
{
    const size_t copies = 3; /* the values, their serialised form while it grows */
    uint8_t *bytes = NULL;
    size_t size = 0;
    int code = mega_meta_encode(meta, &bytes, &size, err);
    free(bytes);
    *out = size * copies + items->count * (sizeof(Item) + sizeof(MegaTensorDecl)) +
           (items->checkpoint ? mega_checkpoint_memory(items->checkpoint) : 0) +
           (options->compress ? MEGA_WRITER_MEMORY : 0);
    return code;
}

/* Before anything is written: whether every tensor is within the limit. */
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

/* The bytes of a stored tensor; free them. */
static int read_bytes(const MegaFile *file, const MegaTensor *tensor, char **data, MegaError *err)
{
    *data = malloc((size_t)tensor->size);
    return *data ? mega_file_read(file, tensor, *data, err)
                 : mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", tensor->name);
}

static int read_stored(const MegaFile *file, const Item *item, float *values, MegaError *err)
{
    const MegaTensor *tensor = item->stored;
    char *data;
    int code = read_bytes(file, tensor, &data, err);
    if (!code)
        mega_dtype_tensor_to_f32(tensor->dtype, data, tensor->shape, tensor->rank, values);
    free(data);
    return code;
}

static int read_values(const Items *items, const Item *item, float *values, MegaError *err)
{
    if (item->stored)
        return read_stored(items->file, item, values, err);
    int code = mega_checkpoint_verify(items->checkpoint, item->from, err);
    if (!code)
        mega_checkpoint_read_f32(item->from, values);
    return code;
}

/* A stored tensor whose type stays: integers would not survive the way through floats. */
static int copy_tensor(MegaWriter *writer, const MegaFile *file, const MegaTensor *tensor,
                       MegaError *err)
{
    char *data;
    int code = read_bytes(file, tensor, &data, err);
    if (!code)
        code = mega_writer_tensor(writer, data, (size_t)tensor->size, err);
    free(data);
    return code;
}

static int write_tensor(MegaWriter *writer, const WriteOptions *options, const Items *items,
                        const Item *item, MegaDtype dtype, MegaError *err)
{
    if (item->stored && item->stored->dtype == dtype)
        return copy_tensor(writer, items->file, item->stored, err);
    const MegaTensorSpec *spec = &item->spec;
    uint64_t rows, bytes = row_bytes(dtype, spec, &rows), columns = spec->elements / rows;
    float *values = malloc((size_t)spec->elements * sizeof *values);
    char *small = dtype == MEGA_F32 ? NULL : malloc((size_t)(rows * bytes));
    int code = 0;
    if (!values || (dtype != MEGA_F32 && !small))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", spec->name);
    if (!code)
        code = read_values(items, item, values, err);
    if (!code)
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

/* What a signal must remove: handlers reach nothing but a global. */
static const MegaWriter *volatile active_writer;

void write_abandon(void)
{
    if (active_writer)
        mega_writer_abandon(active_writer);
}

static void abandon(int number)
{
    write_abandon();
    signal(number, SIG_DFL);
    raise(number);
}

static const int caught[] = {SIGINT, SIGTERM, SIGHUP};
#define CAUGHT_COUNT (sizeof caught / sizeof caught[0])

static void fill_signals(sigset_t *set)
{
    sigemptyset(set);
    for (size_t i = 0; i < CAUGHT_COUNT; i++)
        sigaddset(set, caught[i]);
}

/* What is ignored, as nohup does with SIGHUP, stays ignored. */
static void catch_signals(void)
{
    for (size_t i = 0; i < CAUGHT_COUNT; i++)
        if (signal(caught[i], abandon) == SIG_IGN)
            signal(caught[i], SIG_IGN);
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
    /* a signal between the file's creation and this note of it would leave the file behind */
    sigset_t signals, before;
    fill_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    code = mega_writer_new(&writer, options->path, meta, decls, items->count, options->compress,
                               err);
    active_writer = writer;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
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
    active_writer = NULL;
    mega_writer_free(writer);
    free(decls);
    return code;
}

int write_model(const WriteOptions *options, const Architecture *architecture,
                const MegaCheckpoint *checkpoint, const MegaMeta *meta, MegaError *err)
{
    Items items = {.architecture = architecture, .checkpoint = checkpoint};
    catch_signals();
    int code = mega_bind_each(&architecture->config, architecture->source, NULL, add_item, &items,
                              err);
    if (!code && items.missing)
        code = mega_fail(err, MEGA_ERR_MODEL, "%zu tensors of a %s are missing", items.missing,
                         architecture->family);
    if (!code)
        code = check_leftovers(&items, options, err);
    if (!code)
        code = write_all(options, &items, meta, err);
    free(items.items);
    return code;
}

int rewrite_model(const WriteOptions *options, const char *path, MegaError *err)
{
    MegaFile *file = NULL;
    MegaConfig config;
    Items items = {0};
    catch_signals();
    int code = mega_file_open(&file, path, err);
    if (!code)
        code = mega_config_read(&config, mega_file_meta(file), err);
    items.file = file;
    if (!code)
        code = mega_bind_each(&config, MEGA_SOURCE_FAIRSEQ, NULL, add_stored, &items, err);
    if (!code && items.count != mega_file_tensor_count(file))
        code = mega_fail(err, MEGA_ERR_MODEL, "%s: %zu tensors are not part of its architecture",
                         path, mega_file_tensor_count(file) - items.count);
    if (!code)
        code = write_all(options, &items, mega_file_meta(file), err);
    free(items.items);
    mega_file_close(file);
    return code;
}
