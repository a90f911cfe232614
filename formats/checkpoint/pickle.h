/*
 * pickle.h - reads the data of a Python pickle without executing anything.
 *
 * An interpreter for the opcodes of protocols 1 to 5 builds plain values. A class or function is
 * only ever a name. Some names have a meaning: OrderedDict, the functions that rebuild tensors, the
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

#define MEGA_PICKLE_MAX_SIZE (UINT64_C(256) << 20) /* most bytes of one pickle */
#define MEGA_PICKLE_MAX_MEMORY (UINT64_C(1) << 30) /* most bytes of its values */
#define MEGA_PICKLE_MAX_RANK 1024

typedef enum MegaPickleType {
    MEGA_PICKLE_NONE,
    MEGA_PICKLE_BOOL,
    MEGA_PICKLE_INT,
    MEGA_PICKLE_LONG, /* an integer of more than 64 bits, as its bytes or digits */
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

/* What a class or function means, found by its name; see pickle_globals.h. */
typedef struct MegaPickleGlobal MegaPickleGlobal;
typedef struct MegaPickleValue MegaPickleValue;

typedef struct MegaPickleStorage {
    const char *type; /* type of the elements: "f32", or PyTorch's name, such as "complex64" */
    bool readable;    /* true: dtype is valid; false: the type is not supported */
    MegaDtype dtype;
    uint32_t item_size; /* bytes of an element; 0 where its type is unknown */
    const char *key;    /* name of the record that holds its bytes */
    uint64_t elements;
} MegaPickleStorage;

typedef struct MegaPickleTensor {
    const MegaPickleStorage *storage; /* NULL if it has none, as on the device "meta" */
    /* type of the elements, or the layout if it is not supported: "sparse" */
    const char *type;
    bool readable; /* dtype, stride and offset are valid, and all elements lie in the storage */
    MegaDtype dtype;
    int rank;        /* -1 if the shape is not known */
    uint64_t *shape; /* [rank] */
    int64_t *stride; /* [rank], >= 0, in elements */
    uint64_t elements;
    uint64_t offset; /* offset of the first element, in elements of the storage */
} MegaPickleTensor;

typedef struct MegaPickleObject {
    const MegaPickleGlobal *class;
    const MegaPickleValue *arguments; /* a tuple, the arguments of the call */
    /* NULL, or the argument of BUILD, which is a dict for a Namespace */
    const MegaPickleValue *state;
    MegaPickleValue *items; /* NULL, or the dict or list of items that opcodes added */
} MegaPickleObject;

struct MegaPickleValue {
    MegaPickleType type;
    bool is_text; /* for mega_pickle_is_text */
    union {
        int64_t integer; /* also bool: 0 or 1 */
        double real;
        struct {
            const char *data; /* terminated, but may contain NUL */
            size_t size;
        } text; /* string, bytes, long */
        struct {
            /* a dict has key, value, key, value, ... in the order in which they were set */
            MegaPickleValue **items;
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
 * to and including STOP, and name begins all messages. If the values need more than max_memory
 * bytes, or more than MEGA_PICKLE_MAX_MEMORY, the error is MEGA_ERR_LIMIT. */
int mega_pickle_read(MegaPickle **out, const void *bytes, size_t size, uint64_t max_memory,
                     size_t *length, const char *name, MegaError *err);
/* Returns the bytes that the values take. */
uint64_t mega_pickle_memory(const MegaPickle *pickle);
void mega_pickle_free(MegaPickle *pickle);
const MegaPickleValue *mega_pickle_root(const MegaPickle *pickle);
/* Return the storages that the pickle names, used or not, in the order in which they appear. */
size_t mega_pickle_storage_count(const MegaPickle *pickle);
const MegaPickleStorage *mega_pickle_storage(const MegaPickle *pickle, size_t index);

/* Returns the dict that a value is, or that it holds as an instance of a class derived from dict;
 * or NULL. */
const MegaPickleValue *mega_pickle_mapping(const MegaPickleValue *value);
/* Returns the value that was set last for a string key, or NULL if there is none or `value` is no
 * mapping. */
const MegaPickleValue *mega_pickle_get(const MegaPickleValue *value, const char *key);
/* Returns the dict of an object's attributes, whatever its class, or NULL. */
const MegaPickleValue *mega_pickle_attributes(const MegaPickleValue *value);
/* Returns whether a value is a string of well-formed UTF-8 without NUL. */
bool mega_pickle_is_text(const MegaPickleValue *value);
/* Returns the name of a class, of a function, or of the class of an instance, such as
 * "argparse.Namespace". For other values it returns the type, such as "a list". */
const char *mega_pickle_describe(const MegaPickleValue *value);

#endif
