/*
 * pickle.h - the data of a Python pickle, built without executing anything.
 *
 * A machine for the opcodes of protocols 2 to 5 builds plain values. A class or function is only
 * ever a name from a short list: OrderedDict, the functions that rebuild tensors, the storage and
 * element types of PyTorch, argparse.Namespace and a few others. What is "called" is not run: it
 * becomes a value of the matching type, or an inert object. Any other name is an error.
 *
 * Values live in the arena of their MegaPickle. They may be shared and may even contain themselves,
 * so whoever walks them has to bound depth and work.
 */
#ifndef MEGA_PICKLE_H
#define MEGA_PICKLE_H

#include "dtype.h"
#include "mega.h"

#define MEGA_PICKLE_MAX_SIZE (UINT64_C(256) << 20) /* bytes of one pickle */
#define MEGA_PICKLE_MAX_MEMORY (UINT64_C(1) << 30) /* bytes of its values */
#define MEGA_PICKLE_MAX_RANK 8

typedef enum MegaPickleType {
    MEGA_PICKLE_NONE,
    MEGA_PICKLE_BOOL,
    MEGA_PICKLE_INT,
    MEGA_PICKLE_LONG, /* an integer of more than 64 bits; its bytes */
    MEGA_PICKLE_FLOAT,
    MEGA_PICKLE_STRING,
    MEGA_PICKLE_BYTES,
    MEGA_PICKLE_TUPLE,
    MEGA_PICKLE_LIST,
    MEGA_PICKLE_SET,
    MEGA_PICKLE_DICT,
    MEGA_PICKLE_GLOBAL, /* a class or function of the list */
    MEGA_PICKLE_OBJECT, /* an inert instance of a class */
    MEGA_PICKLE_STORAGE,
    MEGA_PICKLE_TENSOR,
} MegaPickleType;

/* What a name of the list stands for. */
typedef struct MegaPickleGlobal MegaPickleGlobal;
typedef struct MegaPickleValue MegaPickleValue;

typedef struct MegaPickleStorage {
    MegaDtype dtype;
    const char *key; /* of the record with its bytes */
    uint64_t elements;
} MegaPickleStorage;

typedef struct MegaPickleTensor {
    const MegaPickleStorage *storage;
    int rank;
    uint64_t shape[MEGA_PICKLE_MAX_RANK];
    int64_t stride[MEGA_PICKLE_MAX_RANK]; /* >= 0, in elements */
    uint64_t elements;
    uint64_t offset; /* in elements; the tensor lies inside its storage */
} MegaPickleTensor;

struct MegaPickleValue {
    MegaPickleType type;
    union {
        int64_t integer; /* also bool: 0 or 1 */
        double real;
        struct {
            const char *data; /* terminated, but may contain NUL */
            size_t size;
        } text; /* string, bytes, long */
        struct {
            MegaPickleValue **items; /* of a dict: key, value, key, value, ... as they were set */
            size_t count, capacity;
        } list; /* tuple, list, set, dict */
        const MegaPickleGlobal *global;
        struct {
            const MegaPickleGlobal *class;
            MegaPickleValue *state; /* NULL, or what BUILD gave it: a dict for a Namespace */
        } object;
        MegaPickleStorage storage;
        MegaPickleTensor *tensor;
    };
};

typedef struct MegaPickle MegaPickle;

/* Reads one pickle from the start of bytes, which are not needed afterwards. *length is its size up
 * to and including STOP; name begins all messages. */
int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, size_t *length,
                     const char *name, MegaError *err);
void mega_pickle_free(MegaPickle *pickle);
const MegaPickleValue *mega_pickle_root(const MegaPickle *pickle);
/* Every storage that the pickle names, used or not, in the order in which they appear. */
size_t mega_pickle_storage_count(const MegaPickle *pickle);
const MegaPickleStorage *mega_pickle_storage(const MegaPickle *pickle, size_t index);

/* The value last set for a string key; NULL if there is none or `dict` is not a dict. */
const MegaPickleValue *mega_pickle_get(const MegaPickleValue *dict, const char *key);
/* The attributes of an argparse.Namespace (a dict) or NULL. */
const MegaPickleValue *mega_pickle_namespace(const MegaPickleValue *value);
/* True for a string of well-formed UTF-8 without NUL. */
bool mega_pickle_is_text(const MegaPickleValue *value);
/* Name of the class, function or instance's class, "argparse.Namespace"; else of the type, "a
 * list".
 */
const char *mega_pickle_describe(const MegaPickleValue *value);

#endif
