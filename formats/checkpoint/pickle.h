/*
 * pickle.h - the data of a Python pickle, built without executing anything.
 *
 * A machine for the opcodes of protocols 1 to 5 builds plain values. A class or function is only
 * ever a name. Some names have a meaning: OrderedDict, the functions that rebuild tensors, the
 * storage and element types of PyTorch, argparse.Namespace and a few others. What is "called" is
 * not run: it becomes a value of the matching type, or an inert object that keeps what it was
 * called with. Every other name is inert, whatever it is in Python.
 *
 * Values live in the arena of their MegaPickle. They may be shared and may even contain themselves,
 * so whoever walks them has to bound depth and work.
 */
#ifndef MEGA_PICKLE_H
#define MEGA_PICKLE_H

#include "formats/tensor/dtype.h"
#include "src/mega.h"

#define MEGA_PICKLE_MAX_SIZE (UINT64_C(256) << 20) /* bytes of one pickle */
#define MEGA_PICKLE_MAX_MEMORY (UINT64_C(1) << 30) /* bytes of its values */
#define MEGA_PICKLE_MAX_RANK 1024

typedef enum MegaPickleType {
    MEGA_PICKLE_NONE,
    MEGA_PICKLE_BOOL,
    MEGA_PICKLE_INT,
    MEGA_PICKLE_LONG, /* an integer of more than 64 bits; its bytes, or its digits */
    MEGA_PICKLE_FLOAT,
    MEGA_PICKLE_STRING,
    MEGA_PICKLE_BYTES,
    MEGA_PICKLE_TUPLE,
    MEGA_PICKLE_LIST,
    MEGA_PICKLE_SET,
    MEGA_PICKLE_DICT,
    MEGA_PICKLE_GLOBAL, /* a class or function */
    MEGA_PICKLE_OBJECT, /* an inert instance of a class, or result of a function */
    MEGA_PICKLE_STORAGE,
    MEGA_PICKLE_TENSOR,
} MegaPickleType;

/* What a name stands for; pickle_globals.h. */
typedef struct MegaPickleGlobal MegaPickleGlobal;
typedef struct MegaPickleValue MegaPickleValue;

typedef struct MegaPickleStorage {
    const char *type;   /* of the elements: "f32", or "complex64" as PyTorch names it */
    bool readable;      /* dtype says how; false: nobody can use it */
    MegaDtype dtype;
    uint32_t item_size; /* bytes of an element; 0 where its type is unknown */
    const char *key;    /* of the record with its bytes */
    uint64_t elements;
} MegaPickleStorage;

typedef struct MegaPickleTensor {
    const MegaPickleStorage *storage; /* NULL if it has none, as on the device "meta" */
    const char *type;                 /* of the elements, or how they lie: "sparse" */
    bool readable; /* dtype, stride and offset hold, and it lies in its storage */
    MegaDtype dtype;
    int rank;        /* -1: its shape is not known */
    uint64_t *shape; /* [rank] */
    int64_t *stride; /* [rank], >= 0, in elements */
    uint64_t elements;
    uint64_t offset; /* in elements */
} MegaPickleTensor;

typedef struct MegaPickleObject {
    const MegaPickleGlobal *class;
    const MegaPickleValue *arguments; /* a tuple: what it was called with */
    const MegaPickleValue *state;     /* NULL, or what BUILD gave it: a dict for a Namespace */
    MegaPickleValue *items;           /* NULL, or the dict or list of what was put into it */
} MegaPickleObject;

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
        MegaPickleObject *object;
        MegaPickleStorage *storage;
        MegaPickleTensor *tensor;
    };
};

typedef struct MegaPickle MegaPickle;

/* Reads one pickle from the start of bytes, which are not needed afterwards. *length is its size up
 * to and including STOP; name begins all messages. Values take max_memory bytes at most, and never
 * more than MEGA_PICKLE_MAX_MEMORY: that is MEGA_ERR_LIMIT. */
int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, uint64_t max_memory,
                     size_t *length, const char *name, MegaError *err);
/* Bytes that reading has taken for the values. */
uint64_t mega_pickle_memory(const MegaPickle *pickle);
void mega_pickle_free(MegaPickle *pickle);
const MegaPickleValue *mega_pickle_root(const MegaPickle *pickle);
/* Every storage that the pickle names, used or not, in the order in which they appear. */
size_t mega_pickle_storage_count(const MegaPickle *pickle);
const MegaPickleStorage *mega_pickle_storage(const MegaPickle *pickle, size_t index);

/* The dict that a value is or, as an instance of a class derived from dict, holds; or NULL. */
const MegaPickleValue *mega_pickle_mapping(const MegaPickleValue *value);
/* The value last set for a string key; NULL if there is none or `value` has no mapping. */
const MegaPickleValue *mega_pickle_get(const MegaPickleValue *value, const char *key);
/* The attributes of an object of any class, a dict; or NULL. */
const MegaPickleValue *mega_pickle_attributes(const MegaPickleValue *value);
/* True for a string of well-formed UTF-8 without NUL. */
bool mega_pickle_is_text(const MegaPickleValue *value);
/* Name of the class, function or instance's class, "argparse.Namespace"; else of the type, "a
 * list".
 */
const char *mega_pickle_describe(const MegaPickleValue *value);

#endif
