/*
 * explain.h - what the pictures of explain share: explain.c has the command, explain_input.c draws
 * classifiers, explain_text.c translators and language models.
 */
#ifndef MEGA_EXPLAIN_H
#define MEGA_EXPLAIN_H

#include "src/pipeline/input.h"
#include "tools/run/pictures/chart.h"
#include "tools/run/pictures/observe.h"

typedef struct ExplainOptions {
    const char *model, *output;
    const char *text; /* --text: the only input */
    MegaPipelineOptions input; /* no windows */
    MegaPcm raw;               /* --raw; rate 0: without */
    bool pre_tokenized;
    bool json;
    MegaSessionOptions session;
} ExplainOptions;

/* paths: one, or two of a pair. */
int explain_classifier(const ExplainOptions *options, const MegaModel *model,
                       MegaSession *session, char **paths, int count, MegaError *err);
/* text: a line to translate, a text to read. name: where it is from, NULL for the text itself. */
int explain_translator(const ExplainOptions *options, const MegaModel *model,
                       MegaSession *session, const char *text, size_t size, MegaError *err);
int explain_reader(const ExplainOptions *options, const char *text, size_t size, const char *name,
                   MegaError *err);

/* ---- Parts of pictures ---------------------------------------------------------------------- */

#define STRIP_TALL 17.0
#define STRIP_PITCH 21.0

/* Heading and a line in grey behind it. */
void draw_heading(Canvas *canvas, double x, double y, const char *title, const char *text);

/* How values become colours: low is light, high is dark. */
typedef struct Scale {
    double low, high;
} Scale;
/* From 0 (or, `tight`, from the least) to the largest. */
Scale scale_of(const float *values, size_t count, bool tight);

/* Rows [layers][length] as strips one below the other, with the layers' names to their left; all
 * (may be NULL) [length] is the last one. Ends STRIP_PITCH * rows below y. */
void draw_strips(Canvas *canvas, double x, double y, double width, const float *rows, int layers,
                 size_t length, const float *all, Scale scale, ColourMap map);
/* The scale as a colour key, numbers with a unit behind them; it begins at x, or ends (right). */
void draw_scale(Canvas *canvas, double x, double y, bool right, Scale scale, ColourMap map,
                const char *unit);

/* How far the EMA of each layer sees, a row as high as a strip for each, its number to its left:
 * distances up to `most` positions over `width`. factor: of the unit, for one position. Ends
 * REACH_FOOT below the rows. */
#define REACH_FOOT 48.0
typedef struct ReachRows {
    Reach back[MEGA_MAX_LAYERS], ahead[MEGA_MAX_LAYERS];
    int layers;
    bool bidirectional;
    double most;
} ReachRows;
int reach_of(const MegaStackConfig *config, const MegaStack *stack, size_t length, ReachRows *out,
             MegaError *err);
void draw_reach(Canvas *canvas, double x, double y, double width, const ReachRows *rows,
                double factor, const char *unit);

/* Names with bars of 0 ... most, behind each its value with so many digits and a unit. */
typedef struct Bar {
    char name[64];
    double value;
    bool marked; /* the one that counts */
} Bar;
double draw_bars(Canvas *canvas, double x, double y, double names, double width, const Bar *bars,
                 int count, double most, int digits, const char *unit);

#define LINE_END "\xe2\x86\xb5" /* shown for the symbol of one */

/* A text in symbols. */
typedef struct Tokens {
    char **texts; /* [count] */
    size_t count;
    bool characters; /* they stand side by side; a line end ends the line */
} Tokens;
void tokens_free(Tokens *tokens);
/* The symbols of ids, or numbers without a vocabulary. */
int tokens_of(Tokens *out, const MegaModel *model, const char *vocab_key, const int32_t *ids,
              size_t count, bool as_numbers, MegaError *err);
/* Tokens from number *first on in at most so many lines, each on a ground of its colour. Ends below
 * the last line; *first moves behind the last token that was drawn. */
double draw_tokens(Canvas *canvas, double x, double y, double width, const Tokens *tokens,
                   const float *values, Scale scale, ColourMap map, int lines, size_t *first);
/* "... 100 more of 900", unless all were drawn. */
void draw_rest(Canvas *canvas, double x, double y, const Tokens *tokens, size_t drawn);

/* An input without the padding at its ends, which the engine leaves out too. */
MegaInput without_padding(const MegaInput *input, int pad);

/* The path without folders. */
const char *base_name(const char *path);

#endif
