/*
 * write.c - see write.h.
 */
#include "write.h"

#include <math.h>
#include <signal.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "mega_file.h"
#include "progress.h"

#define MAX_REPEATED (1u << 20)

/* One tensor on its way: what the model wants and where the checkpoint has it. */
typedef struct Item {
    MegaTensorSpec spec;
    const MegaCheckpointTensor *from;
} Item;

typedef struct Items {
    const Architecture *architecture;
    const MegaCheckpoint *checkpoint;
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
    size_t used = (size_t)snprintf(text, size, "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

static int add_item(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Items *items = context;
    const MegaCheckpointTensor *from =
        spec->source[0] ? architecture_find(items->architecture, items->checkpoint, spec->source)
                        : NULL;
    if (!from) { /* all are listed before the conversion stops */
        fprintf(stderr, "mega-convert: tensor '%s%s' is missing\n", items->architecture->prefix,
                spec->source[0] ? spec->source : spec->name);
        items->missing++;
        return 0;
    }
    if (!shape_fits(spec, from)) {
        char found[128], expected[128];
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
    if (items->count == items->capacity) {
        size_t capacity = items->capacity ? 2 * items->capacity : 256;
        Item *grown = realloc(items->items, capacity * sizeof *grown);
        if (!grown)
            return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
        items->items = grown;
        items->capacity = capacity;
    }
    items->items[items->count++] = (Item){*spec, from};
    return 0;
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

static int check_leftovers(const Items *items, bool keep_going, MegaError *err)
{
    size_t unknown = 0;
    const char *first = NULL;
    const MegaCheckpointTensor **used = calloc(items->count + 1, sizeof *used);
    if (!used)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    for (size_t i = 0; i < items->count; i++)
        used[i] = items->items[i].from;
    qsort(used, items->count, sizeof *used, compare_pointers);
    for (size_t i = 0; i < mega_checkpoint_count(items->checkpoint); i++) {
        const MegaCheckpointTensor *tensor = mega_checkpoint_tensor(items->checkpoint, i);
        if (ignorable(tensor->name) ||
            bsearch(&tensor, used, items->count, sizeof *used, compare_pointers))
            continue;
        fprintf(stderr, "mega-convert: tensor '%s' is not part of a %s\n", tensor->name,
                items->architecture->family);
        first = first ? first : tensor->name;
        unknown++;
    }
    free(used);
    if (unknown && !keep_going)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "%zu tensors, such as '%s', are not part of this architecture; the result "
                         "would not equal the original (--force converts all the same)",
                         unknown, first);
    return 0;
}

/* ---- Writing -------------------------------------------------------------------------------- */

/* Matrices shrink; what is small or sensitive (norms, EMA, biases, gamma and beta) stays float32.
 */
static MegaDtype stored_dtype(const MegaTensorSpec *spec, MegaDtype wanted)
{
    return spec->rank == 2 && ends_with(spec->name, "weight") ? wanted : MEGA_F32;
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
    size_t item = mega_dtype_traits((int)left->dtype)->item_size;
    if (mega_checkpoint_same(left, right))
        return true;
    return a->spec.rank == 2 && left->dtype == right->dtype && contiguous(left) &&
           contiguous(right) &&
           memcmp((const char *)left->storage + left->offset * item,
                  (const char *)right->storage + right->offset * item,
                  (size_t)left->elements * item) == 0;
}

static MegaTensorDecl *declare(const Items *items, MegaDtype wanted)
{
    MegaTensorDecl *decls = calloc(items->count + 1, sizeof *decls);
    for (size_t i = 0; decls && i < items->count; i++) {
        const MegaTensorSpec *spec = &items->items[i].spec;
        decls[i] = (MegaTensorDecl){.name = spec->name, .dtype = stored_dtype(spec, wanted),
                                    .rank = spec->rank, .tied_to = -1};
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

static int write_tensor(MegaWriter *writer, const MegaCheckpoint *checkpoint, const Item *item,
                        MegaDtype dtype, MegaError *err)
{
    size_t n = (size_t)item->spec.elements, size = n * mega_dtype_traits((int)dtype)->item_size;
    float *values = malloc(n * sizeof *values);
    void *small = dtype == MEGA_F32 ? NULL : malloc(size);
    int code = mega_checkpoint_verify(checkpoint, item->from, err);
    if (!code && (!values || (dtype != MEGA_F32 && !small)))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", item->from->name);
    if (code)
        goto out;
    mega_checkpoint_read_f32(item->from, values);
    if (small) {
        for (size_t i = 0; i < n && dtype == MEGA_F16; i++)
            if (fabsf(values[i]) > 65504.0f) {
                code = mega_fail(err, MEGA_ERR_UNSUPPORTED,
                                 "tensor '%s' holds %g, too large for f16: use bf16 or f32",
                                 item->from->name, (double)values[i]);
                goto out;
            }
        mega_dtype_from_f32(dtype, values, n, small);
    }
    code = mega_writer_tensor(writer, small ? small : values, size, err);
out:
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
    MegaTensorDecl *decls = declare(items, options->dtype);
    if (!decls)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    /* a signal between the file's creation and this note of it would leave the file behind */
    sigset_t signals, before;
    fill_signals(&signals);
    pthread_sigmask(SIG_BLOCK, &signals, &before);
    int code = mega_writer_new(&writer, options->path, meta, decls, items->count, options->compress,
                               err);
    active_writer = writer;
    pthread_sigmask(SIG_SETMASK, &before, NULL);
    for (size_t i = 0; i < items->count; i++)
        total += items->items[i].spec.elements;
    progress_begin(&progress, total, "parameters", options->quiet);
    for (size_t i = 0; i < items->count && !code; i++) {
        if (decls[i].tied_to < 0)
            code = write_tensor(writer, items->checkpoint, &items->items[i], decls[i].dtype, err);
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
        code = check_leftovers(&items, options->keep_going, err);
    if (!code)
        code = write_all(options, &items, meta, err);
    free(items.items);
    return code;
}
