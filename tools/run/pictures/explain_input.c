/*
 * explain_input.c - explain for classifiers: draws recordings, pictures and texts with the
 * attention that each position got, gates, reach and the probabilities of the classes.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/vocab.h"
#include "src/pipeline/preprocess.h"
#include "src/pipeline/raw.h"
#include "tools/run/classes.h"
#include "tools/run/pictures/explain.h"
#include "tools/run/pictures/spectrum.h"
#include "tools/run/warnings.h"

#define MOST_BARS 10
#define FFT 512          /* samples that one spectrum is computed from */
#define DECIBELS 65.0    /* range from white to black */
#define LEAST_LOUD -30.0 /* least level that black stands for, so that silence stays white */
#define TEXT_LINES 28

typedef struct Subject {
    const MegaModel *model;
    Observer observer;
    MegaPrepared input;
    Bar bars[MOST_BARS];
    int bar_count;
    ReachRows reach;
    char title[400], subtitle[400];
    /* a recording */
    MegaAudioPreprocess audio;
    float *samples, *spectrogram; /* [FFT / 2][columns], high frequencies first; 1 is black */
    size_t columns;
    double loudest; /* level that black stands for, in dB relative to a sine of amplitude 1 */
    /* a picture */
    MegaImagePreprocess image;
    float *pixels;               /* [height][width][3] */
    int grid_width, grid_height; /* size of the picture in positions */
    /* texts */
    Tokens tokens[2];
} Subject;

/* ---- Probabilities -------------------------------------------------------------------------- */

static void rank(Subject *subject, const float *probabilities, int classes)
{
    char number[16];
    bool *taken = calloc((size_t)classes, sizeof *taken);
    for (int i = 0; taken && i < classes && i < MOST_BARS; i++) {
        int best = -1;
        for (int j = 0; j < classes; j++)
            if (!taken[j] && (best < 0 || probabilities[j] > probabilities[best]))
                best = j;
        taken[best] = true;
        Bar *bar = &subject->bars[subject->bar_count++];
        snprintf(bar->name, sizeof bar->name, "%s", class_name(subject->model, best, number));
        bar->value = 100 * (double)probabilities[best];
        bar->marked = i == 0;
    }
    free(taken);
}

static int classify(Subject *subject, MegaSession *session, const char *name, MegaError *err)
{
    int classes = mega_model_class_count(subject->model);
    float *probabilities = malloc((size_t)classes * sizeof *probabilities);
    if (!probabilities)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d classes", classes);
    subject->observer.model = subject->model;
    mega_session_set_tap(session, observe_tap, &subject->observer);
    mega_session_tap_attention(session, true);
    MegaError inner = {0};
    int code = mega_prepared_run(&subject->input, session, probabilities, &inner);
    mega_session_set_tap(session, NULL, NULL);
    if (code)
        mega_fail(err, code, "%s: %s", name, inner.text);
    else
        mega_softmax(probabilities, classes, probabilities);
    if (!code)
        code = observe_finish(&subject->observer, err);
    if (!code)
        rank(subject, probabilities, classes);
    if (!code && subject->bar_count == 0)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %d classes", classes);
    free(probabilities);
    return code;
}

/* ---- Common parts --------------------------------------------------------------------------- */

static double draw_classes(const Subject *subject, Canvas *canvas, double x, double y)
{
    canvas_text(canvas, x, y + 14, (TextStyle){.size = 14, .bold = true}, "Probabilities");
    return draw_bars(
        canvas, x, y + 26,
        &(Bars){subject->bars, subject->bar_count, 110, PAGE_SIDE_WIDTH - 175, 100, 1, " %"});
}

/* ---- Recordings ----------------------------------------------------------------------------- */

/* Computes power spectra of windows of FFT samples around `columns` places. Levels are in dB
 * relative to a sine of amplitude 1; DECIBELS below `loudest` becomes 0, and `loudest` becomes
 * 1. */
static int make_spectrogram(Subject *subject, size_t length, MegaError *err)
{
    const size_t bins = FFT / 2, columns = (size_t)PAGE_MAIN;
    float window[FFT], powers[FFT / 2], largest = 1e-12f;
    subject->spectrogram = malloc(bins * columns * sizeof *subject->spectrogram);
    subject->columns = columns;
    if (!subject->spectrogram)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a spectrogram");
    for (size_t c = 0; c < columns; c++) {
        double middle = ((double)c + 0.5) * (double)length / (double)columns;
        for (int i = 0; i < FFT; i++) {
            double at = floor(middle) + i - FFT / 2;
            double hann = 0.5 - 0.5 * cos(2 * 3.14159265358979323846 * (i + 0.5) / FFT);
            window[i] =
                at >= 0 && at < (double)length ? subject->samples[(size_t)at] * (float)hann : 0;
        }
        power_spectrum(window, FFT, powers);
        for (size_t b = 0; b < bins; b++) {
            largest = fmaxf(largest, powers[b]);
            subject->spectrogram[(bins - 1 - b) * columns + c] = powers[b];
        }
    }
    /* The window gives a sine of amplitude 1 the power (FFT / 4)^2. `loudest` is rounded to 5 dB
     * for a round scale. */
    const double full = 20 * log10(FFT / 4.0);
    subject->loudest = fmax(5 * ceil((10 * log10((double)largest) - full) / 5), LEAST_LOUD);
    for (size_t i = 0; i < bins * columns; i++) {
        double level = 10 * log10(fmax((double)subject->spectrogram[i], 1e-12)) - full;
        subject->spectrogram[i] = (float)fmax(0, 1 + (level - subject->loudest) / DECIBELS);
    }
    return 0;
}

static int prepare_recording(Subject *subject, MegaError *err)
{
    const MegaInput *view = &subject->input.views[0];
    int code = mega_audio_preprocess_read(&subject->audio, mega_model_meta(subject->model), err);
    if (code)
        return code;
    subject->samples = malloc(view->length * sizeof *subject->samples);
    if (!subject->samples)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a recording");
    for (size_t i = 0; i < view->length; i++) /* undo mega_audio_normalize */
        subject->samples[i] =
            (float)((double)view->values[i] * (subject->audio.std + 1e-5) + subject->audio.mean);
    return make_spectrogram(subject, view->length, err);
}

static void draw_wave(Canvas *canvas, const Plot *plot, const float *samples, size_t length)
{
    size_t columns = (size_t)plot->width;
    double *xs = malloc(2 * columns * sizeof *xs), *ys = malloc(2 * columns * sizeof *ys);
    for (size_t c = 0; xs && ys && c < columns; c++) {
        size_t from = c * length / columns, to = (c + 1) * length / columns;
        float least = samples[from], most = least;
        for (size_t i = from; i < to || i == from; i++) {
            least = fminf(least, samples[i]);
            most = fmaxf(most, samples[i]);
        }
        xs[2 * c] = xs[2 * c + 1] = plot->x + (double)c + 0.5;
        ys[2 * c] = plot_y(plot, (double)least);
        ys[2 * c + 1] = plot_y(plot, (double)most);
    }
    if (xs && ys)
        canvas_path(canvas, xs, ys, 2 * columns, (LineStyle){.colour = COLOUR_BLUE});
    else
        canvas_no_memory(canvas);
    free(xs);
    free(ys);
}

/* Draws the colour key of the spectrogram, which ends at x. */
static void draw_loudness(const Subject *subject, Canvas *canvas, double x, double y)
{
    char low[32], high[64];
    snprintf(low, sizeof low, "%.0f", subject->loudest - DECIBELS);
    snprintf(high, sizeof high, "%.0f dB of a full-scale sine", subject->loudest);
    TextStyle style = {.size = 11};
    x -= canvas_text_width(canvas, style, low) + canvas_text_width(canvas, style, high) + 102;
    chart_key(canvas, x, y, 90, MAP_GREY, low, high);
}

static double draw_recording(Canvas *canvas, const void *context)
{
    const Subject *subject = context;
    const MegaEmbedConfig *embed = &mega_model_config(subject->model)->embed;
    size_t length = subject->input.views[0].length;
    double rate = subject->audio.sample_rate, seconds = (double)length / rate, loudest = 0.1;
    double end = subject->input.end - subject->input.start;
    for (size_t i = 0; i < length; i++)
        loudest = fmax(loudest, fabs((double)subject->samples[i]));
    Plot wave = {canvas,
                 PAGE_LEFT,
                 CHART_TOP + 12,
                 PAGE_MAIN,
                 90,
                 {0, seconds, AXIS_PLAIN},
                 {-1.1 * loudest, 1.1 * loudest, AXIS_PLAIN}};
    Plot spectrum = {
        canvas, PAGE_LEFT, wave.y + 98, PAGE_MAIN, 150, wave.across, {0, rate / 2000, AXIS_PLAIN}};
    chart_title(canvas, PAGE_WIDTH, subject->title, subject->subtitle);
    plot_ground(&wave);
    draw_wave(canvas, &wave, subject->samples, length);
    plot_up(&wave);
    canvas_heat(canvas, plot_box(&spectrum), subject->spectrogram, FFT / 2, subject->columns,
                MAP_GREY);
    canvas_frame(canvas, spectrum.x, spectrum.y, spectrum.width, spectrum.height, COLOUR_LIGHT);
    plot_up(&spectrum);
    plot_across(&spectrum, "seconds");
    draw_loudness(subject, canvas, spectrum.x + spectrum.width, spectrum.y + spectrum.height + 22);
    TextStyle turned = {.size = 11.5, .align = 0.5, .angle = -90};
    canvas_text(canvas, PAGE_LEFT - 50, spectrum.y + spectrum.height / 2, turned, "kHz");
    canvas_text(canvas, PAGE_LEFT - 50, wave.y + wave.height / 2, turned, "samples");
    if (end < seconds - 0.001) { /* the rest is padding up to the model's length */
        plot_mark(&wave, end);
        plot_mark(&spectrum, end);
        bool room = end < 0.8 * seconds; /* there is room for the text to the right of the mark */
        canvas_text(canvas, plot_x(&wave, end) + (room ? -4 : 4), wave.y - 4,
                    (TextStyle){.size = 11, .align = room ? 0 : 1, .colour = COLOUR_GREY},
                    "end; the rest is padding");
    }
    draw_classes(subject, canvas, PAGE_SIDE, CHART_TOP + 8);

    /* the frame of position t has the samples from t * hop on in its middle */
    double hop = embed->kind == MEGA_EMBED_FRAMES ? embed->frame_hop : 1;
    double covered = hop * (double)subject->observer.inputs[0].length / rate;
    double y = spectrum.y + spectrum.height + 52;
    draw_side(canvas, y, &subject->reach, 1000 * hop / rate, "milliseconds back and ahead");
    return draw_layers(canvas, subject->model, &subject->observer.inputs[0], PAGE_LEFT, y,
                       plot_x(&wave, covered) - PAGE_LEFT) +
           40;
}

/* ---- Pictures ------------------------------------------------------------------------------- */

static int prepare_picture(Subject *subject, MegaError *err)
{
    const MegaEmbedConfig *embed = &mega_model_config(subject->model)->embed;
    const MegaInput *view = &subject->input.views[0];
    MegaImagePreprocess *image = &subject->image;
    int code = mega_image_preprocess_read(image, mega_model_meta(subject->model), err);
    if (code)
        return code;
    size_t count = (size_t)image->width * (size_t)image->height;
    int patch = embed->kind == MEGA_EMBED_PATCHES ? embed->patch : 1;
    subject->grid_width = image->width / patch;
    subject->grid_height = image->height / patch;
    subject->pixels = malloc(3 * count * sizeof *subject->pixels);
    if (!subject->pixels)
        return mega_fail(err, MEGA_ERR_MEMORY, "no memory for a picture");
    for (size_t i = 0; i < count; i++)
        for (int c = 0; c < 3; c++) { /* undo mega_image_normalize */
            int channel = image->channels == 3 ? c : 0;
            subject->pixels[3 * i + (size_t)c] =
                view->values[(size_t)channel * count + i] * image->std[channel] +
                image->mean[channel];
        }
    if ((size_t)subject->grid_width * (size_t)subject->grid_height !=
        subject->observer.inputs[0].length)
        return mega_fail(err, MEGA_ERR_MODEL,
                         "the model's description of its images does not fit its positions");
    return 0;
}

/* Draws the picture in light grey under the colours of values [grid], or the picture itself if
 * values is NULL. */
static void draw_map(const Subject *subject, Canvas *canvas, double x, double y, double size,
                     const float *values, Scale scale, ColourMap map)
{
    size_t width = (size_t)subject->image.width, height = (size_t)subject->image.height;
    size_t cell_width = width / (size_t)subject->grid_width;
    size_t cell_height = height / (size_t)subject->grid_height;
    float *mixed = malloc(3 * width * height * sizeof *mixed);
    if (!mixed) {
        canvas_no_memory(canvas);
        return;
    }
    for (size_t i = 0; i < width * height; i++) {
        const float *pixel = subject->pixels + 3 * i;
        size_t cell =
            i / width / cell_height * (size_t)subject->grid_width + i % width / cell_width;
        if (!values) {
            memcpy(mixed + 3 * i, pixel, 3 * sizeof *mixed);
            continue;
        }
        double grey = 0.3 * (double)pixel[0] + 0.59 * (double)pixel[1] + 0.11 * (double)pixel[2];
        /* lighten it, so that dark places are not mistaken for attention */
        grey = 0.4 + 0.6 * grey;
        Colour colour =
            map_colour(map, ((double)values[cell] - scale.low) / (scale.high - scale.low));
        double share = 0.62;
        mixed[3 * i] = (float)(share * colour.red + (1 - share) * grey);
        mixed[3 * i + 1] = (float)(share * colour.green + (1 - share) * grey);
        mixed[3 * i + 2] = (float)(share * colour.blue + (1 - share) * grey);
    }
    double tall = size * (double)height / (double)width;
    canvas_image(canvas, (Box){x, y, size, tall}, mixed, height, width);
    canvas_frame(canvas, x, y, size, tall, COLOUR_LIGHT);
    free(mixed);
}

/* One map per layer, after the picture itself. */
typedef struct Maps {
    const char *title, *text, *unit;
    const float *values; /* [count][positions] */
    int count, heads;    /* heads of a layer; 1: a map is a layer's */
    Scale scale;
    ColourMap map;
    bool with_picture;
} Maps;

#define GAP 24.0
#define MOST_PER_ROW 7
#define LARGEST_MAP 300.0

/* Returns the width of a map, so that `columns` of them fill the page, up to LARGEST_MAP. */
static double cell_size(const Subject *subject, int columns)
{
    const double room = PAGE_WIDTH - 2 * CHART_MARGIN;
    const double shape = (double)subject->image.height / subject->image.width;
    return fmin((room - GAP * (columns - 1)) / columns, LARGEST_MAP / fmax(shape, 1));
}

/* Draws all maps with their heading, `per_row` in a row. Returns the y below. */
static double draw_maps(const Subject *subject, Canvas *canvas, double left, double y, double size,
                        int per_row, const Maps *maps)
{
    const double tall = size * subject->image.height / subject->image.width;
    const int pictures = maps->with_picture, cells = maps->count + pictures;
    const size_t length = subject->observer.inputs[0].length;
    draw_heading(canvas, left, y + 14, maps->title, maps->text);
    draw_scale(canvas, left + per_row * (size + GAP) - GAP, y + 4, true, maps->scale, maps->map,
               maps->unit);
    y += 26;
    for (int i = 0; i < cells; i++) {
        const double x = left + (size + GAP) * (i % per_row);
        const double top = y + (tall + 28) * (i / per_row);
        const int layer = i - pictures; /* -1 for the picture itself */
        char name[32];
        name_strip(layer, maps->heads, name);
        if (layer < 0)
            canvas_text(canvas, x, top + 12, (TextStyle){.size = 12}, "the picture");
        else
            canvas_text(canvas, x, top + 12, (TextStyle){.size = 12}, "%s", name);
        draw_map(subject, canvas, x, top + 18, size,
                 layer < 0 ? NULL : maps->values + (size_t)layer * length, maps->scale, maps->map);
    }
    return y + (tall + 28) * ((cells + per_row - 1) / per_row);
}

/* Draws attention and gates one below the other or, if there are few layers, side by side. */
static double draw_both_maps(const Subject *subject, Canvas *canvas, double y, Maps attention,
                             Maps gate)
{
    const int layers = attention.count, beside = layers <= 2 && gate.values ? 2 * layers + 1 : 0;
    if (beside) {
        const double size = cell_size(subject, beside);
        const double right = CHART_MARGIN + (size + GAP) * (layers + 1);
        gate.with_picture = false;
        /* leave room for the scale, which is in the same line */
        gate.text = layers > 1 ? "mean over channels" : "";
        draw_maps(subject, canvas, CHART_MARGIN, y, size, layers + 1, &attention);
        return draw_maps(subject, canvas, right, y, size, layers, &gate);
    }
    const int rows = layers / MOST_PER_ROW + 1, per_row = layers / rows + 1;
    const double size = cell_size(subject, per_row);
    y = draw_maps(subject, canvas, CHART_MARGIN, y, size, per_row, &attention) + 16;
    if (!gate.values)
        return y;
    return draw_maps(subject, canvas, CHART_MARGIN, y, size, per_row, &gate);
}

static double draw_picture(Canvas *canvas, const void *context)
{
    const Subject *subject = context;
    const Observed *observed = &subject->observer.inputs[0];
    const int layers = observed->strips / observed->heads;
    const size_t length = observed->length;
    const Scale combined = scale_of(observed->combined, observed->length, false);
    const Maps attention = {
        .title = "Attention",
        .text = received(subject->model, observed->length),
        .unit = mean_unit(observed),
        .values = observed->attention,
        .count = observed->strips,
        .heads = observed->heads,
        .scale = scale_of(observed->attention, (size_t)observed->strips * length, false),
        .map = MAP_HEAT,
        .with_picture = true};
    const Maps gate = {.title = "Update gate",
                       .text = "mean over channels: how much is made new",
                       .unit = "",
                       .values = observed->gate,
                       .count = layers,
                       .heads = 1,
                       .scale = observed->gate
                                    ? scale_of(observed->gate, (size_t)layers * length, true)
                                    : (Scale){0, 1},
                       .map = MAP_BLUE,
                       .with_picture = true};
    const double size = 270, top = CHART_TOP + 8, second = CHART_MARGIN + size + GAP;
    const double tall = size * subject->image.height / subject->image.width;
    const TextStyle bold = {.size = 14, .bold = true};
    char unit[48];
    chart_title(canvas, PAGE_WIDTH, subject->title, subject->subtitle);
    canvas_text(canvas, CHART_MARGIN, top + 14, bold, "What the model sees");
    draw_map(subject, canvas, CHART_MARGIN, top + 24, size, NULL, combined, MAP_HEAT);
    canvas_text(canvas, second, top + 14, bold, "Attention, all layers");
    draw_map(subject, canvas, second, top + 24, size, observed->combined, combined, MAP_HEAT);
    draw_scale(canvas, second, top + 32 + tall, false, combined, MAP_HEAT, " x the mean");
    double bars = draw_classes(subject, canvas, 660, top);
    snprintf(unit, sizeof unit, "%s back and ahead, row by row",
             observe_unit(subject->model, false));
    draw_side(canvas, top, &subject->reach, 1, unit);
    double y = fmax(fmax(top + tall + 66, bars + 26),
                    top + 24 + STRIP_PITCH * subject->reach.layers + REACH_FOOT + 20);
    return draw_both_maps(subject, canvas, y, attention, gate) + 24;
}

/* ---- Texts ---------------------------------------------------------------------------------- */

static double draw_texts(Canvas *canvas, const void *context)
{
    const Subject *subject = context;
    const char *unit = observe_unit(subject->model, false);
    int count = subject->input.count;
    double y = CHART_TOP + 8, side = y;
    char reach[64], heading[64];
    chart_title(canvas, PAGE_WIDTH, subject->title, subject->subtitle);
    snprintf(reach, sizeof reach, "%s back and ahead", unit);
    for (int n = 0; n < count; n++) {
        const Observed *observed = &subject->observer.inputs[n];
        Scale scale = scale_of(observed->combined, observed->length, false);
        snprintf(heading, sizeof heading, count > 1 ? "Text %d" : "Text", n + 1);
        draw_heading(canvas, PAGE_LEFT, y + 14, heading, "shaded by attention, all layers");
        draw_scale(canvas, PAGE_LEFT + PAGE_MAIN, y + 4, true, scale, MAP_HEAT, " x the mean");
        if (n == 0)
            side = draw_classes(subject, canvas, PAGE_SIDE, y) + 12;
        size_t drawn = 0;
        y = draw_tokens(canvas, (Box){PAGE_LEFT, y + 26, PAGE_MAIN, TEXT_LINES * TOKEN_PITCH},
                        &subject->tokens[n], &(Shading){observed->combined, scale, MAP_HEAT},
                        &drawn);
        draw_rest(canvas, PAGE_LEFT, y, &subject->tokens[n], drawn);
        y += drawn < subject->tokens[n].count ? 36 : 14;
        if (n == 0)
            side = draw_side(canvas, fmax(y, side), &subject->reach, 1, reach);
        y = draw_layers(canvas, subject->model, observed, PAGE_LEFT, y, PAGE_MAIN);
        draw_positions(canvas, y - 2, observed->length, unit);
        y += 56;
    }
    return fmax(y, side + 24);
}

/* ---- The whole picture ---------------------------------------------------------------------- */

/* Returns how titles and messages call an input: a path as it was given. */
static const char *name_of(const MegaRaw *input)
{
    return input->kind == MEGA_RAW_PATH ? input->data : mega_raw_name(input);
}

static int read_input(Subject *subject, const ExplainOptions *options, const MegaRaw *inputs,
                      int count, MegaError *err)
{
    MegaInputReader *reader = NULL;
    MegaPipelineOptions input = options->input;
    input.warn = report_warning;
    int code = mega_input_reader_new(&reader, subject->model, &input, err);
    if (!code)
        code = mega_input_reader_begin(reader, inputs, count, err);
    if (!code) {
        int more = mega_input_reader_next(reader, &subject->input, err);
        code = more < 0 ? more : 0;
        if (more == 0)
            code = mega_fail(err, MEGA_ERR_INPUT, "%s holds nothing", name_of(&inputs[0]));
    }
    if (!code && subject->input.is_cut)
        report_cut(name_of(&inputs[0]), subject->input.end, mega_input_reader_length(reader),
                   mega_input_reader_clip(reader), "'mega-run classify' with --window");
    mega_input_reader_free(reader);
    return code;
}

static void describe(Subject *subject, const MegaRaw *inputs, int count)
{
    char name[256];
    const Bar *best = &subject->bars[0];
    size_t length = subject->observer.inputs[0].length;
    const char *unit = observe_unit(subject->model, false);
    int used = snprintf(subject->title, sizeof subject->title, "%s%s%s: %s, %.1f %%",
                        base_name(name_of(&inputs[0])), count > 1 ? " and " : "",
                        count > 1 ? base_name(name_of(&inputs[1])) : "", best->name, best->value);
    (void)used; /* a name that is too long is cut */
    used = snprintf(subject->subtitle, sizeof subject->subtitle, "%s \xc2\xb7 ",
                    observe_model_name(subject->model, name));
    char *rest = subject->subtitle + used;
    size_t room =
        used < (int)sizeof subject->subtitle ? sizeof subject->subtitle - (size_t)used : 0;
    if (room == 0)
        return;
    if (subject->samples)
        snprintf(rest, room, "%.2f s of sound, %zu %s", subject->input.end - subject->input.start,
                 length, unit);
    else if (subject->pixels && subject->grid_width < subject->image.width)
        snprintf(rest, room, "%d x %d pixels, %d x %d %s", subject->image.width,
                 subject->image.height, subject->grid_width, subject->grid_height, unit);
    else if (subject->pixels)
        snprintf(rest, room, "%d x %d pixels", subject->image.width, subject->image.height);
    else if (subject->input.count > 1)
        snprintf(rest, room, "%zu and %zu %s", length, subject->observer.inputs[1].length, unit);
    else
        snprintf(rest, room, "%zu %s", length, unit);
}

static void free_subject(Subject *subject)
{
    observer_free(&subject->observer);
    mega_prepared_free(&subject->input);
    free(subject->samples);
    free(subject->spectrogram);
    free(subject->pixels);
    tokens_free(&subject->tokens[0]);
    tokens_free(&subject->tokens[1]);
}

int explain_classifier(const ExplainOptions *options, const MegaModel *model, MegaSession *session,
                       const MegaRaw *inputs, int count, MegaError *err)
{
    Subject subject = {.model = model};
    const MegaStackConfig *stack = &mega_model_config(model)->encoder;
    bool sound = mega_meta_find(mega_model_meta(model), "audio.sample_rate");
    CanvasDraw draw = draw_texts;
    size_t longest = 0;
    int code = read_input(&subject, options, inputs, count, err);
    if (!code)
        code = classify(&subject, session, name_of(&inputs[0]), err);
    for (int n = 0; n < subject.input.count && !code; n++) {
        const MegaInput *view = &subject.input.views[n];
        size_t length = subject.observer.inputs[n].length;
        longest = length > longest ? length : longest;
        if (view->kind == MEGA_INPUT_TOKENS) {
            MegaInput text = without_padding(view, mega_model_config(model)->embed.pad);
            code = tokens_of(&subject.tokens[n], model, MEGA_VOCAB_KEY, text.tokens, text.length,
                             options->input.ids, err);
        } else {
            code = sound ? prepare_recording(&subject, err) : prepare_picture(&subject, err);
        }
    }
    if (!code)
        code = reach_of(stack, &model->encoder, longest, &subject.reach, err);
    if (!code) {
        if (subject.samples)
            draw = draw_recording;
        else if (subject.pixels)
            draw = draw_picture;
        describe(&subject, inputs, count);
        code = canvas_write(options->output, subject.title, PAGE_WIDTH, draw, &subject, err);
    }
    free_subject(&subject);
    return code;
}
