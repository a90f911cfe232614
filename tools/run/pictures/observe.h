/*
 * observe.h - the numbers behind the pictures: what a model's layers can see, and what they looked
 * at when they read an input.
 *
 * A position is what the layers count in: a token, a pixel, a patch, a sample or a frame of them.
 * Distances are signed: key minus query, so what lies behind is negative.
 */
#ifndef MEGA_OBSERVE_H
#define MEGA_OBSERVE_H

#include "src/layers/mega.h"
#include "src/model/model.h"

/* "frames", "samples", "pixels", "patches", "characters" or "tokens": what the positions of the
 * encoder, or of the decoder, are. */
const char *observe_unit(const MegaModel *model, bool decoder);
/* general.name, or the file's name without folder and suffix; buffer is used for the latter. */
const char *observe_model_name(const MegaModel *model, char buffer[256]);

/* ---- The weights ---------------------------------------------------------------------------- */

/* Any tensor of the file as float32; *out by malloc. A missing one is an error. */
int observe_tensor(const MegaModel *model, const char *name, float **out, size_t *count,
                   MegaError *err);

/* kernel [lags]: K(t) = sum_n w_n q_n^t of row `row` of the EMA, 0 from its truncation on. Rows
 * from d on look ahead. Terms that have shrunk by 10^9 are left out. */
void observe_kernel(const MegaEma *ema, size_t row, size_t lags, float *kernel);
/* How far it reaches: the mean lag, every lag counted by its |K|. */
double observe_reach(const float *kernel, size_t lags);

/* Of all channels of one direction: a tenth reaches no further than low, half than middle, nine
 * tenths than high. */
typedef struct Reach {
    double low, middle, high; /* positions */
} Reach;
int observe_layer_reach(const MegaEma *ema, bool ahead, size_t lags, Reach *out, MegaError *err);

/* The relative bias of a layer (prefix "encoder.layer.3", "decoder.layer.0.cross"): table
 * [2 positions - 1] by malloc, entry positions - 1 + distance. stored: M of a simple bias, at least
 * `positions`. */
int observe_bias(const MegaModel *model, const MegaStackConfig *stack, const char *prefix,
                 size_t stored, size_t positions, float **table, MegaError *err);

typedef struct MatrixStats {
    double rms, largest;
    double near_zero; /* the share below a tenth of rms; 0.08 of a normal distribution */
} MatrixStats;
MatrixStats observe_matrix(const float *values, size_t count);

/* ---- An input ------------------------------------------------------------------------------- */

/*
 * pooled [length]: how much attention each position got, the mean over the queries of its chunk.
 * q, k [length][z] as the taps give them; bias: the entry of distance 0. Works block by block of
 * queries.
 */
int observe_attention(const MegaStackConfig *stack, const float *q, const float *k, size_t length,
                      const float *bias, float *pooled, MegaError *err);

/* What the encoder did with one input. */
typedef struct Observed {
    size_t length;    /* positions */
    float *attention; /* [layers][length]: times the layer's mean */
    float *combined;  /* [length]: mean of these over the layers */
    float *gate;      /* [layers][length]: mean over channels of the update gate */
} Observed;

typedef struct Observer {
    const MegaModel *model;
    Observed inputs[2]; /* of a pair model; else the first */
    float *q;           /* of the layer that runs */
    MegaError err;      /* what went wrong in the tap */
} Observer;

/* A tap for mega_session_set_tap, with an Observer as its context. Look at err afterwards. */
void observe_tap(void *context, const char *stage, int input, const float *data, size_t rows,
                 size_t columns);
/* After the run: makes `combined`. Returns err. */
int observe_finish(Observer *observer, MegaError *err);
void observer_free(Observer *observer);

#endif
