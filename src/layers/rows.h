/*
 * rows.h - some rows of a layer's residual stream, and the threads that work on them. The parts of
 * a layer take these, so that the same code runs in an encoder and in a decoder.
 */
#ifndef MEGA_ROWS_H
#define MEGA_ROWS_H

#include "src/kernels/linear.h"
#include "src/layers/layer.h"
#include "src/layers/norm.h"

/* A block of an encoder's rows is a task among many, and one thread takes it from end to end. A
 * decoder's rows are few, and each product of them is divided between all threads by output
 * columns. Both give the same bits. */
typedef struct MegaRows {
    const MegaStackConfig *config;
    const MegaKernels *kernels;
    MegaPool *pool; /* NULL means that the calling thread works alone */
    float *x;       /* [count][d] residual stream */
    size_t count;
    bool in_ffn; /* the sub-block is the feed-forward one, whose norm may have another place */
} MegaRows;

/* Returns the rows of block number `block` of an encoder's pass, for one thread. */
static inline MegaRows mega_rows_of_block(const MegaPass *pass, size_t block)
{
    const MegaWorkspace *w = pass->workspace;
    return (MegaRows){.config = pass->config,
                      .kernels = pass->kernels,
                      .x = w->x + block * w->row_block * (size_t)pass->config->width,
                      .count = mega_block_rows(w, block)};
}

/* Returns the input of a sub-block: norm(x) in a pre-norm stack, which is stored in normed
 * [count][d], else x itself. */
const float *mega_rows_input(const MegaRows *rows, const MegaNorm *norm, float *normed);
/* Ends a sub-block: x = norm(x) in a post-norm stack. */
void mega_rows_finish(const MegaRows *rows, const MegaNorm *norm);

/* Ends a sub-block whose output [count][d] was not added to x yet: x += output, then
 * mega_rows_finish. */
void mega_rows_add(const MegaRows *rows, const float *output, const MegaNorm *norm);

/* Runs linear maps of the same x, at most MEGA_MAX_LINEARS. */
void mega_rows_linears(const MegaRows *rows, const MegaLinear *linears, size_t count);

/* Asks for the end of gated attention (MODEL.md, "Gated attention"):
 *   x += u (act(addend + Wh (a r) + bias) - x), and x = norm(x) in a post-norm stack */
typedef struct MegaGate {
    const float *attended; /* [rows][in]: a r */
    const MegaLinearWeights *h;
    const float *u; /* [rows][d], ld_u floats from row to row */
    size_t ld_u;
    const float *addend; /* [rows][d], or NULL */
    size_t ld_addend;
    const MegaNorm *norm;
} MegaGate;

void mega_rows_gate(const MegaRows *rows, const MegaGate *gate);

#endif
