/*
 * explain_text.c - explain for models that make text: draws how a translation is aligned with its
 * source, and how surprising a text is to a language model.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "tools/run/pictures/explain.h"
#include "tools/run/scoring.h"

/* ---- Translators ---------------------------------------------------------------------------- */

#define MOST_LABEL 190.0 /* greatest width of a symbol's label */
#define MOST_CELLS 400   /* most symbols of one side that are drawn */

typedef struct Alignment {
    const MegaModel *model;
    Tokens source, target;
    const MegaHypothesis *hypothesis;
    Observer observer;
    ReachRows reach;
    char *title, *subtitle; /* allocated with malloc */
    double cell;            /* edge of the matrix's cells */
    double left, width;     /* x of the matrix, width of the picture */
    size_t columns, rows;   /* cells that are drawn */
} Alignment;

/* Returns the width of the widest of the first `count` texts. */
static double widest(Canvas *canvas, const Tokens *tokens, size_t count, TextStyle style)
{
    double most = 0;
    for (size_t i = 0; i < count; i++)
        most = fmax(most, canvas_text_width(canvas, style, tokens->texts[i]));
    return most;
}

/* Draws the alignment matrix and returns the scale of its colours. */
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
    canvas_heat(canvas, (Box){a->left, y, width, height}, cells, a->rows, a->columns, MAP_HEAT);
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

/* Draws the source symbols, each at its column from y on, at `angle` degrees (clockwise). */
static void draw_source(const Alignment *a, Canvas *canvas, double y, double angle)
{
    const TextStyle label = {.size = 13, .angle = angle, .room = MOST_LABEL};
    for (size_t j = 0; j < a->columns; j++)
        canvas_text(canvas, a->left + a->cell * ((double)j + 0.5) + (angle < 0 ? 4 : -4), y, label,
                    "%s", a->source.texts[j]);
}

/* Draws the target symbols to the left of their rows, and bars of their probabilities to the
 * right. */
static void draw_target(const Alignment *a, Canvas *canvas, double y, double bars)
{
    TextStyle label = {.size = 13, .align = 1, .room = a->left - 60};
    for (size_t i = 0; i < a->rows; i++) {
        double middle = y + a->cell * ((double)i + 0.5);
        double probability = exp((double)a->hypothesis->scores[i]);
        canvas_text(canvas, a->left - 8, middle + 4.5, label, "%s", a->target.texts[i]);
        canvas_fill(canvas, bars, middle - a->cell * 0.3, fmax(120 * probability, 1), a->cell * 0.6,
                    map_colour(MAP_BLUE, 0.6));
        canvas_text(canvas, bars + 120 * probability + 6, middle + 4,
                    (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%.0f %%", 100 * probability);
    }
}

/* Draws the encoder's attention below the columns of the matrix, with reach and gates. */
static double draw_encoder(const Alignment *a, Canvas *canvas, double y, double side)
{
    const Observed *observed = &a->observer.inputs[0];
    const int layers = observed->strips / observed->heads;
    const size_t columns = a->columns, cells = (size_t)observed->strips * columns;
    float *rows = malloc(2 * cells * sizeof *rows);
    if (!rows) {
        canvas_no_memory(canvas);
        return y;
    }
    for (int i = 0; i < observed->strips; i++) {
        size_t from = (size_t)i * observed->length, to = (size_t)i * columns;
        memcpy(rows + to, observed->attention + from, columns * sizeof *rows);
        if (observed->gate)
            memcpy(rows + cells + to, observed->gate + from, columns * sizeof *rows);
    }
    const Strips strips = {rows, observed->strips, observed->heads, columns, observed->combined};
    const Strips gates = {rows + cells, layers, 1, columns, NULL};
    Scale attention = scale_of(rows, cells, false);
    double width = a->cell * (double)columns, left = a->left;
    draw_heading(canvas, left, y + 14, "Attention in the encoder", "");
    draw_scale(canvas, left, y + 24, false, attention, MAP_HEAT,
               observed->heads > 1 ? " x the head's mean" : " x the layer's mean");
    draw_strips(canvas, left, y + 42, width, &strips, attention, MAP_HEAT);
    if (a->reach.layers > 0) {
        draw_heading(canvas, side, y + 14, "Reach of the EMA", "");
        draw_reach(canvas, side, y + 42, 305, &a->reach, 1, "symbols back and ahead");
    }
    y += 42 + STRIP_PITCH * (observed->strips + 1) + 14;
    if (observed->gate) {
        Scale gate = scale_of(rows + cells, (size_t)layers * columns, true);
        draw_heading(canvas, left, y + 14, "Update gate", "");
        draw_scale(canvas, left, y + 24, false, gate, MAP_BLUE, "");
        draw_strips(canvas, left, y + 42, width, &gates, gate, MAP_BLUE);
        y += 42 + STRIP_PITCH * layers;
    }
    free(rows);
    return y;
}

static double draw_alignment(Canvas *canvas, const void *context)
{
    const Alignment *a = context;
    const double width = a->cell * (double)a->columns, bars = a->left + width + 24;
    const double room = a->width - 2 * CHART_MARGIN;
    TextStyle label = {.size = 13}, title = {.size = 21, .bold = true};
    if (canvas_text_width(canvas, title, a->title) > room)
        title.size = 17;
    double y =
        chart_lines(canvas, CHART_MARGIN, 40, room, fmax(title.size + 5, 24), title, a->title);
    y = chart_lines(canvas, CHART_MARGIN, y - 4, room, 18,
                    (TextStyle){.size = 13, .colour = COLOUR_GREY}, a->subtitle);
    /* sin 55 degrees */
    const double tall = 0.82 * fmin(widest(canvas, &a->source, a->columns, label), MOST_LABEL);
    y += 38 + tall;
    draw_source(a, canvas, y - 7, -55);
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
    y = draw_encoder(a, canvas, y + 44, fmax(bars, a->left + 300));
    draw_source(a, canvas, y + 12, 55);
    return y + 12 + tall + 24;
}

static void lay_out(Alignment *a)
{
    a->columns = a->source.count < MOST_CELLS ? a->source.count : MOST_CELLS;
    a->rows = a->target.count < MOST_CELLS ? a->target.count : MOST_CELLS;
    a->cell = fmax(16, fmin(34, floor(820 / (double)a->columns)));
    a->left = 190;
    a->width = fmax(a->left + a->cell * (double)a->columns + 24 + 355, 860);
}

/* Encodes a text as ids, with the </s> that ends a source. */
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
    mega_codec_free(codec);
    if (!code && *count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text to translate is empty");
    int32_t *longer = code ? NULL : realloc(*ids, (*count + 1) * sizeof *longer);
    if (!code && !longer)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for the text's ids");
    if (code)
        return code;
    longer[(*count)++] = MEGA_ID_EOS;
    *ids = longer;
    return 0;
}

/* Makes the title and subtitle of the page from translation and source, as readable texts. */
static int entitle(Alignment *a, const ExplainOptions *options, const char *text, size_t size,
                   MegaError *err)
{
    MegaCodec *codec = NULL;
    MegaBuffer title = {0}, subtitle = {0};
    char line[300], name[256];
    int code = 0;
    if (options->input.ids) {
        snprintf(line, sizeof line, "%zu ids, translated", a->source.count);
        mega_put_bytes(&title, line, strlen(line));
    } else {
        code = mega_codec_new(&codec, mega_model_meta(a->model), MEGA_CODEC_TARGET, err);
        if (!code)
            code = mega_codec_decode(codec, a->hypothesis->tokens, a->hypothesis->length,
                                     options->pre_tokenized, &title, err);
        mega_codec_free(codec);
    }
    snprintf(line, sizeof line, "%s \xc2\xb7 from: ", observe_model_name(a->model, name));
    mega_put_bytes(&subtitle, line, strlen(line));
    mega_put_bytes(&subtitle, text, size);
    mega_put_u8(&title, '\0');
    mega_put_u8(&subtitle, '\0');
    if (!code && (title.failed || subtitle.failed))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a title");
    if (code) {
        mega_buffer_free(&title);
        mega_buffer_free(&subtitle);
        return code;
    }
    a->title = (char *)title.data;
    a->subtitle = (char *)subtitle.data;
    return 0;
}

int explain_translator(const ExplainOptions *options, const MegaModel *model, MegaSession *session,
                       const char *text, size_t size, MegaError *err)
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
    mega_session_tap_attention(session, true);
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
    free(a.title);
    free(a.subtitle);
    tokens_free(&a.source);
    tokens_free(&a.target);
    observer_free(&a.observer);
    mega_translation_free(&found);
    return code;
}

/* ---- Language models ------------------------------------------------------------------------ */

#define LEAST_COLUMN 340.0 /* least width of a column of text */
#define MOST_COLUMN 490.0
#define COLUMN_GAP 20.0
#define MOST_LINES 34 /* most lines of a column */
#define HALF_PAGE 17  /* as many lines as the right side of the page is high */
#define FEW_LINES 6   /* with so few lines there is room for the reach below them */
#define READER_SIDE 340.0
#define MOST_BITS 12.0 /* bits that the darkest colour stands for */
#define SURPRISES 10
#define MOST_TRIES 200

typedef struct Reading {
    const MegaModel *model;
    Tokens tokens;
    float *bits; /* -log2 p of each token */
    Bar bars[SURPRISES];
    int bar_count;
    ReachRows reach;
    char title[400], subtitle[400];
    int columns;          /* columns of the text */
    int lines;            /* estimated lines of the first column */
    double column, width; /* width of a column, and of the picture */
} Reading;

/* Draws the whole text in columns and returns the y below. */
static double draw_text(const Reading *r, Canvas *canvas, double y)
{
    const Scale scale = {0, MOST_BITS};
    double bottom = y;
    size_t drawn = 0;
    for (int i = 0; i < r->columns; i++) {
        const double x = CHART_MARGIN + (r->column + COLUMN_GAP) * i;
        const int lines = i + 1 == r->columns ? MOST_LINES : r->lines;
        double end = draw_tokens(canvas, (Box){x, y, r->column, lines * TOKEN_PITCH}, &r->tokens,
                                 &(Shading){r->bits, scale, MAP_HEAT}, &drawn);
        if (i + 1 == r->columns && drawn < r->tokens.count) {
            draw_rest(canvas, x, end, &r->tokens, drawn);
            end += 20;
        }
        bottom = fmax(bottom, end);
    }
    return bottom;
}

static double draw_reading(Canvas *canvas, const void *context)
{
    const Reading *r = context;
    const double top = CHART_TOP + 8, text = r->columns * (r->column + COLUMN_GAP) - COLUMN_GAP;
    const double side = CHART_MARGIN + text + 45;
    char unit[48];
    chart_title(canvas, r->width, r->title, r->subtitle);
    draw_heading(canvas, CHART_MARGIN, top + 14, "Surprise",
                 "bits that each symbol needs, -log2 p");
    double y = draw_text(r, canvas, top + 28);
    chart_key(canvas, CHART_MARGIN, y + 10, 120, MAP_HEAT, "0: certain", "12 bits");
    canvas_text(canvas, side, top + 14, (TextStyle){.size = 14, .bold = true},
                "Most surprising, with what stood before");
    const Bars chart = {r->bars, r->bar_count, 190, 90, fmax(r->bars[0].value, 1), 1, " bits"};
    double next = draw_bars(canvas, side, top + 28, &chart) + 20;
    const bool below = r->columns == 1 && r->lines <= FEW_LINES;
    const double reach_x = below ? CHART_MARGIN : side;
    if (below)
        next = y + 50;
    if (r->reach.layers > 0) {
        draw_heading(canvas, reach_x, next + 14, "Reach of the EMA", "by layer");
        snprintf(unit, sizeof unit, "%s back", observe_unit(r->model, true));
        draw_reach(canvas, reach_x, next + 24, READER_SIDE, &r->reach, 1, unit);
        next += 24 + STRIP_PITCH * r->reach.layers + REACH_FOOT;
    }
    const double bars = top + 28 + 22 * r->bar_count;
    return fmax(fmax(y + 30, bars), next) + 24;
}

/* Estimates how many lines the text takes, since there is no canvas yet to measure it, and lays out
 * the page. If the estimate is too low, the last column takes the other lines. */
static void lay_out_reading(Reading *r)
{
    const bool characters = r->tokens.characters;
    double lines = 0, at = 0, longest = 0;
    for (size_t i = 0; i < r->tokens.count; i++) {
        const char *text = r->tokens.texts[i];
        const double wide =
            (characters ? 7.9 : 7) * (double)strlen(text) + (r->tokens.joined ? 0 : 10);
        if (at + wide > MOST_COLUMN) {
            lines++;
            at = 0;
        }
        at += wide;
        longest = fmax(longest, at);
        if (strcmp(text, "\n") == 0) {
            lines++;
            at = 0;
        }
    }
    lines += at > 0;
    r->columns = lines > MOST_LINES ? 2 : 1;
    if (r->columns == 2)
        lines = fmax(HALF_PAGE, ceil(lines / 2));
    r->lines = (int)fmin(lines, MOST_LINES);
    r->column = fmin(fmax(1.1 * longest, LEAST_COLUMN), MOST_COLUMN);
    r->width = 2 * CHART_MARGIN + (r->column + COLUMN_GAP) * r->columns + 25 + READER_SIDE;
}

/* Names a token by itself in brackets, with a few tokens before it: "thou art [m]". */
static void name_surprise(const Reading *r, size_t index, Bar *bar)
{
    /* bytes that a name has room for */
    const size_t most = 20, own = strlen(r->tokens.texts[index]);
    const size_t room = own < most ? most - own : 0;
    char *const *texts = r->tokens.texts;
    size_t first = index, used = 0;
    while (first > 0 && (used += strlen(texts[first - 1]) + !r->tokens.joined) <= room)
        first--;
    used = 0;
    for (size_t i = first; i <= index && used < sizeof bar->name; i++) {
        const char *text = strcmp(texts[i], "\n") == 0 ? LINE_END : texts[i];
        used += (size_t)snprintf(bar->name + used, sizeof bar->name - used,
                                 i == index         ? "[%s]"
                                 : r->tokens.joined ? "%s"
                                                    : "%s ",
                                 text);
    }
}

/* Returns whether a row with that name, the same symbol after the same ones, is already listed. */
static bool is_listed(const Reading *r, const Bar *bar)
{
    for (int i = 0; i < r->bar_count; i++)
        if (strcmp(r->bars[i].name, bar->name) == 0)
            return true;
    return false;
}

static void find_surprises(Reading *r)
{
    double last = INFINITY;
    size_t last_index = 0;
    /* find the next token by bits, then place; a repetitive text has few distinct names, so tries
     * are limited */
    for (int tries = 0; r->bar_count < SURPRISES && tries < MOST_TRIES; tries++) {
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
        Bar bar = {.value = (double)r->bits[best]};
        name_surprise(r, best, &bar);
        if (!is_listed(r, &bar))
            r->bars[r->bar_count++] = bar;
        last = bar.value;
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
             observe_model_name(r->model, model), r->tokens.count, observe_unit(r->model, true),
             exp2(mean));
}

int explain_reader(const ExplainOptions *options, const char *text, size_t size, const char *name,
                   MegaError *err)
{
    ScoreOptions score = {.model = options->model,
                          .pipeline = {.session = options->session,
                                       .ids = options->input.ids,
                                       .pre_tokenized = options->pre_tokenized}};
    const MegaRaw raw = {.kind = MEGA_RAW_TEXT, .data = text, .size = size};
    Scorer scorer;
    MegaScore read = {0};
    Reading r = {0};
    int code = scorer_open(&scorer, &score, err);
    if (!code)
        code = mega_pipeline_score(scorer.pipeline, &raw, NULL, &read, err);
    const size_t count = read.count;
    if (!code && count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text is empty");
    if (!code)
        code = tokens_of(&r.tokens, scorer.model, MEGA_VOCAB_TARGET_KEY, read.tokens, count,
                         options->input.ids, err);
    if (!code) {
        r.model = scorer.model;
        r.bits = read.logprobs;
        for (size_t i = 0; i < count; i++)
            read.logprobs[i] /= -0.69314718f;
        find_surprises(&r);
        lay_out_reading(&r);
        entitle_reading(&r, name);
        code = reach_of(&r.model->config.decoder, &r.model->decoder, count < 2 ? 2 : count,
                        &r.reach, err);
    }
    if (!code)
        code = canvas_write(options->output, r.title, r.width, draw_reading, &r, err);
    tokens_free(&r.tokens);
    mega_score_free(&read);
    scorer_close(&scorer);
    return code;
}
