/*
 * pickle_mutator.h - mutates pickles opcode by opcode, for targets whose input is a pickle.
 */
#ifndef MEGA_PICKLE_MUTATOR_H
#define MEGA_PICKLE_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/* Implements LLVMFuzzerCustomMutator, with the same parameters and result. */
size_t fuzz_mutate_pickle(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* libFuzzer calls this function if a target defines it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
