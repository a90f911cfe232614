/*
 * decoder.h - the state of decoding, and one pass of rows through it; the public side is in mega.h.
 *
 * A pass takes `rows` rows, either consecutive positions of one sequence (a block, inside of one
 * chunk), or one position of as many sequences (across). Three things are kept between passes:
 *
 *   EMA states        two buffers used in turn: a pass reads a sequence's state where its parent
 *                     left it and writes its own, so that choosing sequences moves nothing
 *   keys and values   of the current chunk, [position][sequence], written once and never moved;
 *                     `ancestors` says for each live sequence whose entry counts at each position
 *   history           only when EMA truncation is on: the last T inputs of the EMA
 */
#ifndef MEGA_DECODER_H
#define MEGA_DECODER_H

#include "src/decode/logits.h"
#include "src/decode/sources.h"
#include "src/encode/session.h"

#define MEGA_PASS_ROWS 128 /* most positions of a block */

typedef struct MegaDecoderLayer {
    float *k, *v;      /* [reserved][sequences][z], [reserved][sequences][h] */
    float *ema[2];     /* [sequences][mega_ema_state_floats] */
    float *history;    /* [history_rows][d]: x of position t at row t mod T */
    float *bias;       /* rotary: [2 bias_positions - 1] */
    float *cross_bias; /* rotary: likewise */
} MegaDecoderLayer;

/* Memory of one pass, in the arena. d, h, z, MX = 2 d + z + h as in the layers. */
typedef struct MegaPassMemory {
    float *x, *normed, *moved; /* [rows][d] */
    float *gone;               /* [rows][d]: x of T positions ago; with truncation */
    float *mx;                 /* [rows][MX]: u, z, r, hx */
    float *q;                  /* [rows][z] */
    float *key_panels;         /* [reserved, in whole panels][z]: of a pass over a block */
    float *attended;           /* [rows][max(h, d)] */
    float *wide;               /* [rows][max(ffn, 2 d + z, h)] */
    float *weights;            /* [sequences][reserved]: attention of one position each */
    float *cross;              /* [rows][longest source]: the last layer's attention weights */
    float *entry;              /* [widest band]: of the embedding, before its projection */
    float *scratch;            /* [threads][scratch_stride] */
    size_t scratch_stride;
} MegaPassMemory;

struct MegaDecoder {
    MegaSession *session;
    MegaStackConfig config; /* the model's, with the chunk that was asked for */
    bool truncate;
    size_t sequences;    /* capacity */
    size_t live;
    int64_t position;    /* tokens read */
    size_t in_chunk;     /* of them in the current chunk */
    bool straight;       /* one live sequence, all of whose keys are entries of sequence 0 */
    size_t reserved;     /* positions that k, v and ancestors have room for */
    size_t history_rows;
    size_t bias_positions;
    size_t longest_source;
    int current;         /* which of the two EMA buffers holds the states */
    size_t *parents, *next_parents;              /* [sequences]: where live sequence i left them */
    const MegaEncoded **sources, **next_sources; /* [sequences] */
    int32_t *ancestors, *next_ancestors;         /* [sequences][reserved] */
    MegaDecoderLayer *layers;
    bool planned; /* memory has room for `reserved` positions and the longest source */
    MegaLedger *ledger;
    uint64_t counted; /* bytes in it */
    MegaArena arena;
    MegaPassMemory memory;
    MegaLogits logits;
};

/* How many tokens a decoder with that chunk can read: as many as the tables of a simple bias have
 * positions, else any number. */
int64_t mega_decoder_positions(const MegaConfig *model, int chunk);
/* Whether it has read all of them. */
bool mega_decoder_full(const MegaDecoder *decoder);

/* Rows of a task. */
#define MEGA_QUERY_ROWS 32

/* Runs layer number `index` on memory.x of `rows` rows. */
void mega_decoder_layer_run(MegaDecoder *decoder, size_t rows, bool across, int index);

#endif
