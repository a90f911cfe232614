/*
 * explain_reader.c - explain for language models: draws how surprising a text is.
 */
#include <math.h>
#include <stdio.h>
#include <string.h>

#include "formats/text/vocab.h"
#include "tools/run/pictures/explain.h"

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

int explain_reader(const ExplainOptions *options, const MegaModel *model, MegaPipeline *pipeline,
                   const char *text, size_t size, const char *name, MegaError *err)
{
    const MegaRaw raw = {.kind = MEGA_RAW_TEXT, .data = text, .size = size};
    MegaScore read = {0};
    Reading r = {.model = model};
    int code = mega_pipeline_score(pipeline, &raw, NULL, &read, err);
    const size_t count = read.count;
    if (!code && count == 0)
        code = mega_fail(err, MEGA_ERR_INPUT, "the text is empty");
    if (!code)
        code = tokens_of(&r.tokens, model, MEGA_VOCAB_TARGET_KEY, read.tokens, count,
                         options->input.ids, err);
    if (!code) {
        r.bits = read.logprobs;
        for (size_t i = 0; i < count; i++)
            read.logprobs[i] /= -0.69314718f;
        find_surprises(&r);
        lay_out_reading(&r);
        entitle_reading(&r, name);
        code = reach_of(&model->config.decoder, &model->decoder, count < 2 ? 2 : count, &r.reach,
                        err);
    }
    if (!code)
        code = canvas_write(options->output, r.title, r.width, draw_reading, &r, err);
    tokens_free(&r.tokens);
    mega_score_free(&read);
    return code;
}
