/*
 * explain_text.c - explain for models that make text: what a translation was aligned with, and how
 * surprising a text is to a language model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "codec.h"
#include "explain.h"
#include "scoring.h"

/* ---- Translators ---------------------------------------------------------------------------- */

#define MOST_CELLS 72 /* symbols of a side that are drawn */

typedef struct Alignment {
    const MegaModel *model;
    Tokens source, target;
    const MegaHypothesis *hypothesis;
    Observer observer;
    ReachRows reach;
    char title[1100], subtitle[400];
    double cell;                 /* edge of the matrix's cells */
    double left, width;          /* of the matrix, of the picture */
    size_t columns, rows;        /* that are drawn */
} Alignment;

/* The widest of the first `count` texts. */
static double widest(Canvas *canvas, const Tokens *tokens, size_t count, TextStyle style)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, canvas_text_width(canvas, style, tokens->texts[i]));
    return most;
}

/* Returns the scale of its colours. */
static Scale draw_matrix(const Alignment *a, Canvas *canvas, double y)
{
    size_t length = a->source.count;
    float *cells = malloc(a->rows * a->columns * sizeof *cells);
    if (!cells) {
        canvas_no_memory(canvas);
        return (Scale){0, 1};
    }
    for (size_t i = 0; i < a->rows; i++)
        for (size_t j = 0; j < a->columns; j++)
            cells[i * a->columns + j] = a->hypothesis->attention[i * length + j];
    Scale scale = scale_of(cells, a->rows * a->columns, false);
    for (size_t i = 0; i < a->rows * a->columns; i++)
        cells[i] = (float)((double)cells[i] / scale.high);
    double width = a->cell * (double)a->columns, height = a->cell * (double)a->rows;
    canvas_heat(canvas, a->left, y, width, height, cells, a->rows, a->columns, MAP_HEAT);
    LineStyle grid = {.colour = {0.93, 0.92, 0.9}};
    for (size_t i = 1; i < a->rows; i++)
        canvas_line(canvas, a->left, y + a->cell * (double)i, a->left + width,
                    y + a->cell * (double)i, grid);
    for (size_t j = 1; j < a->columns; j++)
        canvas_line(canvas, a->left + a->cell * (double)j, y, a->left + a->cell * (double)j,
                    y + height, grid);
    canvas_frame(canvas, a->left, y, width, height, COLOUR_LIGHT);
    free(cells);
    return scale;
}

/* Target symbols to the left of their rows, bars of their probabilities to the right. */
static void draw_target(const Alignment *a, Canvas *canvas, double y, double bars)
{
    TextStyle label = {.size = 13, .align = 1, .room = a->left - 60};
    for (size_t i = 0; i < a->rows; i++) {
        double middle = y + a->cell * ((double)i + 0.5);
        double probability = exp((double)a->hypothesis->scores[i]);
        canvas_text(canvas, a->left - 8, middle + 4.5, label, "%s", a->target.texts[i]);
        canvas_fill(canvas, bars, middle - a->cell * 0.3, fmax(120 * probability, 1),
                    a->cell * 0.6, map_colour(MAP_BLUE, 0.6));
        canvas_text(canvas, bars + 120 * probability + 6, middle + 4,
                    (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%.0f %%",
                    100 * probability);
    }
}

/* The encoder's attention below the matrix's columns, with reach and gates. */
static double draw_encoder(const Alignment *a, Canvas *canvas, double y, double side)
{
    const Observed *observed = &a->observer.inputs[0];
    int layers = a->reach.layers;
    size_t columns = a->columns, cells = (size_t)layers * columns;
    float *rows = malloc(2 * cells * sizeof *rows);
    if (!rows) {
        canvas_no_memory(canvas);
        return y;
    }
    for (int i = 0; i < layers; i++) {
        size_t from = (size_t)i * observed->length, to = (size_t)i * columns;
        memcpy(rows + to, observed->attention + from, columns * sizeof *rows);
        memcpy(rows + cells + to, observed->gate + from, columns * sizeof *rows);
    }
    Scale attention = scale_of(rows, cells, false), gate = scale_of(rows + cells, cells, true);
    double width = a->cell * (double)columns, left = a->left;
    draw_heading(canvas, left, y + 14, "Attention in the encoder", "");
    draw_scale(canvas, left, y + 24, false, attention, MAP_HEAT, " x the layer's mean");
    draw_strips(canvas, left, y + 42, width, rows, layers, columns, observed->combined, attention,
                MAP_HEAT);
    draw_heading(canvas, side, y + 14, "Reach of the EMA", "");
    draw_reach(canvas, side, y + 42, 305, &a->reach, 1, "symbols back and ahead");
    y += 42 + STRIP_PITCH * (layers + 1) + 14;
    draw_heading(canvas, left, y + 14, "Update gate", "");
    draw_scale(canvas, left, y + 24, false, gate, MAP_BLUE, "");
    draw_strips(canvas, left, y + 42, width, rows + cells, layers, columns, NULL, gate, MAP_BLUE);
    free(rows);
    return y + 42 + STRIP_PITCH * layers;
}

static double draw_alignment(Canvas *canvas, const void *context)
{
    const Alignment *a = context;
    TextStyle label = {.size = 13, .angle = -55};
    double width = a->cell * (double)a->columns, bars = a->left + width + 24;
    double tall = fmin(widest(canvas, &a->source, a->columns, label), 190);
    double y = CHART_TOP + 40 + tall * 0.82; /* sin 55 degrees */
    label.room = 190;
    chart_title(canvas, a->width, a->title, a->subtitle);
    for (size_t j = 0; j < a->columns; j++)
        canvas_text(canvas, a->left + a->cell * ((double)j + 0.5) + 4, y - 7, label, "%s",
                    a->source.texts[j]);
    canvas_text(canvas, bars, y - 26, (TextStyle){.size = 14, .bold = true}, "Probability");
    canvas_text(canvas, bars, y - 9, (TextStyle){.size = 11.5, .colour = COLOUR_GREY},
                "of each symbol, given those before");
    Scale scale = draw_matrix(a, canvas, y);
    draw_target(a, canvas, y, bars);
    y += a->cell * (double)a->rows;
    draw_scale(canvas, a->left, y + 12, false, scale, MAP_HEAT, " attention to the source");
    if (a->columns < a->source.count || a->rows < a->target.count)
        canvas_text(canvas, bars, y + 20, (TextStyle){.size = 12, .colour = COLOUR_GREY},
                    "the first %zu x %zu of %zu x %zu symbols", a->columns, a->rows,
                    a->source.count, a->target.count);
    return draw_encoder(a, canvas, y + 44, fmax(bars, a->left + 330)) + 36;
}

static void lay_out(Alignment *a)
{
    a->columns = a->source.count < MOST_CELLS ? a->source.count : MOST_CELLS;
    a->rows = a->target.count < MOST_CELLS ? a->target.count : MOST_CELLS;
    a->cell = fmax(16, fmin(34, floor(820 / (double)a->columns)));
    a->left = 190;
    a->width = fmax(a->left + a->cell * (double)a->columns + 24 + 335, 900);
}

/* A text as ids, with the final </s> that a source ends in. */
static int encode_source(const ExplainOptions *options, const MegaModel *model, const char *text,
                         size_t size, int32_t **ids, size_t *count, MegaError *err)
{
    const MegaConfig *config = mega_model_config(model);
    MegaCodec *codec = NULL;
    if (options->input.ids)
        return mega_text_parse_ids(text, size, config->embed.vocab, "the text", ids, count, err);
    int code = mega_codec_new(&codec, mega_model_meta(model), MEGA_CODEC_SOURCE, err);
    if (!code)
        code = mega_codec_encode(codec, text, size, options->pre_tokenized, ids, count, err);
    if (!code && *count > 0) /* mega_text_encode leaves room for it */
        (*ids)[(*count)++] = MEGA_ID_EOS;
    if (!code && *count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text to translate is empty");
    mega_codec_free(codec);
    return code;
}

/* Source and translation as readable texts, for the title. */
static int entitle(Alignment *a, const ExplainOptions *options, const char *text, size_t size,
                   MegaError *err)
{
    MegaCodec *codec = NULL;
    MegaBuffer out = {0};
    char name[256];
    int code = 0;
    if (options->input.ids) {
        snprintf(a->title, sizeof a->title, "%zu ids, translated", a->source.count);
    } else {
        code = mega_codec_new(&codec, mega_model_meta(a->model), MEGA_CODEC_TARGET, err);
        if (!code)
            code = mega_codec_decode(codec, a->hypothesis->tokens, a->hypothesis->length,
                                     options->pre_tokenized, &out, err);
        if (!code)
            snprintf(a->title, sizeof a->title, "%.*s", (int)out.size,
                     out.size ? (const char *)out.data : "");
        mega_buffer_free(&out);
        mega_codec_free(codec);
    }
    snprintf(a->subtitle, sizeof a->subtitle, "%s \xc2\xb7 from: %.*s",
             observe_model_name(a->model, name), (int)(size < 300 ? size : 300), text);
    return code;
}

int explain_translator(const ExplainOptions *options, const MegaModel *model,
                       MegaSession *session, const char *text, size_t size, MegaError *err)
{
    Alignment a = {.model = model, .observer = {.model = model}};
    MegaSearchOptions search = mega_search_defaults();
    MegaTranslation found = {0};
    const MegaStackConfig *stack = &mega_model_config(model)->encoder;
    int32_t *ids = NULL;
    size_t count = 0;
    int code = encode_source(options, model, text, size, &ids, &count, err);
    MegaInput given = {.kind = MEGA_INPUT_TOKENS, .tokens = ids, .length = count};
    MegaInput source = without_padding(&given, mega_model_config(model)->embed.pad);
    search.alignments = true;
    mega_session_set_tap(session, observe_tap, &a.observer);
    if (!code)
        code = mega_session_translate(session, &source, 1, &search, &found, err);
    mega_session_set_tap(session, NULL, NULL);
    if (!code)
        code = observe_finish(&a.observer, err);
    if (!code && found.count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the search found no translation");
    if (!code) {
        a.hypothesis = &found.hypotheses[0];
        code = tokens_of(&a.source, model, MEGA_VOCAB_SOURCE_KEY, source.tokens, source.length,
                         options->input.ids, err);
    }
    if (!code)
        code = tokens_of(&a.target, model, MEGA_VOCAB_TARGET_KEY, a.hypothesis->tokens,
                         a.hypothesis->length, options->input.ids, err);
    if (!code)
        code = reach_of(stack, &model->encoder, source.length, &a.reach, err);
    if (!code)
        code = entitle(&a, options, text, size, err);
    if (!code) {
        lay_out(&a);
        code = canvas_write(options->output, a.title, a.width, draw_alignment, &a, err);
    }
    free(ids);
    tokens_free(&a.source);
    tokens_free(&a.target);
    observer_free(&a.observer);
    mega_translation_free(&found);
    return code;
}

/* ---- Language models ------------------------------------------------------------------------ */

#define READER_WIDTH 1450.0
#define READER_LINES 34
#define MOST_BITS 12.0 /* darkest */
#define SURPRISES 10

typedef struct Reading {
    const MegaModel *model;
    Tokens tokens;
    float *bits; /* of each token: -log2 p */
    Bar bars[SURPRISES];
    int bar_count;
    ReachRows reach;
    char title[400], subtitle[400];
} Reading;

static double draw_reading(Canvas *canvas, const void *context)
{
    const Reading *r = context;
    Scale scale = {0, MOST_BITS};
    const double side = 1065, column = 490, top = CHART_TOP + 8;
    double text = 0;
    size_t drawn = 0;
    chart_title(canvas, READER_WIDTH, r->title, r->subtitle);
    draw_heading(canvas, 50, top + 14, "Surprise", "bits that each symbol needs, -log2 p");
    chart_key(canvas, 800, top + 4, 120, MAP_HEAT, "0: certain", "12 bits");
    for (int i = 0; i < 2; i++) {
        double x = 50 + (column + 10) * i;
        double end = draw_tokens(canvas, x, top + 28, column, &r->tokens, r->bits, scale, MAP_HEAT,
                                 READER_LINES, &drawn);
        text = fmax(text, end);
        if (i == 1)
            draw_rest(canvas, x, end, &r->tokens, drawn);
    }
    canvas_text(canvas, side, top + 14, (TextStyle){.size = 14, .bold = true},
                "Most surprising, with what stood before");
    double y = draw_bars(canvas, side, top + 28, 190, 90, r->bars, r->bar_count,
                         fmax(r->bars[0].value, 1), 1, " bits") + 20;
    draw_heading(canvas, side, y + 14, "Reach of the EMA", "by layer");
    char unit[48];
    snprintf(unit, sizeof unit, "%s back", observe_unit(r->model, true));
    draw_reach(canvas, side, y + 24, 330, &r->reach, 1, unit);
    y += 24 + STRIP_PITCH * r->reach.layers + REACH_FOOT;
    return fmax(text + 20, y) + 24;
}

/* The token in brackets, with a few before it: "thou art [m]". */
static void name_surprise(const Reading *r, size_t index, Bar *bar)
{
    const size_t room = 18; /* bytes of those before */
    char *const *texts = r->tokens.texts;
    size_t first = index, used = 0;
    while (first > 0 && (used += strlen(texts[first - 1]) + !r->tokens.characters) <= room)
        first--;
    used = 0;
    for (size_t i = first; i <= index && used < sizeof bar->name; i++) {
        const char *text = strcmp(texts[i], "\n") == 0 ? LINE_END : texts[i];
        used += (size_t)snprintf(bar->name + used, sizeof bar->name - used,
                                 i == index ? "[%s]" : r->tokens.characters ? "%s" : "%s ", text);
    }
}

static void find_surprises(Reading *r)
{
    double last = INFINITY;
    size_t last_index = 0;
    while (r->bar_count < SURPRISES) { /* the next one, by bits and place */
        size_t best = r->tokens.count;
        for (size_t i = 0; i < r->tokens.count; i++) {
            double bits = (double)r->bits[i];
            if (bits > last || (bits == last && i <= last_index))
                continue;
            if (best == r->tokens.count || bits > (double)r->bits[best])
                best = i;
        }
        if (best == r->tokens.count)
            return;
        Bar *bar = &r->bars[r->bar_count++];
        name_surprise(r, best, bar);
        bar->value = last = (double)r->bits[best];
        last_index = best;
    }
}

static void entitle_reading(Reading *r, const char *name)
{
    char model[256];
    double sum = 0;
    for (size_t i = 0; i < r->tokens.count; i++)
        sum += (double)r->bits[i];
    double mean = sum / (double)r->tokens.count;
    snprintf(r->title, sizeof r->title, "%s: %.2f bits a %s", name ? base_name(name) : "A text",
             mean, r->tokens.characters ? "character" : "token");
    snprintf(r->subtitle, sizeof r->subtitle, "%s \xc2\xb7 %zu %s, perplexity %.3g",
             observe_model_name(r->model, model), r->tokens.count,
             observe_unit(r->model, true), exp2(mean));
}

int explain_reader(const ExplainOptions *options, const char *text, size_t size, const char *name,
                   MegaError *err)
{
    ScoreOptions score = {.model = options->model, .session = options->session,
                          .ids = options->input.ids, .pre_tokenized = options->pre_tokenized};
    Scorer scorer;
    Reading r = {0};
    int32_t *targets = NULL;
    float *logprobs = NULL;
    size_t count = 0;
    int code = scorer_open(&scorer, &score, err);
    if (!code)
        code = score_text(&scorer, text, size, false, &targets, &logprobs, &count, NULL, NULL, err);
    if (!code && count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text is empty");
    if (!code)
        code = tokens_of(&r.tokens, scorer.model, MEGA_VOCAB_TARGET_KEY, targets, count,
                         options->input.ids, err);
    if (!code) {
        r.model = scorer.model;
        r.bits = logprobs;
        for (size_t i = 0; i < count; i++)
            logprobs[i] /= -0.69314718f;
        find_surprises(&r);
        entitle_reading(&r, name);
        code = reach_of(&r.model->config.decoder, &r.model->decoder, count < 2 ? 2 : count,
                        &r.reach, err);
    }
    if (!code)
        code = canvas_write(options->output, r.title, READER_WIDTH, draw_reading, &r, err);
    tokens_free(&r.tokens);
    free(targets);
    free(logprobs);
    scorer_close(&scorer);
    return code;
}
