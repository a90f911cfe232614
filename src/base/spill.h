/*
 * spill.h - a block of bytes that may be larger than memory. It lies in memory, or in a file
 * without a name, which the system removes when the block is freed or the process ends.
 *
 * It is read and written part by part. The first read or write that fails sets the block's error;
 * after it nothing more is read or written. A caller therefore checks once, after many calls
 * (mega_spill_check), and until then must not rely on what it has read.
 */
#ifndef MEGA_SPILL_H
#define MEGA_SPILL_H

#include "src/mega.h"

typedef struct MegaSpill MegaSpill;

/* Makes a block of `size` bytes: in memory if folder is NULL, else in a file there. Returns
 * MEGA_ERR_MEMORY or MEGA_ERR_IO. */
int mega_spill_new(MegaSpill **out, uint64_t size, const char *folder, MegaError *err);
void mega_spill_free(MegaSpill *spill);

/* Copy bytes at ... at + size - 1 of the block, which must lie in it, from or to `bytes`. */
void mega_spill_read(MegaSpill *spill, uint64_t at, void *bytes, size_t size);
void mega_spill_write(MegaSpill *spill, uint64_t at, const void *bytes, size_t size);
/* Returns the block's error, or 0. */
int mega_spill_check(const MegaSpill *spill, MegaError *err);

#endif
