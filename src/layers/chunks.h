/*
 * chunks.h - cuts sequences into the chunks within which positions attend to one another. Without a
 * chunk length, each sequence is one chunk.
 */
#ifndef MEGA_CHUNKS_H
#define MEGA_CHUNKS_H

#include "src/model/layer_kind.h"

typedef struct MegaChunk {
    size_t first, length; /* positions in the workspace */
    size_t panels;        /* panels that hold the keys of earlier chunks */
} MegaChunk;

typedef struct MegaChunks {
    MegaChunk *chunks; /* [count], in order */
    size_t count, longest, panels;
} MegaChunks;

/* Cuts a batch into chunks of at most `most` positions (0: whole sequences) and places their list;
 * a dry run only counts them. */
void mega_chunks_layout(MegaChunks *out, int most, const MegaBatch *batch, MegaArena *arena);
/* Cuts a batch that is no longer than the one for which the list was placed. */
void mega_chunks_cut(MegaChunks *chunks, int most, const MegaBatch *batch);
/* Returns the chunk that contains a position. */
const MegaChunk *mega_chunk_at(const MegaChunks *chunks, size_t position);

#endif
