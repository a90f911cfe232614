/*
 * tap.h - shows what is computed on the way, stage by stage, to whoever set a tap on the session.
 */
#ifndef MEGA_TAP_H
#define MEGA_TAP_H

#include "src/mega.h"

typedef struct MegaTapping {
    MegaTap tap; /* NULL: nobody looks */
    void *context;
    int input;         /* which one of the inputs is on its way */
    const char *stack; /* what the names of a decoder's stages begin with */
} MegaTapping;

/* Shows data [rows][columns] as the stage of this name. */
void mega_tap(const MegaTapping *tapping, const char *stage, const float *data, size_t rows,
              size_t columns);
/* Shows a part of layer number `index` (".ema"), or its output (""). */
void mega_tap_layer(const MegaTapping *tapping, int index, const char *part, const float *data,
                    size_t rows, size_t columns);

#endif
