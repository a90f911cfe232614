/*
 * items.c - see items.h.
 */
#include "tools/convert/items.h"

#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/common/messages.h"

#define MAX_REPEATED (1u << 20)

static void shape_text(const uint64_t *shape, int rank, char *text, size_t size)
{
    size_t used = (size_t)snprintf(text, size, rank < 0 ? "[?" : "[");
    for (int i = 0; i < rank && used < size; i++)
        used += (size_t)snprintf(text + used, size - used, "%s%llu", i ? ", " : "",
                                 (unsigned long long)shape[i]);
    if (used < size)
        snprintf(text + used, size - used, "]");
}

/* Computes the shape of the tensor that holds the item. */
static void shape_of_holder(const Item *item, uint64_t shape[MEGA_MAX_RANK])
{
    memcpy(shape, item->spec.shape, sizeof item->spec.shape);
    if (item->transposed) {
        shape[0] = item->spec.shape[1];
        shape[1] = item->spec.shape[0];
    }
    if (item->whole_rows)
        shape[0] = item->whole_rows;
}

void item_place_text(const Item *item, uint64_t element, char *text, size_t size)
{
    uint64_t index[MEGA_MAX_RANK];
    for (int i = item->spec.rank - 1; i >= 0; i--) {
        index[i] = element % item->spec.shape[i];
        element /= item->spec.shape[i];
    }
    if (item->transposed) {
        uint64_t row = index[0];
        index[0] = index[1];
        index[1] = row;
    }
    index[0] += item->first_row;
    shape_text(index, item->spec.rank, text, size);
}

/* ---- A tensor of a checkpoint --------------------------------------------------------------- */

/* The part of a checkpoint's tensor that is an item. */
typedef struct View {
    MegaCheckpointTensor tensor;
    uint64_t shape[MEGA_CHECKPOINT_MAX_RANK];
    int64_t stride[MEGA_CHECKPOINT_MAX_RANK];
} View;

/* Returns the rank of the checkpoint's tensor without the leading and trailing dimensions of 1 that
 * the item does not have; *first is the number of leading ones. */
static int plain_rank(const Item *item, int *first)
{
    const MegaCheckpointTensor *from = item->from;
    int rank = from->rank;
    for (*first = 0; rank > item->spec.rank && from->shape[*first] == 1; rank--)
        ++*first;
    while (rank > item->spec.rank && from->shape[*first + rank - 1] == 1)
        rank--;
    return rank;
}

/* Copies a shape without its dimensions of 1 and returns its rank. */
static int squeeze(const uint64_t *shape, int rank, uint64_t out[MEGA_CHECKPOINT_MAX_RANK])
{
    int count = 0;
    for (int i = 0; i < rank; i++)
        if (shape[i] != 1)
            out[count++] = shape[i];
    return count;
}

/* Returns whether the item is the whole tensor, element by element. */
static bool is_whole(const Item *item)
{
    return !item->transposed && !item->whole_rows;
}

/* Compares shapes of a whole tensor, in which dimensions of 1 do not count at all. */
static bool whole_fits(const Item *item)
{
    uint64_t wanted[MEGA_CHECKPOINT_MAX_RANK], have[MEGA_CHECKPOINT_MAX_RANK];
    const MegaCheckpointTensor *from = item->from;
    if (from->rank < 0 || from->rank > MEGA_CHECKPOINT_MAX_RANK ||
        from->elements != item->spec.elements)
        return false;
    const int rank = squeeze(item->spec.shape, item->spec.rank, wanted);
    if (squeeze(from->shape, from->rank, have) < rank)
        return false;
    for (int i = 0; i < rank - 1; i++)
        if (have[i] != wanted[i])
            return false;
    return true;
}

/* Returns whether the tensor has the same elements in the same order: leading and trailing
 * dimensions of 1 do not count, and further trailing dimensions may be flattened ([D, C, p, p] is
 * [D, C p p]). */
static bool shape_fits(const Item *item)
{
    uint64_t wanted[MEGA_MAX_RANK], elements = 1;
    if (is_whole(item))
        return whole_fits(item);
    int first, rank = plain_rank(item, &first);
    shape_of_holder(item, wanted);
    for (int i = 0; i < item->spec.rank; i++)
        elements *= wanted[i];
    if (rank < item->spec.rank || item->from->elements != elements ||
        (item->transposed && rank != 2))
        return false;
    for (int i = 0; i < item->spec.rank - 1; i++)
        if (item->from->shape[first + i] != wanted[i])
            return false;
    return true; /* the last dimension follows from the number of elements */
}

static void make_view(const Item *item, View *view)
{
    int first = 0, rank = is_whole(item) ? item->from->rank : plain_rank(item, &first);
    view->tensor = *item->from;
    view->tensor.rank = rank;
    view->tensor.shape = view->shape;
    view->tensor.stride = view->stride;
    view->tensor.elements = item->spec.elements;
    for (int i = 0; i < rank; i++) {
        int axis = first + (item->transposed ? rank - 1 - i : i);
        view->shape[i] = item->from->shape[axis];
        view->stride[i] = item->from->stride[axis];
    }
    if (item->whole_rows) {
        view->shape[0] = item->spec.shape[0];
        view->tensor.offset += item->first_row * (uint64_t)view->stride[0];
    }
}

static bool contiguous(const MegaCheckpointTensor *tensor)
{
    uint64_t run = 1;
    for (int i = tensor->rank - 1; i >= 0; run *= tensor->shape[i--])
        if (tensor->shape[i] != 1 && (uint64_t)tensor->stride[i] != run)
            return false;
    return true;
}

static bool same_in_checkpoint(const Item *a, const Item *b)
{
    View views[2];
    const MegaCheckpointTensor *left = &views[0].tensor, *right = &views[1].tensor;
    size_t item = mega_dtype_traits((int)a->from->dtype)->item_size;
    make_view(a, &views[0]);
    make_view(b, &views[1]);
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

bool item_same(const Item *a, const Item *b)
{
    if (item_is_computed(a) || item_is_computed(b))
        return false;
    if (a->stored)
        return b->stored->tied_to == (int)a->stored->index && a->first_row == b->first_row &&
               a->transposed == b->transposed;
    return same_in_checkpoint(a, b);
}

/* ---- Finding -------------------------------------------------------------------------------- */

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

/* Reports a missing tensor. All of them are reported before the conversion stops. */
static void note_missing(Items *items, const char *name)
{
    if (strcmp(items->last_missing, name) == 0)
        return;
    report("tensor '%s%s' is missing", items->architecture->names.prefix, name);
    snprintf(items->last_missing, sizeof items->last_missing, "%s", name);
    items->missing++;
}

static int add_from_checkpoint(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    Items *items = context;
    const Architecture *architecture = items->architecture;
    const MegaCheckpointTensor *from = NULL;
    TensorPlace place, first = {0};
    bool known = false;
    if (spec->kept)
        return append(items, &(Item){.spec = *spec}, err);
    for (int i = 0; !from && name_table_find(architecture->tensor_names, &architecture->config,
                                             spec->name, i, &place);
         i++) {
        first = known ? first : place;
        known = true;
        from = architecture_find(architecture, place.name);
    }
    if (!from) {
        note_missing(items, known ? first.name : spec->name);
        return 0;
    }
    if (place.longer && from->rank == 1 && from->shape[0] > spec->shape[0])
        place.whole_rows = from->shape[0];
    const Item item = {.spec = *spec,
                       .from = from,
                       .first_row = place.first_row,
                       .whole_rows = place.whole_rows,
                       .transposed = place.transposed};
    char found[128], expected[128];
    shape_text(from->shape, from->rank, found, sizeof found);
    /* integers may stand for numbers that only the scales beside them tell */
    if (!from->readable || (!spec->integer && !mega_dtype_is_real(from->dtype)))
        return mega_fail(err, MEGA_ERR_UNSUPPORTED,
                         "the model needs tensor '%s', but it is %s %s; expected numbers of f32, "
                         "f16, bf16 or f64 with at most %d dimensions",
                         from->name, from->type, found, MEGA_CHECKPOINT_MAX_RANK);
    if (!shape_fits(&item)) {
        uint64_t shape[MEGA_MAX_RANK];
        shape_of_holder(&item, shape);
        shape_text(shape, spec->rank, expected, sizeof expected);
        return mega_fail(err, MEGA_ERR_MODEL,
                         "tensor '%s' has shape %s, but the other tensors and arguments imply %s",
                         from->name, found, expected);
    }
    /* a stride of 0 repeats one element, so a tensor could claim more elements than the file has */
    if (from->elements > MAX_REPEATED &&
        from->elements > from->storage_size / mega_dtype_traits((int)from->dtype)->item_size)
        return mega_fail(err, MEGA_ERR_LIMIT,
                         "tensor '%s' claims %llu elements, more than its storage of %llu bytes "
                         "has",
                         from->name, (unsigned long long)from->elements,
                         (unsigned long long)from->storage_size);
    return append(items, &item, err);
}

int items_of_checkpoint(Items *items, MegaError *err)
{
    items->config = &items->architecture->config;
    int code =
        mega_tensors_each(&items->architecture->config, NULL, add_from_checkpoint, items, err);
    if (!code && items->missing)
        code = mega_fail(err, MEGA_ERR_MODEL, "%zu tensors of a %s are missing", items->missing,
                         items->architecture->family);
    return code;
}

typedef struct FileItems {
    Items *items;
    const MegaConfig *config;
    bool *used; /* [tensors of the file] */
} FileItems;

static int add_from_file(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    FileItems *all = context;
    MegaStored place;
    if (spec->kept && all->items->renews_kept)
        return append(all->items, &(Item){.spec = *spec}, err);
    int code = mega_stored_find(all->items->file, all->config, spec, &place, err);
    if (code)
        return code;
    all->used[place.tensor->index] = true;
    return append(all->items,
                  &(Item){.spec = *spec,
                          .stored = place.tensor,
                          .first_row = place.first_row,
                          .whole_rows = place.whole_rows,
                          .transposed = place.transposed},
                  err);
}

int items_of_file(Items *items, const MegaConfig *config, MegaError *err)
{
    size_t count = mega_file_tensor_count(items->file), unused = 0;
    FileItems all = {.items = items, .config = config, .used = calloc(count + 1, sizeof(bool))};
    items->config = config;
    if (!all.used)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    int code = mega_tensors_each(config, NULL, add_from_file, &all, err);
    for (size_t i = 0; i < count; i++)
        unused += !all.used[i] && !(items->renews_kept &&
                                    mega_stored_is_kept(mega_file_tensor(items->file, i)->name));
    if (!code && unused)
        code = mega_fail(err, MEGA_ERR_MODEL, "%s: %zu tensors are not part of its architecture",
                         mega_file_name(items->file), unused);
    free(all.used);
    return code;
}

/* ---- Reading -------------------------------------------------------------------------------- */

int item_read_bytes(const Items *items, const Item *item, char **data, size_t *size, MegaError *err)
{
    const MegaTensor *tensor = item->stored;
    *size = (size_t)tensor->size;
    *data = malloc(*size);
    int code = *data ? mega_file_read(items->file, tensor, *data, err)
                     : mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", tensor->name);
    if (code || !item->whole_rows)
        return code;
    const size_t row = (size_t)(tensor->size / tensor->shape[0]);
    *size = (size_t)item->spec.shape[0] * row;
    memmove(*data, *data + (size_t)item->first_row * row, *size);
    return 0;
}

/* Transposes [columns][rows] to values [rows][columns]. */
static void transpose(const float *from, uint64_t rows, uint64_t columns, float *values)
{
    for (uint64_t row = 0; row < rows; row++)
        for (uint64_t column = 0; column < columns; column++)
            values[row * columns + column] = from[column * rows + row];
}

bool item_is_part(const Item *item)
{
    return item->whole_rows || item->transposed;
}

static int read_stored(const Items *items, const Item *item, float *values, MegaError *err)
{
    const MegaTensor *tensor = item->stored;
    const uint64_t row = tensor->elements / tensor->shape[0];
    const bool part = item_is_part(item);
    char *data = malloc((size_t)tensor->size);
    float *whole = part ? malloc((size_t)tensor->elements * sizeof *whole) : values;
    int code = data && whole
                   ? mega_file_read(items->file, tensor, data, err)
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for tensor '%s'", tensor->name);
    if (!code)
        mega_dtype_tensor_to_f32(tensor->dtype, data, tensor->shape, tensor->rank, whole);
    if (!code && item->transposed)
        transpose(whole, item->spec.shape[0], item->spec.shape[1], values);
    else if (!code && part)
        memcpy(values, whole + item->first_row * row, (size_t)item->spec.elements * sizeof *values);
    free(data);
    if (part)
        free(whole);
    return code;
}

int item_read(const Items *items, const Item *item, float *values, MegaError *err)
{
    View view;
    if (item->stored)
        return read_stored(items, item, values, err);
    int code = mega_checkpoint_verify(items->checkpoint, item->from, err);
    make_view(item, &view);
    if (!code)
        mega_checkpoint_read_f32(&view.tensor, values);
    return code;
}
