/*
 * memory.h - the peak of this process's memory, for --verbose and the benchmark, and sizes in
 * bytes, for options such as --max-memory.
 */
#ifndef MEGA_MEMORY_H
#define MEGA_MEMORY_H

#include <stdbool.h>
#include <stdint.h>

#define SIZE_EXPECTED "bytes, such as 300M or 1.5G"

/* Returns the largest resident set so far in megabytes (10^6 bytes), or 0 if the system does not
 * tell. */
double peak_megabytes(void);
/* Parses a size such as "300M", "1.5G" or "1000000" into bytes, at least one. Returns false if the
 * text is not a size. */
bool parse_size(const char *text, uint64_t *bytes);

#endif
