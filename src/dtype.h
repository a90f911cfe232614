/*
 * dtype.h - element types of tensors, in files and in memory, and their conversion to float32.
 *
 * The numbers are those of the .mega format (formats/MEGA-FORMAT.md) and never change. Types from
 * MEGA_F64 on occur in imported checkpoints only and are never written to a .mega file.
 */
#ifndef MEGA_DTYPE_H
#define MEGA_DTYPE_H

#include <stdbool.h>
#include <stddef.h>
#include <stdint.h>

typedef enum MegaDtype {
    MEGA_F32 = 0,
    MEGA_F16 = 1,  /* IEEE binary16 */
    MEGA_BF16 = 2, /* upper half of a binary32 */
    /* 3...31: room for block-quantized types */
    MEGA_F64 = 32,
    MEGA_I64 = 33,
    MEGA_I32 = 34,
    MEGA_I16 = 35,
    MEGA_I8 = 36,
    MEGA_U8 = 37,
    MEGA_BOOL = 38,
} MegaDtype;

/* Properties of a type, or NULL for a number that is none. */
typedef struct MegaDtypeTraits {
    MegaDtype dtype;
    const char *name;   /* "f32" */
    uint32_t item_size; /* bytes of one element */
    bool storable;      /* allowed in a .mega file */
} MegaDtypeTraits;

const MegaDtypeTraits *mega_dtype_traits(int dtype);
/* The type called name ("f32", "f16", ...), or -1. */
int mega_dtype_by_name(const char *name);

/* n elements at src (little-endian, any alignment) to float32. Integers and bool convert by value.
 */
void mega_dtype_to_f32(MegaDtype dtype, const void *src, size_t n, float *dst);
/* n float32 to f32, f16 or bf16 with round-to-nearest-even; src == dst is not allowed. */
void mega_dtype_from_f32(MegaDtype dtype, const float *src, size_t n, void *dst);

#endif
