/*
 * random_model.h - makes valid models from a fuzzer's bytes: a configuration, metadata that fits it
 * more or less, and tensors of every type and encoding, as the bytes of a .mega file.
 */
#ifndef MEGA_RANDOM_MODEL_H
#define MEGA_RANDOM_MODEL_H

#include "src/model/config.h"

/* Choices are taken from the fuzzer's bytes while there are any, so that a mutated byte changes one
 * choice. After that they come from a generator that all the bytes have seeded. */
typedef struct Dice {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
} Dice;

Dice dice_new(const uint8_t *bytes, size_t size);
/* Returns one of 0 ... count - 1. */
int roll(Dice *dice, int count);
bool flip(Dice *dice);
int pick_of(Dice *dice, const int *values, int count);
#define PICK(dice, ...)                                                                            \
    pick_of(dice, (const int[]){__VA_ARGS__},                                                      \
            (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* Kinds of numbers for weights, inputs and logits. */
typedef enum Numbers {
    NUMBERS_SMALL, /* like those of a trained model; the other kinds stand for damage */
    NUMBERS_LARGE,
    NUMBERS_ZERO,
    NUMBERS_HUGE,
    NUMBERS_NAN,
    NUMBERS_INFINITE,
    NUMBERS_SUBNORMAL,
    NUMBERS_OPPOSED,
    NUMBERS_KINDS,
} Numbers;

/* Returns NUMBERS_SMALL most of the time. */
Numbers roll_numbers(Dice *dice);
float roll_number(Dice *dice, Numbers numbers);

/* Returns the bytes of a model, allocated with malloc, or NULL if its tensors would be too large
 * for a test. */
uint8_t *random_model_bytes(Dice *dice, size_t *size);
/* Opens such a model. Returns NULL if it was not made or cannot be opened because of its
 * metadata; any other error ends the process. *bytes is freed after the model. */
MegaModel *random_model_open(Dice *dice, uint8_t **bytes);

#endif
