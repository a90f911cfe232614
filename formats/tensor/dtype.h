/*
 * dtype.h - the element types of tensors, in files and in memory, and their conversion to float32.
 *
 * The numbers are those of the .mega format (formats/mega/MEGA-FORMAT.md) and never change. Types
 * from MEGA_F64 on occur in imported checkpoints only and are never written to a .mega file.
 *
 * The unit of a type in memory is an item: one element, or a block along the last dimension.
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
    MEGA_Q8 = 3,   /* blocks of 8-bit integers with a scale (quantize.h) */
    MEGA_Q4 = 4,   /* blocks of 4-bit integers with a scale */
    /* 5 ... 31 are reserved for other quantized types. */
    MEGA_F64 = 32,
    MEGA_I64 = 33,
    MEGA_I32 = 34,
    MEGA_I16 = 35,
    MEGA_I8 = 36,
    MEGA_U8 = 37,
    MEGA_BOOL = 38,
} MegaDtype;

/* Types below this number may occur in a .mega file. Tables indexed by the type of a tensor in such
 * a file have this many entries. */
#define MEGA_STORABLE_DTYPES 5
_Static_assert(MEGA_Q4 + 1 == MEGA_STORABLE_DTYPES, "a type that files may hold was added");

/* Returns the properties of a type, or NULL if the number is not a type. */
typedef struct MegaDtypeTraits {
    MegaDtype dtype;
    const char *name;   /* "f32" */
    uint32_t item_size; /* bytes */
    uint32_t block;     /* elements per item */
} MegaDtypeTraits;

const MegaDtypeTraits *mega_dtype_traits(int dtype);

/* Returns whether a .mega file may hold tensors of this type. */
static inline bool mega_dtype_storable(int dtype)
{
    return dtype >= 0 && dtype < MEGA_STORABLE_DTYPES;
}

/* Returns whether items are integers with a scale. */
static inline bool mega_dtype_quantized(MegaDtype dtype)
{
    return dtype == MEGA_Q8 || dtype == MEGA_Q4;
}

/* Returns whether elements are floating-point numbers, as weights are. */
static inline bool mega_dtype_is_real(MegaDtype dtype)
{
    return dtype <= MEGA_BF16 || dtype == MEGA_F64;
}

/* Returns the type with this name ("f32", "f16", ...), or -1. */
int mega_dtype_by_name(const char *name);

/* Returns how many items hold `elements` numbers; the last item may be padded. */
uint64_t mega_dtype_items(MegaDtype dtype, uint64_t elements);
/* Computes the bytes of a row-major tensor, where every row of the last dimension takes whole
 * items. Returns false if the number overflows. rank is at least 1. */
bool mega_dtype_bytes(MegaDtype dtype, const uint64_t *shape, int rank, uint64_t *bytes);

/* Converts n elements of one row at src (little-endian, any alignment) to float32. Integers and
 * bool convert by value. src and dst must not overlap. */
void mega_dtype_to_f32(MegaDtype dtype, const void *src, size_t n, float *dst);
/* Converts a whole row-major tensor to dst [elements], row by row; src and dst must not overlap. */
void mega_dtype_tensor_to_f32(MegaDtype dtype, const void *src, const uint64_t *shape, int rank,
                              float *dst);
/* Converts n float32 to a storable type, rounded to nearest; for quantized types they are a row and
 * must be finite. src and dst must differ. */
void mega_dtype_from_f32(MegaDtype dtype, const float *src, size_t n, void *dst);

#endif
