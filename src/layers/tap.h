/*
 * tap.h - shows intermediate results, stage by stage, to the tap that a session may have.
 */
#ifndef MEGA_TAP_H
#define MEGA_TAP_H

#include "src/mega.h"

/* A tap, and where in the model the pass is that shows it something. */
typedef struct MegaTapping {
    MegaTap tap; /* NULL if there is no tap */
    void *context;
    int input;         /* number of the input that is being run */
    const char *stack; /* prefix of the names of a decoder's stages */
    bool attention;    /* the tap asked for the weights of attention (attention_tap.h) */
} MegaTapping;

/* Shows data [rows][columns] as the stage of this name, if there is a tap. */
void mega_tap(const MegaTapping *tapping, const char *stage, const float *data, size_t rows,
              size_t columns);
/* Shows a part of layer number `index` (".ema"), or its output (""). */
void mega_tap_layer(const MegaTapping *tapping, int index, const char *part, const float *data,
                    size_t rows, size_t columns);

#endif
