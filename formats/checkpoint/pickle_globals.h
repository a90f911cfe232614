/*
 * pickle_globals.h - the table of classes and functions that have a meaning in a pickle. Private to
 * the files of the pickle and to those that interpret its values.
 */
#ifndef MEGA_PICKLE_GLOBALS_H
#define MEGA_PICKLE_GLOBALS_H

#include "formats/checkpoint/pickle.h"

typedef enum MegaGlobalKind {
    MEGA_GLOBAL_UNKNOWN, /* not in the table: it stays a mere name */
    MEGA_GLOBAL_INERT,   /* in the table, but a mere name, too */
    MEGA_GLOBAL_DICT,
    MEGA_GLOBAL_DEFAULTDICT, /* a dict whose constructor takes something else than its items */
    MEGA_GLOBAL_LIST,
    MEGA_GLOBAL_TUPLE,
    MEGA_GLOBAL_SET,
    MEGA_GLOBAL_TENSOR, /* a function that rebuilds a tensor from a storage */
    /* rebuilds a tensor from such a function, a class and the function's arguments */
    MEGA_GLOBAL_FROM_TYPE,
    /* returns its first argument, as the function that rebuilds a parameter does */
    MEGA_GLOBAL_FROM_FIRST,
    MEGA_GLOBAL_ODD_TENSOR, /* a function that rebuilds a tensor that cannot be read */
    MEGA_GLOBAL_STORAGE,
    MEGA_GLOBAL_DTYPE,
    MEGA_GLOBAL_NAMESPACE,
    MEGA_GLOBAL_CONSTRUCTOR, /* a function that makes an instance of its first argument */
} MegaGlobalKind;

struct MegaPickleGlobal {
    const char *qualified_name; /* "module.name" */
    MegaGlobalKind kind;
    bool readable; /* true for a storage or element type that dtype describes */
    MegaDtype dtype;
    const char *type;   /* PyTorch's name for elements or tensors that cannot be read */
    uint32_t item_size; /* bytes of one such element in a storage */
    int size_at;        /* which argument of MEGA_GLOBAL_ODD_TENSOR is the size; 0: none */
};

/* Returns the entry of a class or function, or NULL if it is not in the table. */
const MegaPickleGlobal *mega_pickle_global(const char *module, size_t module_length,
                                           const char *name, size_t name_length);

#endif
