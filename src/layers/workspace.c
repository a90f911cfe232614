/*
 * workspace.c - the memory of whole sequences on their way through a stack; see layer.h.
 */
#include "src/base/checked.h"
#include "src/layers/layer.h"
#include "src/layers/norm.h"

/* A sequence that is long enough is cut into at least LEAST_BLOCKS blocks, so that there is work
 * for all threads, but no block has fewer than LEAST_ROWS rows. */
#define LEAST_BLOCKS 16
#define LEAST_ROWS 12

/* Sets the workspace's number of positions and rows of a block. */
static void shape(MegaWorkspace *workspace, const MegaBatch *batch)
{
    *workspace = (MegaWorkspace){.sequences = batch->count,
                                 .shows_attention = workspace->shows_attention,
                                 .plan = workspace->plan};
    for (size_t i = 0; i < batch->count; i++)
        workspace->length += batch->lengths[i];
    size_t blocks = mega_min_size(workspace->length / LEAST_ROWS, LEAST_BLOCKS);
    workspace->row_block =
        mega_min_size(mega_pieces(workspace->length, blocks ? blocks : 1), MEGA_ROW_BLOCK);
}

void mega_workspace_layout(MegaWorkspace *workspace, const MegaStack *stack, const MegaBatch *batch,
                           int threads, uint64_t least_scratch, MegaArena *arena)
{
    shape(workspace, batch);
    uint64_t floats = workspace->length * (uint64_t)stack->config->width;
    workspace->begin = mega_arena_take(arena, (batch->count + 1) * sizeof *workspace->begin);
    if (workspace->begin)
        workspace->begin[0] = 0;
    for (size_t i = 0; workspace->begin && i < batch->count; i++)
        workspace->begin[i + 1] = workspace->begin[i] + batch->lengths[i];
    workspace->x = mega_arena_floats(arena, floats);
    workspace->spare = mega_arena_floats(arena, floats);
    stack->kind->layout(workspace, stack, batch, arena);
    if (least_scratch > SIZE_MAX / 2) /* possible with addresses of 32 bits */
        arena->overflow = true;
    else if (workspace->scratch_stride < least_scratch)
        workspace->scratch_stride = (size_t)mega_whole_lines(least_scratch);
    workspace->scratch =
        mega_arena_floats(arena, workspace->scratch_stride * (uint64_t)threads);
}

typedef struct Norm {
    const MegaPass *pass;
    const MegaNorm *norm;
    float *out;
} Norm;

static void norm_rows(void *context, size_t task, int worker)
{
    (void)worker;
    const Norm *step = context;
    const MegaWorkspace *w = step->pass->workspace;
    size_t d = (size_t)step->pass->config->width, first = task * w->row_block;
    mega_norm_apply(step->norm, step->pass->kernels, w->x + first * d, mega_block_rows(w, task), d,
                    step->out + first * d);
}

void mega_workspace_norm(const MegaPass *pass, const MegaNorm *norm, float *out)
{
    Norm step = {pass, norm, out};
    mega_pool_run(pass->pool, mega_row_blocks(pass->workspace), norm_rows, &step);
}
