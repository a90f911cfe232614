/*
 * pickle_mutator.h - mutations that know the opcodes of a pickle, for targets whose input is one.
 */
#ifndef MEGA_PICKLE_MUTATOR_H
#define MEGA_PICKLE_MUTATOR_H

#include <stddef.h>
#include <stdint.h>

/* For LLVMFuzzerCustomMutator: the same parameters and result. */
size_t fuzz_mutate_pickle(uint8_t *data, size_t size, size_t max_size, unsigned seed);
/* The function that libFuzzer calls, if a target has it. */
size_t LLVMFuzzerCustomMutator(uint8_t *data, size_t size, size_t max_size, unsigned seed);

#endif
