/*
 * random_model.h - valid models made of a fuzzer's bytes: a configuration, metadata that fits it
 * more or less, and tensors of every type and encoding, as the bytes of a .mega file.
 */
#ifndef MEGA_RANDOM_MODEL_H
#define MEGA_RANDOM_MODEL_H

#include "src/model/config.h"

/* Choices come of the fuzzer's bytes as long as there are any, so that a mutated byte changes one
 * choice; behind them they come of a generator that all the bytes have seeded. */
typedef struct Dice {
    const uint8_t *bytes;
    size_t left;
    uint64_t state;
} Dice;

Dice dice_new(const uint8_t *bytes, size_t size);
/* 0 ... count - 1 */
int roll(Dice *dice, int count);
bool flip(Dice *dice);
int pick_of(Dice *dice, const int *values, int count);
#define PICK(dice, ...)                                                                            \
    pick_of(dice, (const int[]){__VA_ARGS__},                                                      \
            (int)(sizeof((const int[]){__VA_ARGS__}) / sizeof(int)))

/* Kinds of numbers that weights, inputs and logits are made of. */
typedef enum Numbers {
    NUMBERS_SMALL, /* a trained model's; the others stand for damage */
    NUMBERS_LARGE,
    NUMBERS_ZERO,
    NUMBERS_HUGE,
    NUMBERS_NAN,
    NUMBERS_INFINITE,
    NUMBERS_SUBNORMAL,
    NUMBERS_OPPOSED,
    NUMBERS_KINDS,
} Numbers;

/* Mostly NUMBERS_SMALL. */
Numbers roll_numbers(Dice *dice);
float roll_number(Dice *dice, Numbers numbers);

/* The bytes of a model by malloc, or NULL where its tensors would be too large for this. */
uint8_t *random_model_bytes(Dice *dice, size_t *size);

#endif
