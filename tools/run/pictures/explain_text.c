/*
 * explain_text.c - explain for translators: draws how a translation is aligned with its source.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "tools/run/pictures/explain.h"

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
    MegaTokenizer *tokenizer = NULL;
    if (options->input.ids)
        return mega_text_parse_ids(text, size, config->embed.vocab, "the text", ids, count, err);
    int code = mega_tokenizer_new(&tokenizer, mega_model_meta(model), MEGA_TOKENIZER_SOURCE, err);
    if (!code)
        code =
            mega_tokenizer_encode(tokenizer, text, size, options->pre_tokenized, ids, count, err);
    mega_tokenizer_free(tokenizer);
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
    MegaTokenizer *tokenizer = NULL;
    MegaBuffer title = {0}, subtitle = {0};
    char line[300], name[256];
    int code = 0;
    if (options->input.ids) {
        snprintf(line, sizeof line, "%zu ids, translated", a->source.count);
        mega_put_bytes(&title, line, strlen(line));
    } else {
        code =
            mega_tokenizer_new(&tokenizer, mega_model_meta(a->model), MEGA_TOKENIZER_TARGET, err);
        if (!code)
            code = mega_tokenizer_decode(tokenizer, a->hypothesis->tokens, a->hypothesis->length,
                                         options->pre_tokenized, &title, err);
        mega_tokenizer_free(tokenizer);
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
