/*
 * unpickler.h - the state of the interpreter that reads a pickle. pickle_values.c implements its
 * memory and stack, pickle_calls.c its names and calls, and pickle.c its opcodes. Only these three
 * include it.
 */
#ifndef MEGA_UNPICKLER_H
#define MEGA_UNPICKLER_H

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle.h"
#include "formats/checkpoint/pickle_globals.h"

#define MEGA_PICKLE_MAX_MARKS 4096 /* Python itself nests values a few hundred deep */
#define MEGA_PICKLE_SMALL 256      /* there is one shared value for each integer below this */

/* Holds a growing array of pointers to values, which the arena owns. */
typedef struct MegaPickleValues {
    MegaPickleValue **items;
    size_t count, capacity;
} MegaPickleValues;

struct MegaPickle {
    struct MegaPickleBlock *blocks; /* blocks of the arena, newest first */
    uint64_t memory, max_memory;
    MegaPickleValue *root;
    MegaPickleValues storages;
};

typedef struct MegaUnpickler {
    MegaPickle *pickle;
    const char *name;
    MegaError *err;
    MegaReader reader;
    size_t at;   /* offset of the opcode that is being run */
    size_t base; /* index in the stack of the first value above the last mark */
    size_t marks[MEGA_PICKLE_MAX_MARKS], mark_count;
    MegaPickleValues stack, memo;
    /* shared values, made when they are first needed */
    MegaPickleValue *small[MEGA_PICKLE_SMALL], *constants[3], *empty;
    uint64_t operations;
    bool stopped;
} MegaUnpickler;

/* These make the error of an unpickler, which names the file and the byte of the current opcode. */
#define FAIL(u, code, format, ...)                                                                 \
    mega_fail((u)->err, code, "%s: " format " at byte %zu of the pickle", (u)->name,               \
              ##__VA_ARGS__, (u)->at)
#define BAD(u, format, ...) FAIL(u, MEGA_ERR_FORMAT, format, ##__VA_ARGS__)

/* ---- pickle_values.c ------------------------------------------------------------------------ */

int mega_pickle_no_memory(const MegaUnpickler *u);
/* Allocates zeroed memory of the arena, aligned for every type. */
int mega_pickle_allocate(MegaUnpickler *u, void **out, size_t size);
/* Appends to an array that lies outside the arena. */
int mega_pickle_append(MegaUnpickler *u, MegaPickleValues *values, MegaPickleValue *value);
int mega_pickle_push(MegaUnpickler *u, MegaPickleValue *value);
/* Make a new value of the type; mega_pickle_push_new also pushes it. */
int mega_pickle_make(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **out);
int mega_pickle_push_new(MegaUnpickler *u, MegaPickleType type, MegaPickleValue **out);
/* Appends `count` values to a list, set or dict. Its capacity doubles when it is full, so the old
 * copies, which the arena cannot free, take no more memory than the list itself. */
int mega_pickle_extend(MegaUnpickler *u, MegaPickleValue *list, MegaPickleValue *const *items,
                       size_t count);
/* Fails with MEGA_ERR_FORMAT unless the stack has `count` values above the last mark. */
int mega_pickle_need(MegaUnpickler *u, size_t count);
/* Returns the value `depth` below the top, whose existence mega_pickle_need must have checked. */
MegaPickleValue *mega_pickle_top(const MegaUnpickler *u, size_t depth);

/* ---- pickle_calls.c ------------------------------------------------------------------------- */

/* Pushes the class or function of that name. */
int mega_pickle_push_global(MegaUnpickler *u, const char *module, size_t module_length,
                            const char *name, size_t name_length);
/* Pushes the result of a "call", which REDUCE, NEWOBJ, OBJ and INST all make. */
int mega_pickle_call(MegaUnpickler *u, MegaPickleValue *callee, MegaPickleValue *arguments);
/* Runs BUILD: pops the state on top of the stack and sets it in the object below. */
int mega_pickle_build(MegaUnpickler *u);
/* Replaces the persistent id on top of the stack by the storage that it stands for. */
int mega_pickle_persistent(MegaUnpickler *u);

#endif
