/*
 * plot_view.c - see plot_view.h.
 */
#include "tools/run/pictures/plot_view.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define MOST_LAYERS 48  /* most layers of one picture */
#define MOST_LAGS 16384 /* most lags that are computed */

/* ---- Kernels -------------------------------------------------------------------------------- */

/* Returns how many lags are drawn: those up to the truncation, or up to the most positions. */
static size_t lags_of(const MegaStackConfig *stack)
{
    int lags = mega_gated(stack)->truncation > 0 ? mega_gated(stack)->truncation
                                                 : mega_bias_positions(stack);
    if (mega_gated(stack)->truncation <= 0 && stack->max_positions > lags)
        lags = stack->max_positions;
    return lags < 2 ? 2 : lags > MOST_LAGS ? MOST_LAGS : (size_t)lags;
}

/* Computes out [2 lags + 1], the |K| of a channel at the distances -lags to lags, with both
 * directions together. */
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

/* Makes a row of the map from |K|. Each cell is the mean over its distances, divided by the row's
 * largest value. */
static void fill_cells(const Axis *axis, const float *kernel, size_t lags, float *cells)
{
    float largest = 0;
    for (size_t i = 0; i <= 2 * lags; i++)
        largest = fmaxf(largest, kernel[i]);
    for (int c = 0; c < PLOT_COLUMNS; c++) {
        double from = axis_value(axis, (double)c / PLOT_COLUMNS);
        double to = axis_value(axis, (double)(c + 1) / PLOT_COLUMNS), sum = 0;
        double first = ceil(from), last = ceil(to) - 1;
        if (first > last) /* the cell lies between two distances, so take the nearer one */
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

/* Computes the median, the 10th and the 90th percentile of each column of the map. column [d] is
 * scratch. */
static void summarize(PlotView *view, size_t d, float *column)
{
    for (size_t c = 0; c < PLOT_COLUMNS; c++) {
        for (size_t i = 0; i < d; i++)
            column[i] = view->kernels[i * PLOT_COLUMNS + c];
        qsort(column, d, sizeof *column, by_value);
        view->low[c] = (double)column[d / 10];
        view->middle[c] = (double)column[d / 2];
        view->high[c] = (double)column[d - 1 - d / 10];
    }
}

static int view_kernels(PlotView *view, const MegaEma *ema, MegaError *err)
{
    size_t d = ema->width, lags = lags_of(view->stack);
    Channel *channels = malloc(d * sizeof *channels);
    float *kernel = malloc(lags * sizeof *kernel);
    float *both = malloc((2 * lags + 2) * sizeof *both), *column = malloc(d * sizeof *column);
    view->kernels = malloc(d * PLOT_COLUMNS * sizeof *view->kernels);
    view->distance = (Axis){-1.3 * (double)lags,
                            view->stack->bidirectional ? 1.3 * (double)lags : 0.5, AXIS_BENT};
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
        fill_cells(&view->distance, both, lags, view->kernels + i * PLOT_COLUMNS);
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

/* Makes a histogram of the half-lives log 0.5 / log q, weighted by |w|. The last bin takes all
 * longer ones. */
static void view_spectrum(PlotView *view, const MegaEma *ema)
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
                int bin = (int)(axis_place(&view->half_life, fmin(life, longest)) * PLOT_BINS);
                bins[bin < PLOT_BINS ? bin : PLOT_BINS - 1] += w;
                total += w;
            }
        for (int bin = 0; bin < PLOT_BINS && total > 0; bin++)
            bins[bin] /= total;
    }
}

/* ---- Bias and matrices ---------------------------------------------------------------------- */

/* Limits the positions to as many as the kernels have lags: for a rotary bias the model file may
 * declare any number of positions. */
static size_t drawn_positions(size_t stored)
{
    return stored > MOST_LAGS ? MOST_LAGS : stored;
}

static int view_bias(PlotView *view, const PlotPicture *picture, const char *prefix, MegaError *err)
{
    const MegaConfig *config = mega_model_config(picture->model);
    bool rotary = mega_gated(view->stack)->bias == MEGA_BIAS_ROTARY;
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

/* Returns whether a tensor is a matrix "PREFIX.name.weight" or, for a NULL prefix, one outside all
 * layers. */
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

/* Names a matrix for the picture: "encoder.layer.0.ffn.fc1.weight" becomes "fc1". */
static void name_matrix(PlotMatrix *matrix, const char *name, const char *prefix)
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

/* Collects the matrices of a layer, or those outside all layers, up to `most`, and counts them in
 * *count. */
static int view_matrices(PlotPicture *picture, const char *prefix, PlotMatrix *out, int most,
                         int *count, MegaError *err)
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
            PlotMatrix *matrix = &out[(*count)++];
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

static int make_view(PlotPicture *picture, bool decoder, int index, MegaError *err)
{
    const MegaModel *model = picture->model;
    const MegaStack *stack = decoder ? &model->decoder : &model->encoder;
    PlotView *view = &picture->views[picture->count++];
    char prefix[48];
    *view = (PlotView){.stack = decoder ? &model->config.decoder : &model->config.encoder,
                       .decoder = decoder,
                       .index = index};
    snprintf(prefix, sizeof prefix, "%s.layer.%d", decoder ? "decoder" : "encoder", index);
    const MegaEma *ema = mega_layer_view(stack, index).ema;
    int code = 0;
    if (ema) {
        view_spectrum(view, ema);
        code = view_kernels(view, ema, err);
    }
    if (ema && !code)
        code = view_bias(view, picture, prefix, err);
    if (!code)
        code =
            view_matrices(picture, prefix, view->matrices, PLOT_MATRICES, &view->matrix_count, err);
    return code;
}

int plot_view_make(PlotPicture *picture, int layer, MegaError *err)
{
    const MegaConfig *config = mega_model_config(picture->model);
    int encoder = mega_config_has_encoder(config) ? config->encoder.layers : 0;
    int decoder = mega_config_has_decoder(config) ? config->decoder.layers : 0;
    int code = observe_check(picture->model, err), all = encoder + decoder;
    if (code)
        return code;
    picture->least = INFINITY;
    picture->views = calloc((size_t)all, sizeof *picture->views);
    picture->others = calloc(PLOT_MATRICES, sizeof *picture->others);
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
        code = view_matrices(picture, NULL, picture->others, PLOT_MATRICES, &picture->other_count,
                             err);
    if (picture->most == 0) /* all weights are 0 or not finite */
        picture->least = picture->most = 1;
    return code;
}

bool plot_view_has_averages(const PlotPicture *picture)
{
    for (int i = 0; i < picture->count; i++)
        if (picture->views[i].kernels)
            return true;
    return false;
}

void plot_view_free(PlotPicture *picture)
{
    for (int i = 0; i < picture->count; i++) {
        free(picture->views[i].kernels);
        free(picture->views[i].bias);
        free(picture->views[i].cross);
    }
    free(picture->views);
    free(picture->others);
}
