/*
 * chunks.h - sequences cut into the chunks inside of which positions attend to one another; without
 * a chunk length each sequence is one.
 */
#ifndef MEGA_CHUNKS_H
#define MEGA_CHUNKS_H

#include "src/model/layer_kind.h"

typedef struct MegaChunk {
    size_t first, length; /* positions of the workspace */
    size_t panels;        /* of the keys of earlier chunks */
} MegaChunk;

typedef struct MegaChunks {
    MegaChunk *chunks; /* [count], in order */
    size_t count, longest, panels;
} MegaChunks;

/* Cuts a batch, and places the list of chunks; only counts them in a dry run. */
void mega_chunks_layout(MegaChunks *out, const MegaStackConfig *config, const MegaBatch *batch,
                        MegaArena *arena);
/* The chunk of a position. */
const MegaChunk *mega_chunk_at(const MegaChunks *chunks, size_t position);

#endif
