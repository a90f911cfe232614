/*
 * decoder.h - the state of decoding, and one pass of rows through it; the public side is in mega.h.
 *
 * A pass takes some rows: consecutive positions of one sequence (a block, inside of one chunk), or
 * one position of as many sequences (MegaRowsAre in layer.h). What is kept between passes belongs
 * to the kind of layer, as far as it is not here: states in two buffers used in turn, keys and
 * values of the current chunk, and `ancestors`, which say whose keys count for each live sequence
 * (MegaStep in layer.h).
 */
#ifndef MEGA_DECODER_H
#define MEGA_DECODER_H

#include "src/decode/logits.h"
#include "src/decode/sources.h"
#include "src/encode/session.h"

#define MEGA_PASS_ROWS 128 /* most positions of a block */

/* Memory of one pass, in the arena. */
typedef struct MegaPassMemory {
    float *x;     /* [rows][d] */
    float *cross; /* [rows][longest source]: the last layer's weights of its cross attention */
    float *entry; /* [widest cluster]: of the embedding, before its projection */
    void *layers; /* what the kind of layer needs */
} MegaPassMemory;

struct MegaDecoder {
    MegaSession *session;
    MegaStackConfig config; /* the model's, with the chunk that was asked for */
    MegaDecoderSizes sizes; /* what the states and the lists of ancestors have room for */
    size_t live;
    int64_t position;    /* tokens read */
    size_t in_chunk;     /* of them in the current chunk */
    bool contiguous;     /* one live sequence, all of whose keys are entries of sequence 0 */
    int current;         /* which of two buffers holds the states that are used in turn */
    size_t *parents, *next_parents;              /* [sequences]: where live sequence i left them */
    const MegaEncoded **sources, **next_sources; /* [sequences] */
    int32_t *ancestors, *next_ancestors;         /* [sequences][reserved] */
    MegaGrowing *growing; /* [layers] memory of states */
    void **states;        /* [layers] what the kind of layer placed in it */
    bool planned;         /* the arena has room for a pass of these sizes */
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

#endif
