/*
 * observe.h - computes the numbers behind the pictures: how far a model's layers can see, and which
 * positions they attended to in an input.
 *
 * A position is one element of the sequence that the layers run over: a token, a pixel, a patch, a
 * sample or a frame of samples. A distance is the key's position minus the query's, so it is
 * negative for earlier positions.
 */
#ifndef MEGA_OBSERVE_H
#define MEGA_OBSERVE_H

#include "src/layers/mega.h"
#include "src/model/model.h"

/* Returns what one position of the encoder, or of the decoder, is: "frames", "samples", "pixels",
 * "patches", "characters" or "tokens". */
const char *observe_unit(const MegaModel *model, bool decoder);
/* Returns general.name or, if the model has none, the file's name without folder and suffix, which
 * is written to buffer. */
const char *observe_model_name(const MegaModel *model, char buffer[256]);

/* Refuses a model whose layers are of a kind that has nothing to show: neither a moving average and
 * a gate, nor heads. */
int observe_check(const MegaModel *model, MegaError *err);

/* ---- The weights ---------------------------------------------------------------------------- */

/* Reads any tensor of the file as float32 into *out, which the caller frees. A missing tensor is an
 * error. */
int observe_tensor(const MegaModel *model, const char *name, float **out, size_t *count,
                   MegaError *err);

/* Computes kernel [lags], K(t) = sum_n w_n q_n^t for row `row` of the EMA. It is 0 from the EMA's
 * truncation on. Rows from d on are those that look ahead. Terms that have shrunk by 10^9 are left
 * out. */
void observe_kernel(const MegaEma *ema, size_t row, size_t lags, float *kernel);
/* Returns how far a kernel reaches: the mean of the lags, weighted by |K|. */
double observe_reach(const float *kernel, size_t lags);

/* The 10th, 50th and 90th percentile of the reach of all channels of one direction. */
typedef struct Reach {
    double low, middle, high; /* positions */
} Reach;
int observe_layer_reach(const MegaEma *ema, bool ahead, size_t lags, Reach *out, MegaError *err);

/* Computes the relative position bias of a layer, whose prefix is such as "encoder.layer.3" or
 * "decoder.layer.0.cross". table is [2 positions - 1], the caller frees it, and the entry of a
 * distance is positions - 1 + distance. `stored` is the M of a simple bias and at least
 * `positions`. */
int observe_bias(const MegaModel *model, const MegaStackConfig *stack, const char *prefix,
                 size_t stored, size_t positions, float **table, MegaError *err);

typedef struct MatrixStats {
    double rms, largest;
    double near_zero; /* share of the values below a tenth of rms; a normal distribution has 0.08 */
} MatrixStats;
MatrixStats observe_matrix(const float *values, size_t count);

/* ---- An input ------------------------------------------------------------------------------- */

/*
 * Computes pooled [length], the attention that each position gets: the mean over the queries of its
 * chunk. q and k are [length][z], as the taps give them; `bias` points to the entry of distance 0.
 * The queries are taken in blocks, so that memory stays small.
 */
int observe_attention(const MegaStackConfig *stack, const float *q, const float *k, size_t length,
                      const float *bias, float *pooled, MegaError *err);

/* Holds what was recorded while the encoder read one input. */
typedef struct Observed {
    size_t length;    /* positions */
    int heads, strips; /* heads of a layer, 1 without any; strips: layers * heads */
    float *attention; /* [strips][length], as a multiple of the strip's mean */
    float *combined;  /* [length], the mean of `attention` over the strips */
    float *gate;      /* [layers][length], the mean of the update gate over the channels; or NULL */
} Observed;

typedef struct Observer {
    const MegaModel *model;
    Observed inputs[2]; /* a model for pairs uses both, all others the first */
    float *q;           /* the queries of the layer that runs, kept until its keys arrive */
    MegaError err;      /* the first error in the tap */
} Observer;

/* A tap for mega_session_set_tap, which also needs mega_session_tap_attention; its context is an
 * Observer. A tap cannot return an error, so it
 * stores one in observer->err. */
void observe_tap(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns);
/* Computes `combined` after the run, and returns the error that the tap stored, if any. */
int observe_finish(Observer *observer, MegaError *err);
void observer_free(Observer *observer);

#endif
