/*
 * plot_view.h - computes the numbers that mega-run plot draws: each layer's EMA kernels, the
 * half-lives of their states, the attention's bias and the size of the weights.
 */
#ifndef MEGA_PLOT_VIEW_H
#define MEGA_PLOT_VIEW_H

#include "tools/run/pictures/chart.h"
#include "tools/run/pictures/observe.h"

#define PLOT_COLUMNS 280 /* cells of a kernel map */
#define PLOT_BINS 36     /* bins of the histogram of half-lives */
#define PLOT_MATRICES 12 /* at most so many matrices of one layer */

typedef struct PlotMatrix {
    char name[48];
    MatrixStats stats;
} PlotMatrix;

/* The numbers of one layer. */
typedef struct PlotView {
    const MegaStackConfig *stack;
    bool decoder;
    int index;
    Axis distance;  /* distances at which kernels and bias are drawn */
    /* [d][PLOT_COLUMNS], sorted by reach, each divided by its largest value; NULL: the layer has no
     * moving average, and none of the members from `distance` to `cross_positions` */
    float *kernels;
    /* |K| at each distance: the median, the 10th and the 90th percentile of the channels */
    double middle[PLOT_COLUMNS], low[PLOT_COLUMNS], high[PLOT_COLUMNS];
    Axis half_life;
    double spectrum[2][PLOT_BINS]; /* the share of |w| in each bin, looking back and ahead */
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
    double least, most; /* the smallest RMS and the largest weight of all matrices */
    const char *title;
} PlotPicture;

/* Makes the views of one layer, or of all layers if layer is -1. The caller sets picture->model and
 * leaves the rest zero. plot_view_free must be called also after an error. */
int plot_view_make(PlotPicture *picture, int layer, MegaError *err);
/* Returns whether some layer that is drawn has a moving average. Of the others only the matrices
 * are shown. */
bool plot_view_has_averages(const PlotPicture *picture);
void plot_view_free(PlotPicture *picture);

#endif
