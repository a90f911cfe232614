/*
 * shard.h - one of several parts of a command's inputs.
 *
 * With --shard I/N a command takes the I-th of N parts of its inputs, all of them in a row, so that
 * the results of 1/N ... N/N one after another are the results of a run without the option.
 */
#ifndef MEGA_SHARD_H
#define MEGA_SHARD_H

#include <stddef.h>

typedef struct Shard {
    int number, count;   /* number is 1 ... count; count 0: everything */
    const char *results; /* the value of --results (results_file.h), or NULL */
} Shard;

#define MOST_SHARDS 1000000000

/* Computes which inputs are a shard's: number *first, from 0, up to and without *end. Shards differ
 * by at most one input; the first ones have more. */
void shard_range(const Shard *shard, size_t total, size_t *first, size_t *end);

#endif
