/*
 * shard.c - see shard.h.
 */
#include "tools/run/shard.h"

void shard_range(const Shard *shard, size_t total, size_t *first, size_t *end)
{
    const size_t count = (size_t)shard->count, before = (size_t)shard->number - 1;
    const size_t each = total / count, more = total % count;
    *first = each * before + (before < more ? before : more);
    *end = *first + each + (before < more);
}
