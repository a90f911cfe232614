/*
 * pickle_globals.h - the names that a pickle may mention, and what each stands for. Private to
 * pickle.c and to those that interpret its values.
 */
#ifndef MEGA_PICKLE_GLOBALS_H
#define MEGA_PICKLE_GLOBALS_H

#include "pickle.h"

typedef enum MegaGlobalKind {
    MEGA_GLOBAL_DICT,
    MEGA_GLOBAL_LIST,
    MEGA_GLOBAL_TUPLE,
    MEGA_GLOBAL_SET,
    MEGA_GLOBAL_TENSOR,    /* a function that rebuilds a tensor */
    MEGA_GLOBAL_PARAMETER, /* ... a parameter: its first argument */
    MEGA_GLOBAL_STORAGE,
    MEGA_GLOBAL_DTYPE, /* never called */
    MEGA_GLOBAL_NAMESPACE,
    MEGA_GLOBAL_INERT, /* calls and attributes are accepted and mean nothing */
} MegaGlobalKind;

struct MegaPickleGlobal {
    const char *qualified_name; /* "module.name" */
    MegaGlobalKind kind;
    MegaDtype dtype; /* of a storage */
};

/* NULL for a name that is not on the list. */
const MegaPickleGlobal *mega_pickle_global(const char *module, size_t module_length,
                                           const char *name, size_t name_length);

#endif
