/*
 * pickle_machine.h - the state of the machine that reads a pickle, and how its parts fill it:
 * pickle_values.c has memory and stack, pickle_calls.c names and calls, pickle.c the opcodes.
 * Private to these three.
 */
#ifndef MEGA_PICKLE_MACHINE_H
#define MEGA_PICKLE_MACHINE_H

#include "formats/base/bytes.h"
#include "formats/checkpoint/pickle.h"
#include "formats/checkpoint/pickle_globals.h"

#define MEGA_PICKLE_MAX_MARKS 4096 /* Python itself nests values some hundreds deep */
#define MEGA_PICKLE_SMALL 256 /* integers below are shared */

/* A growing array of pointers. */
typedef struct MegaPickleValues {
    MegaPickleValue **items;
    size_t count, capacity;
} MegaPickleValues;

struct MegaPickle {
    struct MegaPickleBlock *blocks; /* of the arena, newest first */
    uint64_t memory, max_memory;
    MegaPickleValue *root;
    MegaPickleValues storages;
};

typedef struct MegaPickleMachine {
    MegaPickle *pickle;
    const char *name;
    MegaError *err;
    MegaReader reader;
    size_t at;   /* of the opcode that is being run */
    size_t base; /* the stack above the last mark begins here */
    size_t marks[MEGA_PICKLE_MAX_MARKS], mark_count;
    MegaPickleValues stack, memo;
    MegaPickleValue *small[MEGA_PICKLE_SMALL], *constants[3], *empty; /* shared, made when needed */
    uint64_t operations;
    bool stopped;
} MegaPickleMachine;

#define MEGA_PICKLE_FAIL(code, format, ...)                                                        \
    mega_fail(m->err, code, "%s: " format " at byte %zu of the pickle", m->name, ##__VA_ARGS__,    \
              m->at)
#define MEGA_PICKLE_BAD(format, ...) MEGA_PICKLE_FAIL(MEGA_ERR_FORMAT, format, ##__VA_ARGS__)

/* ---- pickle_values.c ------------------------------------------------------------------------ */

int mega_pickle_no_memory(const MegaPickleMachine *m);
/* Zeroed memory of the arena, aligned for every type. */
int mega_pickle_allocate(MegaPickleMachine *m, void **out, size_t size);
/* Appends to an array that is not in the arena. */
int mega_pickle_append(MegaPickleMachine *m, MegaPickleValues *values, MegaPickleValue *value);
int mega_pickle_push(MegaPickleMachine *m, MegaPickleValue *value);
/* A new value of the type, made or also pushed. */
int mega_pickle_make(MegaPickleMachine *m, MegaPickleType type, MegaPickleValue **out);
int mega_pickle_push_new(MegaPickleMachine *m, MegaPickleType type, MegaPickleValue **out);
/* Appends count values to a list, set or dict; doubling keeps the arena's waste to one half. */
int mega_pickle_extend(MegaPickleMachine *m, MegaPickleValue *list, MegaPickleValue *const *items,
                       size_t count);
/* MEGA_ERR_FORMAT unless the stack has so many values above the last mark. */
int mega_pickle_need(MegaPickleMachine *m, size_t count);
/* The value `depth` below the top, which mega_pickle_need has vouched for. */
MegaPickleValue *mega_pickle_top(const MegaPickleMachine *m, size_t depth);

/* ---- pickle_calls.c ------------------------------------------------------------------------- */

/* Pushes the class or function of that name. */
int mega_pickle_push_global(MegaPickleMachine *m, const char *module, size_t module_length,
                            const char *name, size_t name_length);
/* Pushes what "calling" gives: REDUCE, NEWOBJ, OBJ and INST alike. */
int mega_pickle_call(MegaPickleMachine *m, MegaPickleValue *callee, MegaPickleValue *arguments);
/* BUILD: sets the attributes of what lies below its argument. */
int mega_pickle_build(MegaPickleMachine *m);
/* Replaces a persistent id on the stack by the storage it stands for. */
int mega_pickle_persistent(MegaPickleMachine *m);

#endif
