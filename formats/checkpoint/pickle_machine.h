/*
 * pickle_machine.h - the state of the interpreter that reads a pickle. pickle_values.c has its
 * memory and stack, pickle_calls.c its names and calls, pickle.c its opcodes. Private to these
 * three.
 */
#ifndef MEGA_PICKLE_MACHINE_H
#define MEGA_PICKLE_MACHINE_H

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle.h"
#include "formats/checkpoint/pickle_globals.h"

#define MEGA_PICKLE_MAX_MARKS 4096 /* Python itself nests values a few hundred deep */
#define MEGA_PICKLE_SMALL 256      /* there is one shared value for each integer below this */

/* A growing array of pointers. */
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

typedef struct MegaPickleMachine {
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
} MegaPickleMachine;

#define MEGA_PICKLE_FAIL(code, format, ...)                                                        \
    mega_fail(m->err, code, "%s: " format " at byte %zu of the pickle", m->name, ##__VA_ARGS__,    \
              m->at)
#define MEGA_PICKLE_BAD(format, ...) MEGA_PICKLE_FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)

/* ---- pickle_values.c ------------------------------------------------------------------------ */

int mega_pickle_no_memory(const MegaPickleMachine *m);
/* Allocates zeroed memory of the arena, aligned for every type. */
int mega_pickle_allocate(MegaPickleMachine *m, void **out, size_t size);
/* Appends to an array that is not in the arena. */
int mega_pickle_append(MegaPickleMachine *m, MegaPickleValues *values, MegaPickleValue *value);
int mega_pickle_push(MegaPickleMachine *m, MegaPickleValue *value);
/* Make a new value of the type; mega_pickle_push_new also pushes it. */
int mega_pickle_make(MegaPickleMachine *m, MegaPickleType type, MegaPickleValue **out);
int mega_pickle_push_new(MegaPickleMachine *m, MegaPickleType type, MegaPickleValue **out);
/* Appends `count` values to a list, set or dict. Its capacity doubles when it is full, so the old
 * copies, which the arena cannot free, take no more memory than the list itself. */
int mega_pickle_extend(MegaPickleMachine *m, MegaPickleValue *list, MegaPickleValue *const *items,
                       size_t count);
/* Fails with MEGA_ERR_FORMAT unless the stack has `count` values above the last mark. */
int mega_pickle_need(MegaPickleMachine *m, size_t count);
/* Returns the value `depth` below the top, whose existence mega_pickle_need must have checked. */
MegaPickleValue *mega_pickle_top(const MegaPickleMachine *m, size_t depth);

/* ---- pickle_calls.c ------------------------------------------------------------------------- */

/* Pushes the class or function of that name. */
int mega_pickle_push_global(MegaPickleMachine *m, const char *module, size_t module_length,
                            const char *name, size_t name_length);
/* Pushes the result of a "call", which REDUCE, NEWOBJ, OBJ and INST all make. */
int mega_pickle_call(MegaPickleMachine *m, MegaPickleValue *callee, MegaPickleValue *arguments);
/* Runs BUILD: pops the state on top of the stack and sets it in the object below. */
int mega_pickle_build(MegaPickleMachine *m);
/* Replaces the persistent id on top of the stack by the storage that it stands for. */
int mega_pickle_persistent(MegaPickleMachine *m);

#endif
