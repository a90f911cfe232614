/*
 * load.c - see load.h.
 *
 * Tensors of the file are bound to those of the model, placed in memory, and decoded block by block
 * by all processors, in that order.
 */
#include "src/model/load.h"

#include <assert.h>
#include <stdlib.h>

#include "src/base/lock.h"
#include "src/base/threads.h"
#include "src/model/stored.h"

/* ---- Binding -------------------------------------------------------------------------------- */

/* A tensor of the model, which is a whole tensor of the file or some rows of one. */
typedef struct Part {
    const float **slot; /* set for floats: the pointer to them */
    MegaPacked *packed; /* set for a matrix */
    uint64_t first_row, rows; /* in the file's tensor, unless that one is transposed */
    bool transposed;
    void *target; /* where the matrix is decoded to; NULL: it is used in place */
} Part;

/* A tensor of the file, with the tensors of the model that it holds: more than one only in files of
 * earlier versions. */
#define MAX_PARTS 3
typedef struct Binding {
    const MegaTensor *tensor;
    bool matrix;
    Part parts[MAX_PARTS]; /* [part_count], sorted by first_row */
    int part_count;
    bool copied;   /* at least one part is not used in place */
    float *floats; /* where a tensor other than a matrix is decoded to; NULL: it is used in place */
} Binding;

struct MegaLoader {
    MegaModel *model;
    Binding *bindings; /* [tensor count], indexed like the tensors of the file */
};

/* Finds a tensor of the model in the file, and adds it to the parts of that tensor. */
static int bind_tensor(void *context, const MegaTensorSpec *spec, MegaError *err)
{
    MegaLoader *loader = context;
    MegaModel *model = loader->model;
    MegaStored place;
    int code = mega_stored_find(model->file, &model->config, spec, &place, err);
    if (code)
        return code;
    Binding *binding = &loader->bindings[place.tensor->index];
    binding->tensor = place.tensor;
    binding->matrix = spec->matrix;
    assert(binding->part_count < MAX_PARTS);
    binding->parts[binding->part_count++] =
        (Part){.slot = spec->slot, .packed = spec->packed, .first_row = place.first_row,
               .rows = spec->shape[0], .transposed = place.transposed};
    if (place.tensor->tied_to < 0 && !spec->kept)
        model->parameters += spec->elements;
    return 0;
}

static int check_all_bound(const MegaLoader *loader, MegaError *err)
{
    const MegaFile *file = loader->model->file;
    for (size_t i = 0; i < mega_file_tensor_count(file); i++)
        if (!loader->bindings[i].tensor)
            return mega_fail(err, MEGA_ERR_MODEL,
                             "%s: tensor '%s' is not part of this architecture",
                             mega_file_name(file), mega_file_tensor(file, i)->name);
    return 0;
}

int mega_loader_new(MegaLoader **out, MegaModel *model, MegaError *err)
{
    MegaLoader *loader = calloc(1, sizeof *loader);
    *out = NULL;
    if (loader) {
        loader->model = model;
        loader->bindings =
            calloc(mega_file_tensor_count(model->file) + 1, sizeof *loader->bindings);
    }
    int code = loader && loader->bindings
                   ? mega_tensors_each(&model->config, &model->weights, bind_tensor, loader, err)
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the list of tensors");
    if (!code)
        code = check_all_bound(loader, err);
    if (code) {
        mega_loader_free(loader);
        return code;
    }
    *out = loader;
    return 0;
}

void mega_loader_free(MegaLoader *loader)
{
    if (!loader)
        return;
    free(loader->bindings);
    free(loader);
}

/* ---- Placing: in the mapping where possible, else in memory of our own ---------------------- */

static bool aligned(const void *data)
{
    return data && (uintptr_t)data % sizeof(float) == 0;
}

static void place_floats(const MegaFile *file, Binding *binding, MegaArena *arena)
{
    const MegaTensor *tensor = binding->tensor;
    const float *data = mega_file_data(file, tensor);
    const uint64_t columns = tensor->elements / tensor->shape[0];
    if (tensor->dtype != MEGA_F32 || !aligned(data)) {
        binding->copied = true;
        data = binding->floats = mega_arena_floats(arena, tensor->elements);
    }
    for (int i = 0; i < binding->part_count; i++)
        *binding->parts[i].slot = data ? data + binding->parts[i].first_row * columns : NULL;
}

/* Places rows of a matrix: in the file if they begin with a panel there, else in a copy. A
 * transposed matrix becomes float32. */
static void place_part(const MegaModel *model, Binding *binding, Part *part, MegaArena *arena)
{
    const MegaTensor *tensor = binding->tensor;
    const char *panels = mega_file_panels(model->file, tensor);
    MegaPacked *packed = part->packed;
    *packed = (MegaPacked){.forms = model->forms,
                           .dtype = part->transposed ? MEGA_F32 : tensor->dtype,
                           .in = (size_t)tensor->shape[part->transposed ? 0 : 1],
                           .out = (size_t)part->rows};
    if (aligned(panels) && part->first_row % MEGA_PANEL == 0 && !part->transposed) {
        packed->panels = panels + mega_packed_bytes(packed->dtype, part->first_row, packed->in);
        return;
    }
    uint64_t bytes = mega_packed_bytes(packed->dtype, packed->out, packed->in);
    binding->copied = true;
    part->target = mega_arena_floats(arena, (bytes + 3) / sizeof(float));
    packed->panels = part->target;
    if (part->target)
        mega_panels_fill(packed->dtype, part->target, packed->out, packed->in);
}

/* Returns the binding whose data this one can share, or NULL. */
static const Binding *shared(const MegaLoader *loader, const Binding *binding)
{
    if (binding->tensor->tied_to < 0)
        return NULL;
    const Binding *holder = &loader->bindings[binding->tensor->tied_to];
    bool same = holder->matrix == binding->matrix && holder->part_count == 1 &&
                binding->part_count == 1 &&
                holder->parts[0].transposed == binding->parts[0].transposed;
    return same ? holder : NULL;
}

void mega_loader_place(MegaLoader *loader, MegaArena *arena)
{
    const MegaFile *file = loader->model->file;
    for (size_t i = 0; i < mega_file_tensor_count(file); i++) {
        Binding *binding = &loader->bindings[i];
        const Binding *holder = shared(loader, binding); /* comes earlier in the file */
        if (holder && binding->matrix)
            *binding->parts[0].packed = *holder->parts[0].packed;
        else if (holder)
            *binding->parts[0].slot = *holder->parts[0].slot;
        else if (!binding->matrix)
            place_floats(file, binding, arena);
        for (int part = 0; binding->matrix && !holder && part < binding->part_count; part++)
            place_part(loader->model, binding, &binding->parts[part], arena);
    }
}

/* Lists the matrices for kernels that read them in another form (forms.h). */
static void note_matrices(const MegaLoader *loader)
{
    const MegaModel *model = loader->model;
    for (size_t i = 0; i < mega_file_tensor_count(model->file); i++) {
        const Binding *binding = &loader->bindings[i];
        for (int part = 0; binding->matrix && part < binding->part_count; part++)
            if (!shared(loader, binding))
                mega_forms_note(model->forms, binding->parts[part].packed);
    }
}

static bool needs_decoding(const Binding *binding)
{
    for (int i = 0; i < binding->part_count; i++)
        if (binding->parts[i].target)
            return true;
    return binding->floats != NULL;
}

uint64_t mega_loader_in_place(const MegaLoader *loader)
{
    uint64_t bytes = 0;
    for (size_t i = 0; i < mega_file_tensor_count(loader->model->file); i++) {
        const Binding *binding = &loader->bindings[i];
        if (binding->tensor->tied_to < 0 && !binding->copied)
            bytes += binding->tensor->stored_size;
    }
    return bytes;
}

/* ---- Decoding ------------------------------------------------------------------------------- */

#define JOB_BYTES (1u << 18)     /* decoded bytes of a job of a tensor without compressed blocks */
#define SCRATCH_BYTES (1u << 24) /* limit for all workers together, unless one alone needs more */
#define BLOCK_COPIES 3 /* a worker holds a block as it is stored, shuffled, and in order */

/* A block of a compressed tensor, or some rows of another one. */
typedef struct Job {
    const Binding *binding;
    uint32_t block;
    uint64_t first_row, rows;
} Job;

typedef struct Decode {
    const MegaFile *file;
    Job *jobs;
    size_t count;
    char *scratch; /* [threads][scratch_size]: room for the largest block or row */
    size_t scratch_size;
    MegaLock lock;
    size_t failed_job; /* the first job that failed, so that the message does not depend on the
                          threads */
    MegaError error;
} Decode;

static uint64_t columns_of(const MegaTensor *tensor)
{
    return tensor->shape[tensor->rank - 1];
}

/* Writes items of one row to a column of a matrix that the file holds transposed. */
static void put_column(const Part *part, MegaDtype dtype, uint64_t row, uint64_t first,
                       uint64_t count, const char *items)
{
    const MegaDtypeTraits *traits = mega_dtype_traits((int)dtype);
    const MegaPacked *packed = part->packed;
    float values[MEGA_SCALE_BLOCK];
    for (uint64_t i = first; i < first + count; i++, items += traits->item_size) {
        size_t begin = (size_t)i * traits->block, left = packed->out - begin;
        size_t elements = left < traits->block ? left : traits->block;
        mega_dtype_to_f32(dtype, items, elements, values);
        for (size_t e = 0; e < elements; e++)
            mega_panels_store(MEGA_F32, part->target, packed->in, begin + e, (size_t)row, 1,
                              &values[e]);
    }
}

/* Writes items of one row to their place. */
static void put_items(const Binding *binding, uint64_t row, uint64_t first, uint64_t count,
                      const char *items)
{
    const MegaTensor *tensor = binding->tensor;
    uint64_t columns = columns_of(tensor);
    if (!binding->matrix) {
        uint64_t block = mega_dtype_traits((int)tensor->dtype)->block, begin = first * block;
        uint64_t elements = count * block < columns - begin ? count * block : columns - begin;
        mega_dtype_to_f32(tensor->dtype, items, (size_t)elements,
                          binding->floats + row * columns + begin);
        return;
    }
    const Part *part = binding->parts;
    if (part->transposed) {
        put_column(part, tensor->dtype, row, first, count, items);
        return;
    }
    while (row >= part->first_row + part->rows)
        part++;
    if (part->target)
        mega_panels_store(tensor->dtype, part->target, (size_t)columns,
                          (size_t)(row - part->first_row), (size_t)first, (size_t)count, items);
}

/* Writes whole items that begin at byte `begin` of the decoded tensor. */
static void put_bytes(const Binding *binding, uint64_t begin, uint64_t size, const char *bytes)
{
    const MegaTensor *tensor = binding->tensor;
    uint64_t item = mega_dtype_traits((int)tensor->dtype)->item_size;
    uint64_t per_row = mega_dtype_items(tensor->dtype, columns_of(tensor));
    for (uint64_t at = begin / item, end = (begin + size) / item; at < end;) {
        uint64_t first = at % per_row;
        uint64_t count = per_row - first < end - at ? per_row - first : end - at;
        put_items(binding, at / per_row, first, count, bytes);
        bytes += count * item;
        at += count;
    }
}

/* Decodes one job to its places. scratch holds scratch_size bytes. */
static int decode_job(const Decode *decode, const Job *job, char *scratch, MegaError *err)
{
    const MegaTensor *tensor = job->binding->tensor;
    if (tensor->block_count) {
        uint64_t begin = (uint64_t)job->block * tensor->block_size;
        uint64_t size = tensor->size - begin < tensor->block_size ? tensor->size - begin
                                                                  : tensor->block_size;
        int code = mega_file_read_block(decode->file, tensor, job->block, scratch, err);
        if (!code)
            put_bytes(job->binding, begin, size, scratch);
        return code;
    }
    const char *plain = mega_file_data(decode->file, tensor);
    const void *panels = mega_file_panels(decode->file, tensor);
    uint64_t row_bytes = tensor->size / (tensor->elements / columns_of(tensor));
    for (uint64_t row = job->first_row; row < job->first_row + job->rows; row++) {
        if (panels)
            mega_panels_load(tensor->dtype, panels, (size_t)columns_of(tensor), (size_t)row,
                             scratch);
        put_bytes(job->binding, row * row_bytes, row_bytes,
                  panels ? scratch : plain + row * row_bytes);
    }
    return 0;
}

static void run_job(void *context, size_t task, int worker)
{
    Decode *decode = context;
    MegaError err = {0};
    char *scratch = decode->scratch + (size_t)worker * decode->scratch_size;
    if (decode_job(decode, &decode->jobs[task], scratch, &err) == 0)
        return;
    mega_lock(&decode->lock);
    if (task < decode->failed_job) {
        decode->failed_job = task;
        decode->error = err;
    }
    mega_unlock(&decode->lock);
}

/* Adds the jobs of one tensor. If decode->jobs is NULL, it only counts them. */
static void add_jobs(Decode *decode, const Binding *binding)
{
    const MegaTensor *tensor = binding->tensor;
    uint64_t rows = tensor->elements / columns_of(tensor), row_bytes = tensor->size / rows;
    uint64_t each = row_bytes < JOB_BYTES ? JOB_BYTES / row_bytes : 1;
    size_t count = tensor->block_count ? tensor->block_count : (size_t)((rows - 1) / each + 1);
    size_t scratch = tensor->block_count                             ? tensor->block_size
                     : mega_file_panels(decode->file, tensor) != NULL ? (size_t)row_bytes
                                                                      : 0;
    if (scratch > decode->scratch_size)
        decode->scratch_size = scratch;
    for (size_t i = 0; decode->jobs && i < count; i++)
        decode->jobs[decode->count + i] =
            (Job){.binding = binding, .block = (uint32_t)i, .first_row = i * each,
                  .rows = rows - i * each < each ? rows - i * each : each};
    decode->count += count;
}

static void list_jobs(Decode *decode, const MegaLoader *loader)
{
    decode->count = 0;
    for (size_t i = 0; i < mega_file_tensor_count(decode->file); i++)
        if (needs_decoding(&loader->bindings[i]))
            add_jobs(decode, &loader->bindings[i]);
}

/* Makes a pool with a thread for every processor, or fewer if their blocks would take more than
 * SCRATCH_BYTES. */
static int decode_pool(MegaPool **out, size_t scratch_size, MegaError *err)
{
    size_t most = SCRATCH_BYTES / (BLOCK_COPIES * scratch_size + 1);
    int code = mega_pool_new(out, 0, err);
    if (code || (size_t)mega_pool_threads(*out) <= most || mega_pool_threads(*out) == 1)
        return code;
    mega_pool_free(*out);
    return mega_pool_new(out, most > 1 ? (int)most : 1, err);
}

/* Decodes the blocks of all tensors in parallel. */
static int decode_all(const MegaLoader *loader, MegaError *err)
{
    Decode decode = {.file = loader->model->file, .failed_job = SIZE_MAX};
    MegaPool *pool = NULL;
    list_jobs(&decode, loader);
    if (decode.count == 0)
        return 0;
    decode.jobs = calloc(decode.count, sizeof *decode.jobs);
    int code = decode_pool(&pool, decode.scratch_size, err);
    if (code)
        goto out;
    decode.scratch = malloc(decode.scratch_size * (size_t)mega_pool_threads(pool) + 1);
    if (!decode.jobs || !decode.scratch) {
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory to decode the weights");
        goto out;
    }
    list_jobs(&decode, loader);
    mega_lock_init(&decode.lock);
    mega_pool_run(pool, decode.count, run_job, &decode);
    mega_lock_free(&decode.lock);
    if (decode.failed_job != SIZE_MAX)
        code = mega_fail(err, decode.error.code, "%s", decode.error.text);
out:
    mega_pool_free(pool);
    free(decode.scratch);
    free(decode.jobs);
    return code;
}

int mega_loader_decode(const MegaLoader *loader, MegaError *err)
{
    int code = decode_all(loader, err);
    if (!code)
        note_matrices(loader);
    return code;
}
