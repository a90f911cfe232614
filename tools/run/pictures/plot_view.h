/*
 * plot_view.h - what mega-run plot draws, in numbers: each layer's EMA kernels, the half-lives of
 * their states, the attention's bias and the size of the weights.
 */
#ifndef MEGA_PLOT_VIEW_H
#define MEGA_PLOT_VIEW_H

#include "tools/run/pictures/chart.h"
#include "tools/run/pictures/observe.h"

#define PLOT_COLUMNS 280 /* cells of a kernel map */
#define PLOT_BINS 36     /* of half-lives */
#define PLOT_MATRICES 12 /* of a layer */

typedef struct PlotMatrix {
    char name[48];
    MatrixStats stats;
} PlotMatrix;

/* One layer in numbers. */
typedef struct PlotView {
    const MegaStackConfig *stack;
    bool decoder;
    int index;
    Axis distance;  /* of kernels and bias */
    float *kernels; /* [d][PLOT_COLUMNS], channels by reach, each over its largest */
    /* |K| at each distance: median, 10 and 90 % of the channels */
    double middle[PLOT_COLUMNS], low[PLOT_COLUMNS], high[PLOT_COLUMNS];
    Axis half_life;
    double spectrum[2][PLOT_BINS]; /* looking back and ahead: the share of |w| */
    Reach reach[2];
    float *bias, *cross; /* [2 positions - 1]; cross is NULL without cross attention */
    size_t positions, cross_positions;
    PlotMatrix matrices[PLOT_MATRICES];
    int matrix_count;
} PlotView;

typedef struct PlotPicture {
    const MegaModel *model;
    PlotView *views;
    int count, left_out; /* layers */
    PlotMatrix *others;  /* matrices outside the layers */
    int other_count;
    double least, most; /* smallest RMS and largest weight of all matrices */
    const char *title;
} PlotPicture;

/* Makes the views of one layer, or of all if layer is -1. The picture has its model and is zero
 * otherwise; free it also after an error. */
int plot_view_make(PlotPicture *picture, int layer, MegaError *err);
void plot_view_free(PlotPicture *picture);

#endif
