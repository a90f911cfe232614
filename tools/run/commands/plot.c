/*
 * plot.c - mega-run plot: what a model learned, layer by layer, as a picture.
 *
 * A row for each layer: EMA kernels, their middle, the half-lives of their states, the attention's
 * bias and the weight matrices. All numbers are made first (views), then drawn.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/pictures/chart.h"
#include "tools/run/pictures/observe.h"

static const char help[] =
    "Usage: mega-run plot MODEL -o FILE.svg|FILE.png\n"
    "\n"
    "Draws what a model learned. For each layer: the EMA kernels of all channels and how far they\n"
    "look, the half-lives of the EMA's states, the attention's bias by distance, and the size of\n"
    "the weights.\n"
    "\n"
    "  -m, --model FILE     the model, also without the option\n"
    "  -o, --output FILE    the picture; its suffix says which kind\n"
    "      --json           print what was drawn as a JSON object\n"
    "      --layer N        only layer N of each stack, counted from 0\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit status: 0 drawn, 1 the model cannot be used or the picture not written, 2 wrong usage.\n";

#define COLUMNS 280      /* cells of a kernel map */
#define BINS 36          /* of half-lives */
#define MOST_LAYERS 48   /* rows of one picture */
#define MOST_LAGS 16384  /* that are looked at */
#define MOST_MATRICES 12 /* of a layer */

typedef struct Matrix {
    char name[48];
    MatrixStats stats;
} Matrix;

/* One layer in numbers. */
typedef struct View {
    const MegaStackConfig *stack;
    bool decoder;
    int index;
    Axis distance;                           /* of kernels and bias */
    float *kernels;                          /* [d][COLUMNS], channels by reach; 1 is a channel's
                                                largest */
    double middle[COLUMNS], low[COLUMNS], high[COLUMNS]; /* of |K|: median, 10 and 90 % */
    Axis half_life;
    double spectrum[2][BINS];                /* back, ahead: share of |w| */
    Reach reach[2];
    float *bias, *cross;                     /* [2 positions - 1], cross or NULL */
    size_t positions, cross_positions;
    Matrix matrices[MOST_MATRICES];
    int matrix_count;
} View;

typedef struct Picture {
    const MegaModel *model;
    View *views;
    int count, left_out;  /* layers */
    Matrix *others;       /* matrices outside of layers */
    int other_count;
    double least, most;   /* of all matrices' RMS and largest weights */
    const char *title;
} Picture;

/* ---- Kernels -------------------------------------------------------------------------------- */

/* Lags that matter: up to the truncation, or as far as positions go. */
static size_t lags_of(const MegaStackConfig *stack)
{
    int lags = stack->truncation > 0 ? stack->truncation : mega_bias_positions(stack);
    if (stack->truncation <= 0 && stack->max_positions > lags)
        lags = stack->max_positions;
    return lags < 2 ? 2 : lags > MOST_LAGS ? MOST_LAGS : (size_t)lags;
}

/* |K| of a channel at the distances -lags ... lags, both directions together, out [2 lags + 1] */
static void both_ways(const MegaEma *ema, size_t channel, size_t lags, float *kernel, float *out)
{
    memset(out, 0, (2 * lags + 1) * sizeof *out);
    observe_kernel(ema, channel, lags, kernel);
    for (size_t t = 0; t < lags; t++)
        out[lags - t] += kernel[t];
    if (ema->bidirectional) {
        observe_kernel(ema, ema->width + channel, lags, kernel);
        for (size_t t = 0; t < lags; t++)
            out[lags + t + ema->shifted] += kernel[t];
    }
    for (size_t i = 0; i <= 2 * lags; i++)
        out[i] = fabsf(out[i]);
}

/* A row of the map from |K|: every cell the mean of its distances, divided by the largest. */
static void fill_cells(const Axis *axis, const float *kernel, size_t lags, float *cells)
{
    float largest = 0;
    for (size_t i = 0; i <= 2 * lags; i++)
        largest = fmaxf(largest, kernel[i]);
    for (int c = 0; c < COLUMNS; c++) {
        double from = axis_value(axis, (double)c / COLUMNS);
        double to = axis_value(axis, (double)(c + 1) / COLUMNS), sum = 0;
        double first = ceil(from), last = ceil(to) - 1;
        if (first > last) /* the cell lies between two distances: the nearer one */
            first = last = round((from + to) / 2);
        for (double at = first; at <= last; at++)
            if (fabs(at) <= (double)lags)
                sum += (double)kernel[(ptrdiff_t)lags + (ptrdiff_t)at];
        cells[c] = largest > 0 ? (float)(sum / (last - first + 1)) / largest : 0;
    }
}

typedef struct Channel {
    size_t number;
    double reach; /* mean distance */
} Channel;

static int by_reach(const void *a, const void *b)
{
    const Channel *x = a, *y = b;
    if (x->reach != y->reach)
        return x->reach > y->reach ? 1 : -1;
    return (x->number > y->number) - (x->number < y->number);
}

static int by_value(const void *a, const void *b)
{
    float x = *(const float *)a, y = *(const float *)b;
    return (x > y) - (x < y);
}

/* Median and tenths of every column of the map. column [d] is scratch. */
static void summarize(View *view, size_t d, float *column)
{
    for (size_t c = 0; c < COLUMNS; c++) {
        for (size_t i = 0; i < d; i++)
            column[i] = view->kernels[i * COLUMNS + c];
        qsort(column, d, sizeof *column, by_value);
        view->low[c] = (double)column[d / 10];
        view->middle[c] = (double)column[d / 2];
        view->high[c] = (double)column[d - 1 - d / 10];
    }
}

static int view_kernels(View *view, const MegaEma *ema, MegaError *err)
{
    size_t d = ema->width, lags = lags_of(view->stack);
    Channel *channels = malloc(d * sizeof *channels);
    float *kernel = malloc(lags * sizeof *kernel);
    float *both = malloc((2 * lags + 2) * sizeof *both), *column = malloc(d * sizeof *column);
    view->kernels = malloc(d * COLUMNS * sizeof *view->kernels);
    view->distance = (Axis){-1.3 * (double)lags, view->stack->bidirectional ? 1.3 * (double)lags
                                                                            : 0.5, AXIS_BENT};
    int code = channels && kernel && both && column && view->kernels
                   ? 0
                   : mega_fail(err, MEGA_ERR_MEMORY, "no memory for the kernels of a layer");
    for (size_t c = 0; c < d && !code; c++) {
        double weight = 0, moment = 0;
        both_ways(ema, c, lags, kernel, both);
        for (size_t i = 0; i <= 2 * lags; i++) {
            weight += (double)both[i];
            moment += (double)both[i] * fabs((double)i - (double)lags);
        }
        channels[c] = (Channel){c, weight > 0 ? moment / weight : 0};
    }
    if (!code)
        qsort(channels, d, sizeof *channels, by_reach);
    for (size_t i = 0; i < d && !code; i++) {
        both_ways(ema, channels[i].number, lags, kernel, both);
        fill_cells(&view->distance, both, lags, view->kernels + i * COLUMNS);
    }
    if (!code)
        summarize(view, d, column);
    for (int ahead = 0; ahead < (ema->bidirectional ? 2 : 1) && !code; ahead++)
        code = observe_layer_reach(ema, ahead, lags, &view->reach[ahead], err);
    free(channels);
    free(kernel);
    free(both);
    free(column);
    return code;
}

/* Half-lives log 0.5 / log q, every state counted by its |w|; the last bin takes what is longer. */
static void view_spectrum(View *view, const MegaEma *ema)
{
    double longest = pow(10, ceil(log10(2 * (double)lags_of(view->stack))));
    view->half_life = (Axis){0, longest, AXIS_BENT};
    for (size_t ahead = 0; ahead < (ema->bidirectional ? 2 : 1); ahead++) {
        double total = 0, *bins = view->spectrum[ahead];
        for (size_t n = 0; n < ema->states; n++)
            for (size_t c = 0; c < ema->width; c++) {
                size_t at = n * ema->channels + ahead * ema->width + c;
                double q = (double)ema->q[at], w = fabs((double)ema->w[at]);
                double life = q <= 0 ? 0 : q >= 1 ? longest : log(0.5) / log(q);
                int bin = (int)(axis_place(&view->half_life, fmin(life, longest)) * BINS);
                bins[bin < BINS ? bin : BINS - 1] += w;
                total += w;
            }
        for (int bin = 0; bin < BINS && total > 0; bin++)
            bins[bin] /= total;
    }
}

/* ---- Bias and matrices ---------------------------------------------------------------------- */

/* As far as kernels are looked at: a rotary bias goes on for as many positions as the model file
 * says, which may be any number. */
static size_t drawn_positions(size_t stored)
{
    return stored > MOST_LAGS ? MOST_LAGS : stored;
}

static int view_bias(View *view, const Picture *picture, const char *prefix, MegaError *err)
{
    const MegaConfig *config = mega_model_config(picture->model);
    bool rotary = view->stack->bias == MEGA_BIAS_ROTARY;
    size_t stored = (size_t)mega_bias_positions(view->stack);
    char cross[64];
    if (stored < 2 && rotary)
        stored = MOST_LAGS;
    view->positions = drawn_positions(stored);
    int code = observe_bias(picture->model, view->stack, prefix, stored, view->positions,
                            &view->bias, err);
    if (code || !view->decoder || !mega_config_has_cross(config))
        return code;
    stored = (size_t)config->target.cross_positions;
    view->cross_positions = drawn_positions(stored);
    snprintf(cross, sizeof cross, "%s.cross", prefix);
    return observe_bias(picture->model, view->stack, cross, stored, view->cross_positions,
                        &view->cross, err);
}

/* A matrix "PREFIX.name.weight", or one outside of all layers for prefix NULL. */
static bool is_matrix(const MegaTensor *tensor, const char *prefix)
{
    size_t length = prefix ? strlen(prefix) : 0, whole = strlen(tensor->name);
    if (tensor->rank < 2 || tensor->tied_to >= 0 || strstr(tensor->name, ".ema."))
        return false;
    if (!prefix)
        return !strstr(tensor->name, ".layer.");
    return whole > length && strncmp(tensor->name, prefix, length) == 0 &&
           tensor->name[length] == '.' && strstr(tensor->name + length, ".weight");
}

/* "encoder.layer.0.ffn.fc1.weight" is fc1. */
static void name_matrix(Matrix *matrix, const char *name, const char *prefix)
{
    const char *rest = prefix ? name + strlen(prefix) + 1 : name;
    if (strncmp(rest, "ffn.", 4) == 0)
        rest += 4;
    snprintf(matrix->name, sizeof matrix->name, "%s", rest);
    char *end = strstr(matrix->name, ".weight");
    if (end)
        *end = '\0';
    for (char *at = matrix->name; *at; at++)
        *at = *at == '.' ? ' ' : *at;
}

/* The matrices of a layer, or those outside; *count of at most `most`. */
static int view_matrices(Picture *picture, const char *prefix, Matrix *out, int most, int *count,
                         MegaError *err)
{
    const MegaFile *file = picture->model->file;
    int code = 0;
    for (size_t i = 0; i < mega_file_tensor_count(file) && *count < most && !code; i++) {
        const MegaTensor *tensor = mega_file_tensor(file, i);
        float *values = NULL;
        size_t elements;
        if (!is_matrix(tensor, prefix))
            continue;
        code = observe_tensor(picture->model, tensor->name, &values, &elements, err);
        if (!code) {
            Matrix *matrix = &out[(*count)++];
            name_matrix(matrix, tensor->name, prefix);
            matrix->stats = observe_matrix(values, elements);
            if (matrix->stats.rms > 0 && isfinite(matrix->stats.largest)) {
                picture->least = fmin(picture->least, matrix->stats.rms);
                picture->most = fmax(picture->most, matrix->stats.largest);
            }
        }
        free(values);
    }
    return code;
}

static int make_view(Picture *picture, bool decoder, int index, MegaError *err)
{
    const MegaModel *model = picture->model;
    const MegaStack *stack = decoder ? &model->decoder : &model->encoder;
    View *view = &picture->views[picture->count++];
    char prefix[48];
    *view = (View){.stack = decoder ? &model->config.decoder : &model->config.encoder,
                   .decoder = decoder, .index = index};
    snprintf(prefix, sizeof prefix, "%s.layer.%d", decoder ? "decoder" : "encoder", index);
    view_spectrum(view, &mega_layer(stack, index)->ema);
    int code = view_kernels(view, &mega_layer(stack, index)->ema, err);
    if (!code)
        code = view_bias(view, picture, prefix, err);
    if (!code)
        code = view_matrices(picture, prefix, view->matrices, MOST_MATRICES, &view->matrix_count,
                             err);
    return code;
}

/* layer -1: all of them. */
static int make_picture(Picture *picture, int layer, MegaError *err)
{
    const MegaConfig *config = mega_model_config(picture->model);
    int encoder = mega_config_has_encoder(config) ? config->encoder.layers : 0;
    int decoder = mega_config_has_decoder(config) ? config->decoder.layers : 0;
    int code = 0, all = encoder + decoder;
    picture->least = INFINITY;
    picture->views = calloc((size_t)all, sizeof *picture->views);
    picture->others = calloc(MOST_MATRICES, sizeof *picture->others);
    if (!picture->views || !picture->others)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a picture");
    if (layer >= 0 && layer >= encoder && layer >= decoder)
        return mega_fail(err, MEGA_ERR_ARGUMENT, "there is no layer %d: the model has %d", layer,
                         encoder > decoder ? encoder : decoder);
    for (int i = 0; i < all && !code; i++) {
        int index = i < encoder ? i : i - encoder;
        if (layer >= 0 && index != layer)
            continue;
        if (picture->count == MOST_LAYERS)
            picture->left_out++;
        else
            code = make_view(picture, i >= encoder, index, err);
    }
    if (!code)
        code = view_matrices(picture, NULL, picture->others, MOST_MATRICES, &picture->other_count,
                             err);
    if (picture->most == 0) /* all weights are 0, or none is a number */
        picture->least = picture->most = 1;
    return code;
}

static void free_picture(Picture *picture)
{
    for (int i = 0; i < picture->count; i++) {
        free(picture->views[i].kernels);
        free(picture->views[i].bias);
        free(picture->views[i].cross);
    }
    free(picture->views);
    free(picture->others);
}

/* ---- Drawing -------------------------------------------------------------------------------- */

#define WIDTH 1640.0
#define HEADS 136.0 /* where the columns' titles end */
#define TALL 124.0  /* of a layer's panels */
#define PITCH 186.0 /* from one layer to the next */
#define MATRIX_TALL 15.0

typedef struct Column {
    double x, width;
    const char *title, *text;
} Column;

enum { KERNELS, MIDDLE, SPECTRUM, BIAS, WEIGHTS, COLUMN_COUNT };

static const Column columns[COLUMN_COUNT] = {
    [KERNELS] = {50, 300, "EMA kernels", "|K| of each channel, short reach above long"},
    [MIDDLE] = {405, 260, "How far they look", "median of |K|, band: 10 to 90 % of channels"},
    [SPECTRUM] = {725, 230, "Decay spectrum", "half-life of the EMA states, % of |w|"},
    [BIAS] = {1015, 260, "Attention bias", "added to a score, by distance"},
    [WEIGHTS] = {1370, 160, "Weights", "bar: RMS, dot: largest, number: near zero"},
};

static void draw_heads(Canvas *canvas)
{
    for (int i = 0; i < COLUMN_COUNT; i++) {
        double x = columns[i].x - (i == WEIGHTS ? 62 : 0);
        canvas_text(canvas, x, HEADS - 24, (TextStyle){.size = 14.5, .bold = true}, "%s",
                    columns[i].title);
        canvas_text(canvas, x, HEADS - 7, (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s",
                    columns[i].text);
    }
}

/* Where the EMA is cut off, and where a chunk ends. */
static void draw_marks(const Plot *plot, const View *view, int mark)
{
    if (mark <= 0)
        return;
    plot_mark(plot, -mark);
    if (view->stack->bidirectional)
        plot_mark(plot, mark);
}

static void draw_kernels(Canvas *canvas, const View *view, double y, const char *unit)
{
    const Column *column = &columns[KERNELS];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 1, AXIS_PLAIN}};
    canvas_heat(canvas, plot.x, plot.y, plot.width, plot.height, view->kernels,
                (size_t)view->stack->width, COLUMNS, MAP_BLUE);
    canvas_frame(canvas, plot.x, plot.y, plot.width, plot.height, COLOUR_LIGHT);
    draw_marks(&plot, view, view->stack->truncation);
    canvas_text(canvas, plot.x - 8, y + TALL / 2,
                (TextStyle){.size = 11, .align = 0.5, .angle = -90, .colour = COLOUR_GREY},
                "%d channels", view->stack->width);
    plot_across(&plot, unit);
}

static void draw_middle(Canvas *canvas, const View *view, double y, const char *unit)
{
    const Column *column = &columns[MIDDLE];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 1.02, AXIS_PLAIN}};
    double xs[COLUMNS];
    for (int c = 0; c < COLUMNS; c++)
        xs[c] = axis_value(&view->distance, (c + 0.5) / COLUMNS);
    plot_ground(&plot);
    plot_band(&plot, xs, view->low, view->high, COLUMNS, COLOUR_BLUE);
    plot_line(&plot, xs, view->middle, COLUMNS, (LineStyle){.colour = COLOUR_BLUE, .width = 2});
    draw_marks(&plot, view, view->stack->truncation);
    plot_up(&plot);
    plot_across(&plot, unit);
}

static void draw_spectrum(Canvas *canvas, const View *view, double y, const char *unit)
{
    const Column *column = &columns[SPECTRUM];
    double most = 0, xs[2 * BINS], ys[2 * BINS];
    for (int bin = 0; bin < BINS; bin++)
        most = fmax(most, 100 * fmax(view->spectrum[0][bin], view->spectrum[1][bin]));
    Plot plot = {canvas, column->x, y, column->width, TALL, view->half_life,
                 {0, most > 0 ? 1.1 * most : 1, AXIS_PLAIN}};
    plot_ground(&plot);
    for (int bin = 0; bin < BINS; bin++) {
        double left = plot_x(&plot, axis_value(&plot.across, (double)bin / BINS));
        double top = plot_y(&plot, 100 * view->spectrum[0][bin]);
        canvas_fill(canvas, left, top, plot.width / BINS - 0.8, y + TALL - top,
                    map_colour(MAP_BLUE, 0.5));
        for (int side = 0; side < 2; side++) {
            xs[2 * bin + side] = axis_value(&plot.across, (double)(bin + side) / BINS);
            ys[2 * bin + side] = 100 * view->spectrum[1][bin];
        }
    }
    if (view->stack->bidirectional)
        plot_line(&plot, xs, ys, 2 * BINS, (LineStyle){.colour = COLOUR_ORANGE, .width = 1.8});
    for (int ahead = 0; ahead < (view->stack->bidirectional ? 2 : 1); ahead++)
        canvas_text(canvas, plot.x + plot.width - 7, y + 16 + 15 * ahead,
                    (TextStyle){.size = 11, .align = 1, .bold = true,
                                .colour = ahead ? COLOUR_ORANGE : COLOUR_BLUE},
                    ahead ? "looking ahead" : "looking back");
    plot_up(&plot);
    plot_across(&plot, unit);
}

/* A bias table as a line; distances from low to high of the axis only. */
static void draw_table(const Plot *plot, const float *table, size_t positions, LineStyle style)
{
    size_t count = 2 * positions - 1;
    double *xs = malloc(count * sizeof *xs), *ys = malloc(count * sizeof *ys);
    for (size_t i = 0; xs && ys && i < count; i++) {
        xs[i] = (double)i - (double)(positions - 1);
        ys[i] = xs[i] < plot->across.low || xs[i] > plot->across.high ? NAN : (double)table[i];
    }
    if (xs && ys)
        plot_line(plot, xs, ys, count, style);
    else
        canvas_no_memory(plot->canvas);
    free(xs);
    free(ys);
}

static void widen(Axis *up, const Axis *across, const float *table, size_t positions)
{
    for (size_t i = 0; i < 2 * positions - 1; i++) {
        double distance = (double)i - (double)(positions - 1);
        if (distance < across->low || distance > across->high)
            continue;
        up->low = fmin(up->low, (double)table[i]);
        up->high = fmax(up->high, (double)table[i]);
    }
}

static void draw_bias(Canvas *canvas, const View *view, double y, const char *unit)
{
    const Column *column = &columns[BIAS];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 0, AXIS_PLAIN}};
    if (view->cross) /* a target may look at any position of its source */
        plot.across.high = -plot.across.low;
    widen(&plot.up, &plot.across, view->bias, view->positions);
    if (view->cross)
        widen(&plot.up, &plot.across, view->cross, view->cross_positions);
    double margin = fmax(0.08 * (plot.up.high - plot.up.low), 1e-6);
    plot.up.low -= margin;
    plot.up.high += (view->cross ? 3 : 1) * margin; /* room for the names */
    plot_ground(&plot);
    canvas_line(canvas, plot.x, plot_y(&plot, 0), plot.x + plot.width, plot_y(&plot, 0),
                (LineStyle){.colour = {0.6, 0.6, 0.6}});
    if (view->cross)
        draw_table(&plot, view->cross, view->cross_positions,
                   (LineStyle){.colour = COLOUR_ORANGE, .width = 1.5});
    Plot own = plot;
    if (!view->stack->bidirectional)
        own.across.high = 0; /* nothing ahead is ever looked at */
    own.width = plot_x(&plot, own.across.high) - plot.x;
    draw_table(&own, view->bias, view->positions, (LineStyle){.colour = COLOUR_BLUE, .width = 1.8});
    draw_marks(&plot, view, view->stack->chunk);
    for (int cross = 0; view->cross && cross < 2; cross++)
        canvas_text(canvas, plot.x + 7 + 46 * cross, y + 14,
                    (TextStyle){.size = 11, .bold = true,
                                .colour = cross ? COLOUR_ORANGE : COLOUR_BLUE},
                    cross ? "to the source" : "itself");
    plot_up(&plot);
    plot_across(&plot, unit);
}

static double matrix_place(const Picture *picture, double value)
{
    double low = log10(picture->least / 3), high = log10(picture->most * 1.2);
    double place = value > 0 ? (log10(value) - low) / (high - low) : 0;
    return place < 0 ? 0 : place < 1 ? place : 1;
}

static void draw_matrices(Canvas *canvas, const Picture *picture, const Matrix *matrices, int count,
                          double x, double width, double y)
{
    for (int i = 0; i < count; i++, y += MATRIX_TALL) {
        const MatrixStats *stats = &matrices[i].stats;
        canvas_text(canvas, x - 6, y + 11, (TextStyle){.size = 11, .align = 1}, "%s",
                    matrices[i].name);
        canvas_fill(canvas, x, y + 6, width, 1, COLOUR_LIGHT);
        canvas_fill(canvas, x, y + 2, width * matrix_place(picture, stats->rms), 9,
                    map_colour(MAP_BLUE, 0.55));
        canvas_dot(canvas, x + width * matrix_place(picture, stats->largest), y + 6.5, 3,
                   COLOUR_ORANGE);
        canvas_text(canvas, x + width + 44, y + 11,
                    (TextStyle){.size = 11, .align = 1, .colour = COLOUR_GREY}, "%.0f %%",
                    100 * stats->near_zero);
    }
}

/* The axis of bars and dots: powers of ten. */
static void draw_matrix_axis(Canvas *canvas, const Picture *picture, double x, double width,
                             double y)
{
    char text[16];
    for (double power = floor(log10(picture->least / 3)) + 1; pow(10, power) < picture->most * 1.2;
         power++) {
        double at = x + width * matrix_place(picture, pow(10, power));
        canvas_line(canvas, at, y, at, y + 4, (LineStyle){.colour = COLOUR_GREY});
        canvas_text(canvas, at, y + 15,
                    (TextStyle){.size = 10.5, .align = 0.5, .colour = COLOUR_GREY}, "%s",
                    chart_number(pow(10, power), text));
    }
}

static void draw_view(Canvas *canvas, const Picture *picture, const View *view, double y,
                      bool last)
{
    const char *unit = observe_unit(picture->model, view->decoder);
    const Column *weights = &columns[WEIGHTS];
    char distance[64], half_life[64], reach[160];
    int length = snprintf(reach, sizeof reach, "on average the middle channel looks %.3g",
                          view->reach[0].middle);
    if (view->stack->bidirectional)
        length += snprintf(reach + length, sizeof reach - (size_t)length, " back and %.3g",
                           view->reach[1].middle);
    snprintf(reach + length, sizeof reach - (size_t)length, " %s %s", unit,
             view->stack->bidirectional ? "ahead" : "back");
    snprintf(distance, sizeof distance, "distance, %s", unit);
    snprintf(half_life, sizeof half_life, "half-life, %s", unit);
    canvas_text(canvas, columns[0].x, y + 14, (TextStyle){.size = 13, .bold = true},
                "%s layer %d", view->decoder ? "Decoder" : "Encoder", view->index);
    canvas_text(canvas, columns[0].x + 130, y + 14,
                (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s", reach);
    y += 22;
    draw_kernels(canvas, view, y, last ? distance : NULL);
    draw_middle(canvas, view, y, last ? distance : NULL);
    draw_spectrum(canvas, view, y, last ? half_life : NULL);
    draw_bias(canvas, view, y, last ? distance : NULL);
    double tall = MATRIX_TALL * view->matrix_count;
    draw_matrices(canvas, picture, view->matrices, view->matrix_count, weights->x, weights->width,
                  y + (tall < TALL ? (TALL - tall) / 2 : 0));
    if (last)
        draw_matrix_axis(canvas, picture, weights->x, weights->width,
                         y + (tall < TALL ? TALL : tall));
}

/* What the names of matrices mean, of those that are shown, and the marks; where it ends. */
static double draw_explanation(Canvas *canvas, const Picture *picture, double x, double y)
{
    static const struct {
        const char *name, *shown, *text;
    } meanings[] = {
        {"v", "v", "from the layer's input: the values that attention mixes"},
        {"mx", "mx", "from the averaged input (EMA): update gate u, reset gate r, what queries and "
                     "keys are made of, candidate"},
        {"u", "u, z, r_hx", "from the averaged input (EMA): update gate, what queries and keys are "
                            "made of, reset gate and candidate"},
        {"h", "h", "from what attention gave, reset by r, to the candidate"},
        {"fc1", "fc1, fc2", "into the feed-forward block, and out of it"},
        {"cross q", "cross q, k, v, h", "attention to the source: gates and queries, keys, values, "
                                        "result"},
    };
    const TextStyle small = {.size = 11.5}, grey = {.size = 11.5, .colour = COLOUR_GREY};
    const double pitch = 17, text = x + 110;
    canvas_text(canvas, x, y + 14, (TextStyle){.size = 13, .bold = true}, "The weights and marks");
    y += 34;
    for (size_t i = 0; i < sizeof meanings / sizeof meanings[0]; i++)
        for (int view = 0, found = 0; view < picture->count && !found; view++)
            for (int m = 0; m < picture->views[view].matrix_count && !found; m++) {
                found = strcmp(picture->views[view].matrices[m].name, meanings[i].name) == 0;
                if (!found)
                    continue;
                canvas_text(canvas, x, y, small, "%s", meanings[i].shown);
                canvas_text(canvas, text, y, grey, "%s", meanings[i].text);
                y += pitch;
            }
    canvas_fill(canvas, x, y - 9, 40, 9, map_colour(MAP_BLUE, 0.55));
    canvas_text(canvas, text, y, grey, "root mean square of the weights of a matrix");
    canvas_dot(canvas, x + 20, y + pitch - 4, 3, COLOUR_ORANGE);
    canvas_text(canvas, text, y + pitch, grey, "the largest weight");
    canvas_text(canvas, x, y + 2 * pitch, small, "8 %%");
    canvas_text(
        canvas, text, y + 2 * pitch, grey,
        "share of weights near zero: below a tenth of the root mean square; 8 %% where they "
        "are spread normally");
    bool dashed = false;
    for (int view = 0; view < picture->count; view++)
        dashed |=
            picture->views[view].stack->truncation > 0 || picture->views[view].stack->chunk > 0;
    if (!dashed)
        return y + 2 * pitch;
    canvas_line(canvas, x + 20, y + 2 * pitch + 5, x + 20, y + 3 * pitch + 3,
                (LineStyle){.colour = COLOUR_GREY, .width = 1.2, .dashed = true});
    canvas_text(canvas, text, y + 3 * pitch, grey,
                "of a kernel: where the EMA is cut off; of a bias: the size of a chunk");
    return y + 3 * pitch;
}

static double draw_picture(Canvas *canvas, const void *context)
{
    const Picture *picture = context;
    const MegaConfig *config = mega_model_config(picture->model);
    const MegaStackConfig *stack =
        mega_config_has_encoder(config) ? &config->encoder : &config->decoder;
    char subtitle[256], note[128] = "";
    bool chunks = stack->chunk > 0, truncated = stack->truncation > 0;
    if (picture->left_out)
        snprintf(note, sizeof note, " \xc2\xb7 %d more layers are not shown, see --layer",
                 picture->left_out);
    snprintf(subtitle, sizeof subtitle, "%d layers of width %d \xc2\xb7 %s attention%s%s%s%s%s",
             config->encoder.layers + config->decoder.layers, stack->width,
             mega_attention_name(stack->attention),
             truncated || chunks ? " \xc2\xb7 dashed: " : "",
             truncated ? "where the EMA is cut off" : "", truncated && chunks ? ", " : "",
             chunks ? "the size of a chunk (bias)" : "", note);
    chart_title(canvas, WIDTH, picture->title, subtitle);
    chart_key(canvas, columns[KERNELS].x + 108, HEADS - 34, 64, MAP_BLUE, "0", "channel's largest");
    draw_heads(canvas);
    double y = HEADS + 8;
    for (int i = 0; i < picture->count; i++) {
        bool last = i + 1 == picture->count ||
                    picture->views[i + 1].decoder != picture->views[i].decoder;
        draw_view(canvas, picture, &picture->views[i], y, last);
        y += PITCH + (last ? 16 : 0);
    }
    double end = draw_explanation(canvas, picture, columns[SPECTRUM].x, y);
    if (picture->other_count) {
        canvas_text(canvas, columns[0].x, y + 14, (TextStyle){.size = 13, .bold = true},
                    "Outside the layers");
        draw_matrices(canvas, picture, picture->others, picture->other_count, columns[0].x + 160,
                      260, y + 26);
        y += 26 + MATRIX_TALL * picture->other_count;
        draw_matrix_axis(canvas, picture, columns[0].x + 160, 260, y);
        y += 20;
    }
    return fmax(y, end) + 24;
}

/* ---- The command ---------------------------------------------------------------------------- */

static int run(const char *given, const char *output, int layer, bool json)
{
    MegaError err = {0};
    MegaModel *model = NULL;
    Picture picture = {0};
    char title[400], name[256], *path = NULL;
    int code = named_model(&path, given, &err);
    if (!code)
        code = mega_model_open(&model, path, &err);
    if (!code) {
        picture.model = model;
        snprintf(title, sizeof title, "%s: what it learned", observe_model_name(model, name));
        picture.title = title;
        code = make_picture(&picture, layer, &err);
    }
    if (!code)
        code = canvas_write(output, title, WIDTH, draw_picture, &picture, &err);
    free_picture(&picture);
    mega_model_free(model);
    if (code)
        report("%s", err.text);
    else if (json)
        print_json_line(json_pack("{s:o,s:o}", "model", json_text(path), "output",
                                  json_text(output)));
    free(path);
    return finish_output(code ? 1 : 0);
}

int command_plot(int argc, char **argv)
{
    const char *model = NULL, *output = NULL;
    bool json = false;
    int layer = -1, inputs, status;
    const CommandOption table[] = {
        MODEL_OPTION(&model),
        OUTPUT_OPTION(&output),
        {.name = "layer", .take = take_int, .out = &layer, .least = 0, .most = MEGA_MAX_LAYERS},
        JSON_OPTION(&json),
        INPUT_OPTIONS,
        {0}};
    MegaError err = {0};
    if (!read_command_line(&(CommandSyntax){"plot", help, table}, argc, argv, &inputs, &status))
        return status;
    if (inputs > !model)
        return usage_error("plot", "'%s' is too much: one model, one picture", argv[inputs]);
    if (inputs == 1)
        model = argv[1];
    if (!model)
        return usage_error("plot", "no model was given");
    if (!output)
        return usage_error("plot", "no output was given: -o FILE.svg or -o FILE.png");
    if (canvas_check(output, &err))
        return usage_error("plot", "%s", err.text);
    return run(model, output, layer, json);
}
