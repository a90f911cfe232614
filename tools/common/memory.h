/*
 * memory.h - how much memory this process has taken at most, for --verbose and the benchmark, and
 * how much it may take, for --max-memory.
 */
#ifndef MEGA_MEMORY_H
#define MEGA_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_EXPECTED "bytes, such as 300M or 1.5G"

/* Megabytes (10^6 bytes) of the largest resident set so far; 0 where the system does not tell. */
double peak_megabytes(void);
/* "300M", "1.5G", "1000000": the bytes, at least one. False: that is no size. */
bool parse_size(const char *text, uint64_t *bytes);

#endif
