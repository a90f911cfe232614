/*
 * table.h - maps each canonical tensor (src/model/tensors.h) to its name in the checkpoints of a
 * family, and says how they hold it: whole, as rows of another tensor, or transposed.
 *
 * A family has one table of rules: fairseq.c, vision.c, s4.c, hub.c. No other code knows both the
 * canonical names and those of the checkpoints.
 */
#ifndef MEGA_NAMES_TABLE_H
#define MEGA_NAMES_TABLE_H

#include "src/model/config.h"

/* Says where a canonical tensor lies in a checkpoint. */
typedef struct TensorPlace {
    char name[160];      /* its name in the checkpoint, without the prefix */
    uint64_t first_row;  /* the row at which the canonical tensor begins */
    uint64_t whole_rows; /* rows of the checkpoint's tensor; 0: as many as the canonical one has */
    bool transposed;
    bool longer; /* the checkpoint's tensor may have more rows, which are not read */
} TensorPlace;

/* A rule maps a canonical name to the checkpoint's name. The first rule of a table that matches
 * counts, unless the checkpoint lacks the tensor and a later rule matches, too. */
typedef struct NameRule {
    /* The canonical name, with '*' for a number. A name that ends with a dot matches all names that
     * begin with it. */
    const char *ours;
    /* The checkpoint's name, with '*' for that number, or '-' for the number less one. */
    const char *theirs;
    bool (*when)(const MegaConfig *config); /* tells whether the rule applies; NULL: always */
    /* Rules for what follows a name that ends with a dot; NULL: the rest of the name is the same in
     * the checkpoint. */
    const struct NameRule *rest;
    /* Finds the rows of the checkpoint's tensor that are the canonical one; NULL: all of them. */
    void (*rows)(const MegaStackConfig *stack, TensorPlace *place);
    bool transposed;
} NameRule;

/* Holds two names of one tensor in the checkpoints of a family, which may hold it under one or
 * both: a tensor that two parts of the model share, or an old name. A table ends with an
 * empty row. */
typedef struct SharedName {
    /* The names are those of one tensor if this argument of the original is true (or, if `negated`,
     * is there and false); NULL: always. */
    const char *argument;
    bool negated;
    /* In both, '*' stands for one number, and '-' for that number less one. */
    const char *name, *other;
} SharedName;

#define NAME(canonical, checkpoints) .ours = canonical, .theirs = checkpoints

/* The tables of the families; each ends with an empty rule. */
extern const SharedName fairseq_shared[], transformer_shared[];
extern const NameRule fairseq_names[], vision_names[], transformer_names[], hub_names[],
    hub_causal_names[], s4_names[], s4_names3[], s4_names2[], s4d_names[], s4_example_names[],
    s4_example_names3[], s4_example_names2[], s4d_example_names[];
/* The rules for what follows the number of a layer, which both tables use. */
extern const NameRule layer_names[];

/* Find the rows of u, z, and r with hx, in the tensor mx_proj, which has them in this order. */
void rows_of_u(const MegaStackConfig *stack, TensorPlace *place);
void rows_of_z(const MegaStackConfig *stack, TensorPlace *place);
void rows_of_r_hx(const MegaStackConfig *stack, TensorPlace *place);

/* Finds the place of a canonical tensor. If a family has several names for it, `alternative` counts
 * them from 0. Returns false if the family has no such tensor, or no such alternative. */
bool name_table_find(const NameRule *table, const MegaConfig *config, const char *canonical,
                     int alternative, TensorPlace *out);
/* Returns whether the row has `name`, and stores the other name. */
bool shared_name(const SharedName *row, const char *name, char *other, size_t size);

#endif
