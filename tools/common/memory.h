/*
 * memory.h - how much memory this process has taken at most, for --verbose and the benchmark.
 */
#ifndef MEGA_MEMORY_H
#define MEGA_MEMORY_H

/* Megabytes (10^6 bytes) of the largest resident set so far; 0 where the system does not tell. */
double peak_megabytes(void);

#endif
