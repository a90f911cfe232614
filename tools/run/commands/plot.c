/*
 * plot.c - mega-run plot: draws what a model learned, layer by layer.
 *
 * There is one row per layer: the EMA kernels, their median, the half-lives of their states, the
 * attention's bias and the weight matrices. plot_view.c computes all numbers before anything is
 * drawn.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "tools/run/command_line.h"
#include "tools/run/find_model.h"
#include "tools/run/options.h"
#include "tools/run/pictures/plot_view.h"

static const char help[] =
    "Usage: mega-run plot MODEL -o FILE.svg|FILE.png\n"
    "\n"
    "Draws what a model learned. For each layer: the EMA kernels of all channels and how far they\n"
    "look, the half-lives of the EMA's states, the attention's bias by distance, and the size of\n"
    "the weights. For a Transformer only the weights are drawn.\n"
    "\n"
    "  -m, --model FILE     the model, also without the option\n"
    "  -o, --output FILE    the picture; its suffix says which kind\n"
    "      --json           print what was drawn as a JSON object\n"
    "      --layer N        only layer N of each stack, counted from 0\n"
    "  -h, --help           show this help\n"
    "\n"
    "Exit status: 0 drawn, 1 the model cannot be used or the picture not written, 2 wrong usage.\n";

/* ---- Drawing -------------------------------------------------------------------------------- */

#define WIDTH 1640.0
#define HEADS 136.0 /* y at which the columns' titles end */
#define TALL 124.0  /* height of a layer's panels */
#define PITCH 186.0 /* distance from one layer to the next */
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

/* The picture of layers without a moving average has one column only. */
#define NARROW 800.0
static const Column only_weights = {150, 420, "Weights",
                                    "bar: RMS, dot: largest, number: near zero"};

static const Column *weights_column(const PlotPicture *picture)
{
    return plot_view_has_averages(picture) ? &columns[WEIGHTS] : &only_weights;
}

static void draw_heads(Canvas *canvas, const PlotPicture *picture)
{
    const Column *weights = weights_column(picture);
    if (weights == &only_weights) {
        canvas_text(canvas, weights->x - 100, HEADS - 24, (TextStyle){.size = 14.5, .bold = true},
                    "%s", weights->title);
        canvas_text(canvas, weights->x - 100, HEADS - 7,
                    (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s", weights->text);
        return;
    }
    for (int i = 0; i < COLUMN_COUNT; i++) {
        double x = columns[i].x - (i == WEIGHTS ? 62 : 0);
        canvas_text(canvas, x, HEADS - 24, (TextStyle){.size = 14.5, .bold = true}, "%s",
                    columns[i].title);
        canvas_text(canvas, x, HEADS - 7, (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s",
                    columns[i].text);
    }
}

/* Marks the distance at which the EMA is truncated, or a chunk ends. */
static void draw_marks(const Plot *plot, const PlotView *view, int mark)
{
    if (mark <= 0)
        return;
    plot_mark(plot, -mark);
    if (view->stack->bidirectional)
        plot_mark(plot, mark);
}

static void draw_kernels(Canvas *canvas, const PlotView *view, double y, const char *unit)
{
    const Column *column = &columns[KERNELS];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 1, AXIS_PLAIN}};
    canvas_heat(canvas, plot_box(&plot), view->kernels, (size_t)view->stack->width, PLOT_COLUMNS,
                MAP_BLUE);
    canvas_frame(canvas, plot.x, plot.y, plot.width, plot.height, COLOUR_LIGHT);
    draw_marks(&plot, view, mega_gated(view->stack)->truncation);
    canvas_text(canvas, plot.x - 8, y + TALL / 2,
                (TextStyle){.size = 11, .align = 0.5, .angle = -90, .colour = COLOUR_GREY},
                "%d channels", view->stack->width);
    plot_across(&plot, unit);
}

static void draw_middle(Canvas *canvas, const PlotView *view, double y, const char *unit)
{
    const Column *column = &columns[MIDDLE];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 1.02, AXIS_PLAIN}};
    double xs[PLOT_COLUMNS];
    for (int c = 0; c < PLOT_COLUMNS; c++)
        xs[c] = axis_value(&view->distance, (c + 0.5) / PLOT_COLUMNS);
    plot_ground(&plot);
    plot_band(&plot, xs, view->low, view->high, PLOT_COLUMNS, COLOUR_BLUE);
    plot_line(&plot, xs, view->middle, PLOT_COLUMNS,
              (LineStyle){.colour = COLOUR_BLUE, .width = 2});
    draw_marks(&plot, view, mega_gated(view->stack)->truncation);
    plot_up(&plot);
    plot_across(&plot, unit);
}

static void draw_spectrum(Canvas *canvas, const PlotView *view, double y, const char *unit)
{
    const Column *column = &columns[SPECTRUM];
    double most = 0, xs[2 * PLOT_BINS], ys[2 * PLOT_BINS];
    for (int bin = 0; bin < PLOT_BINS; bin++)
        most = fmax(most, 100 * fmax(view->spectrum[0][bin], view->spectrum[1][bin]));
    Plot plot = {canvas, column->x, y, column->width, TALL, view->half_life,
                 {0, most > 0 ? 1.1 * most : 1, AXIS_PLAIN}};
    plot_ground(&plot);
    for (int bin = 0; bin < PLOT_BINS; bin++) {
        double left = plot_x(&plot, axis_value(&plot.across, (double)bin / PLOT_BINS));
        double top = plot_y(&plot, 100 * view->spectrum[0][bin]);
        canvas_fill(canvas, left, top, plot.width / PLOT_BINS - 0.8, y + TALL - top,
                    map_colour(MAP_BLUE, 0.5));
        for (int side = 0; side < 2; side++) {
            xs[2 * bin + side] = axis_value(&plot.across, (double)(bin + side) / PLOT_BINS);
            ys[2 * bin + side] = 100 * view->spectrum[1][bin];
        }
    }
    if (view->stack->bidirectional)
        plot_line(&plot, xs, ys, 2 * PLOT_BINS, (LineStyle){.colour = COLOUR_ORANGE, .width = 1.8});
    for (int ahead = 0; ahead < (view->stack->bidirectional ? 2 : 1); ahead++)
        canvas_text(canvas, plot.x + plot.width - 7, y + 16 + 15 * ahead,
                    (TextStyle){.size = 11, .align = 1, .bold = true,
                                .colour = ahead ? COLOUR_ORANGE : COLOUR_BLUE},
                    ahead ? "looking ahead" : "looking back");
    plot_up(&plot);
    plot_across(&plot, unit);
}

/* Draws a bias table as a line, for the distances within the axis. */
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

static void draw_bias(Canvas *canvas, const PlotView *view, double y, const char *unit)
{
    const Column *column = &columns[BIAS];
    Plot plot = {canvas, column->x, y, column->width, TALL, view->distance, {0, 0, AXIS_PLAIN}};
    if (view->cross) /* a target position may attend to any source position */
        plot.across.high = -plot.across.low;
    widen(&plot.up, &plot.across, view->bias, view->positions);
    if (view->cross)
        widen(&plot.up, &plot.across, view->cross, view->cross_positions);
    double margin = fmax(0.08 * (plot.up.high - plot.up.low), 1e-6);
    plot.up.low -= margin;
    plot.up.high += (view->cross ? 3 : 1) * margin; /* leave room for the labels of the lines */
    plot_ground(&plot);
    canvas_line(canvas, plot.x, plot_y(&plot, 0), plot.x + plot.width, plot_y(&plot, 0),
                (LineStyle){.colour = {0.6, 0.6, 0.6}});
    if (view->cross)
        draw_table(&plot, view->cross, view->cross_positions,
                   (LineStyle){.colour = COLOUR_ORANGE, .width = 1.5});
    Plot own = plot;
    if (!view->stack->bidirectional)
        own.across.high = 0; /* this stack never looks ahead */
    own.width = plot_x(&plot, own.across.high) - plot.x;
    draw_table(&own, view->bias, view->positions, (LineStyle){.colour = COLOUR_BLUE, .width = 1.8});
    draw_marks(&plot, view, mega_gated(view->stack)->chunk);
    for (int cross = 0; view->cross && cross < 2; cross++)
        canvas_text(canvas, plot.x + 7 + 46 * cross, y + 14,
                    (TextStyle){.size = 11, .bold = true,
                                .colour = cross ? COLOUR_ORANGE : COLOUR_BLUE},
                    cross ? "to the source" : "itself");
    plot_up(&plot);
    plot_across(&plot, unit);
}

static double matrix_place(const PlotPicture *picture, double value)
{
    double low = log10(picture->least / 3), high = log10(picture->most * 1.2);
    double place = value > 0 ? (log10(value) - low) / (high - low) : 0;
    return place < 0 ? 0 : place < 1 ? place : 1;
}

static void draw_matrices(Canvas *canvas, const PlotPicture *picture, const PlotMatrix *matrices,
                          int count, double x, double width, double y)
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

/* Draws the axis below bars and dots, with ticks at powers of ten. */
static void draw_matrix_axis(Canvas *canvas, const PlotPicture *picture, double x, double width,
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

static void draw_view(Canvas *canvas, const PlotPicture *picture, const PlotView *view, double y,
                      bool last)
{
    const char *unit = observe_unit(picture->model, view->decoder);
    const Column *weights = weights_column(picture);
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
    if (view->kernels)
        canvas_text(canvas, columns[0].x + 130, y + 14,
                    (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s", reach);
    y += 22;
    if (view->kernels) {
        draw_kernels(canvas, view, y, last ? distance : NULL);
        draw_middle(canvas, view, y, last ? distance : NULL);
        draw_spectrum(canvas, view, y, last ? half_life : NULL);
        draw_bias(canvas, view, y, last ? distance : NULL);
    }
    double tall = MATRIX_TALL * view->matrix_count;
    draw_matrices(canvas, picture, view->matrices, view->matrix_count, weights->x, weights->width,
                  y + (tall < TALL ? (TALL - tall) / 2 : 0));
    if (last)
        draw_matrix_axis(canvas, picture, weights->x, weights->width,
                         y + (tall < TALL ? TALL : tall));
}

/* Explains the names of the matrices that are drawn, and the marks. Returns the y below the
 * text. */
static double draw_explanation(Canvas *canvas, const PlotPicture *picture, double x, double y)
{
    static const struct {
        const char *name, *shown, *text;
    } meanings[] = {
        {"q", "q, k", "from the layer's input: queries and keys of all heads"},
        {"v", "v", "from the layer's input: the values that attention mixes"},
        {"mx", "mx", "from the averaged input (EMA): update gate u, reset gate r, what queries and "
                     "keys are made of, candidate"},
        {"u", "u, z, r_hx", "from the averaged input (EMA): update gate, what queries and keys are "
                            "made of, reset gate and candidate"},
        {"h", "h", "from what attention gave, reset by r, to the candidate"},
        {"out", "out", "from what the heads gave to what is added"},
        {"fc1", "fc1, fc2", "into the feed-forward block, and out of it"},
        {"cross h", "cross q, k, v, h", "attention to the source: gates and queries, keys, values, "
                                        "result"},
        {"cross out", "cross", "the same of attention to the source"},
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
        dashed |= picture->views[view].kernels &&
                  (mega_gated(picture->views[view].stack)->truncation > 0 ||
                   mega_gated(picture->views[view].stack)->chunk > 0);
    if (!dashed)
        return y + 2 * pitch;
    canvas_line(canvas, x + 20, y + 2 * pitch + 5, x + 20, y + 3 * pitch + 3,
                (LineStyle){.colour = COLOUR_GREY, .width = 1.2, .dashed = true});
    canvas_text(canvas, text, y + 3 * pitch, grey,
                "of a kernel: where the EMA is cut off; of a bias: the size of a chunk");
    return y + 3 * pitch;
}

/* Describes the layers below the title. */
static void describe(const PlotPicture *picture, char *text, size_t size)
{
    const MegaConfig *config = mega_model_config(picture->model);
    const bool encoder = mega_config_has_encoder(config);
    const MegaStackConfig *stack = encoder ? &config->encoder : &config->decoder;
    const MegaStack *layers = encoder ? &picture->model->encoder : &picture->model->decoder;
    const MegaLayerView view = mega_layer_view(layers, 0);
    char note[128] = "";
    if (picture->left_out)
        snprintf(note, sizeof note, " \xc2\xb7 %d more layers are not shown, see --layer",
                 picture->left_out);
    int length = snprintf(text, size, "%d layers of width %d",
                          config->encoder.layers + config->decoder.layers, stack->width);
    if (!view.ema) {
        snprintf(text + length, size - (size_t)length, " \xc2\xb7 %d heads%s", view.heads, note);
        return;
    }
    bool chunks = mega_gated(stack)->chunk > 0, truncated = mega_gated(stack)->truncation > 0;
    snprintf(text + length, size - (size_t)length, " \xc2\xb7 %s attention%s%s%s%s%s",
             mega_attention_name(mega_gated(stack)->attention),
             truncated || chunks ? " \xc2\xb7 dashed: " : "",
             truncated ? "where the EMA is cut off" : "", truncated && chunks ? ", " : "",
             chunks ? "the size of a chunk (bias)" : "", note);
}

static double draw_picture(Canvas *canvas, const void *context)
{
    const PlotPicture *picture = context;
    const bool averages = plot_view_has_averages(picture);
    char subtitle[320];
    describe(picture, subtitle, sizeof subtitle);
    chart_title(canvas, averages ? WIDTH : NARROW, picture->title, subtitle);
    if (averages)
        chart_key(canvas, columns[KERNELS].x + 108, HEADS - 34, 64, MAP_BLUE, "0",
                  "channel's largest");
    draw_heads(canvas, picture);
    double y = HEADS + 8;
    for (int i = 0; i < picture->count; i++) {
        bool last = i + 1 == picture->count ||
                    picture->views[i + 1].decoder != picture->views[i].decoder;
        draw_view(canvas, picture, &picture->views[i], y, last);
        y += PITCH + (last ? 16 : 0);
    }
    double end = draw_explanation(canvas, picture, columns[averages ? SPECTRUM : 0].x, y);
    if (!averages)
        y = end + 14;
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
    PlotPicture picture = {0};
    char title[400], name[256], *path = NULL;
    int code = named_model(&path, given, &err);
    if (!code)
        code = mega_model_open(&model, path, &err);
    if (!code) {
        picture.model = model;
        snprintf(title, sizeof title, "%s: what it learned", observe_model_name(model, name));
        picture.title = title;
        code = plot_view_make(&picture, layer, &err);
    }
    if (!code)
        code = canvas_write(output, title, plot_view_has_averages(&picture) ? WIDTH : NARROW,
                            draw_picture, &picture, &err);
    plot_view_free(&picture);
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
        return usage_error("plot", "unexpected argument '%s': one model, one picture",
                           argv[inputs]);
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
