/*
 * chunks.c - see chunks.h.
 */
#include "src/layers/chunks.h"

#include "src/base/checked.h"

/* Only counts the chunks while out->chunks is NULL. */
void mega_chunks_cut(MegaChunks *out, int most, const MegaBatch *batch)
{
    size_t begin = 0;
    out->count = out->longest = out->panels = 0;
    for (size_t i = 0; i < batch->count; begin += batch->lengths[i++]) {
        size_t whole = batch->lengths[i];
        size_t chunk = most > 0 ? mega_min_size((size_t)most, whole) : whole;
        for (size_t first = 0, length; first < whole; first += length) {
            length = mega_min_size(chunk, whole - first);
            if (out->chunks)
                out->chunks[out->count] = (MegaChunk){begin + first, length, out->panels};
            out->count++;
            out->panels += mega_pieces(length, MEGA_PANEL);
            if (length > out->longest)
                out->longest = length;
        }
    }
}

void mega_chunks_layout(MegaChunks *out, int most, const MegaBatch *batch, MegaArena *arena)
{
    out->chunks = NULL;
    mega_chunks_cut(out, most, batch);
    out->chunks = mega_arena_take(arena, out->count * sizeof *out->chunks);
    if (out->chunks)
        mega_chunks_cut(out, most, batch);
}

const MegaChunk *mega_chunk_at(const MegaChunks *chunks, size_t position)
{
    size_t low = 0, high = chunks->count;
    while (high - low > 1) {
        size_t middle = low + (high - low) / 2;
        if (chunks->chunks[middle].first <= position)
            low = middle;
        else
            high = middle;
    }
    return &chunks->chunks[low];
}
