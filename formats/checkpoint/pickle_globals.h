/*
 * pickle_globals.h - the names in a pickle that mean something, and what. Private to the files of
 * the pickle and to those that interpret its values.
 */
#ifndef MEGA_PICKLE_GLOBALS_H
#define MEGA_PICKLE_GLOBALS_H

#include "formats/checkpoint/pickle.h"

typedef enum MegaGlobalKind {
    MEGA_GLOBAL_UNKNOWN, /* not in the table: inert */
    MEGA_GLOBAL_INERT,   /* in the table, and inert all the same */
    MEGA_GLOBAL_DICT,
    MEGA_GLOBAL_DEFAULTDICT, /* a dict that is made from something else than its items */
    MEGA_GLOBAL_LIST,
    MEGA_GLOBAL_TUPLE,
    MEGA_GLOBAL_SET,
    MEGA_GLOBAL_TENSOR,     /* a function that rebuilds a tensor in a storage */
    MEGA_GLOBAL_FROM_TYPE,  /* ... from such a function, a class and its arguments */
    MEGA_GLOBAL_FROM_FIRST, /* ... or a parameter: its first argument */
    MEGA_GLOBAL_ODD_TENSOR, /* a function that rebuilds a tensor that cannot be read */
    MEGA_GLOBAL_STORAGE,
    MEGA_GLOBAL_DTYPE,
    MEGA_GLOBAL_NAMESPACE,
    MEGA_GLOBAL_CONSTRUCTOR, /* a function that makes an instance of its first argument */
} MegaGlobalKind;

struct MegaPickleGlobal {
    const char *qualified_name; /* "module.name" */
    MegaGlobalKind kind;
    bool readable; /* a storage or element type: dtype says how */
    MegaDtype dtype;
    const char *type;   /* of elements or tensors that cannot be read, as PyTorch names it */
    uint32_t item_size; /* of their storages */
    int size_at;        /* which argument of MEGA_GLOBAL_ODD_TENSOR is the size; 0: none */
};

/* NULL for a name that is not in the table. */
const MegaPickleGlobal *mega_pickle_global(const char *module, size_t module_length,
                                           const char *name, size_t name_length);

#endif
