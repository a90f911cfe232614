/*
 * table.h - what the checkpoints of a family call each canonical tensor (src/model/tensors.h), and
 * how they hold it: whole, as rows of another tensor, or transposed.
 *
 * A family has one table of rules: fairseq.c, vision.c. This is the only place that knows names on
 * both sides.
 */
#ifndef MEGA_NAMES_TABLE_H
#define MEGA_NAMES_TABLE_H

#include "src/model/config.h"

/* Where a checkpoint has a canonical tensor. */
typedef struct TensorPlace {
    char name[160];      /* in the checkpoint, without its prefix */
    uint64_t first_row;  /* the row of that tensor that ours begins with */
    uint64_t whole_rows; /* how many rows that tensor has in all; 0: as many as ours */
    bool transposed;
} TensorPlace;

/* The first rule of a table that fits a name gives the checkpoint's name for it. */
typedef struct NameRule {
    /* A canonical name, with '*' for a number. One that ends with a dot fits all that begin so. */
    const char *ours;
    /* The checkpoint's, with '*' for that number, or '-' for the number less one. */
    const char *theirs;
    bool (*when)(const MegaConfig *config); /* for these models only; NULL: for all */
    /* Of what follows a name with a dot at its end; NULL: it is called the same there. */
    const struct NameRule *rest;
    /* Which rows of the checkpoint's tensor ours is; NULL: all. */
    void (*rows)(const MegaStackConfig *stack, TensorPlace *place);
    bool transposed;
} NameRule;

#define NAME(canonical, checkpoints) .ours = canonical, .theirs = checkpoints

/* The tables, each with an empty rule at the end. */
extern const NameRule fairseq_names[], vision_names[];
/* What follows the number of a layer, which both have in common. */
extern const NameRule layer_names[];

/* False if the family has no such tensor. */
bool name_table_find(const NameRule *table, const MegaConfig *config, const char *canonical,
                     TensorPlace *out);

#endif
