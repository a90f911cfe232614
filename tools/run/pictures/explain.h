/*
 * explain.h - declares what the pictures of explain share. explain.c is the command,
 * explain_input.c draws classifiers, explain_text.c translators, explain_reader.c language models,
 * and explain_head.c models that tag, answer or fill masks.
 */
#ifndef MEGA_EXPLAIN_H
#define MEGA_EXPLAIN_H

#include "src/pipeline/input.h"
#include "tools/run/pictures/chart.h"
#include "tools/run/pictures/observe.h"

typedef struct ExplainOptions {
    const char *model, *output;
    const char *text;          /* the text of --text, which is then the only input; or NULL */
    const char *question;      /* of a model that answers questions */
    MegaPipelineOptions input; /* windows are never used here */
    MegaPcm raw;               /* the format of --raw; its rate is 0 without that option */
    bool pre_tokenized;
    bool json;
    MegaSessionOptions session;
} ExplainOptions;

/* Draws what a classifier did with inputs[0 ... count - 1]: one input, or the two of a pair. */
int explain_classifier(const ExplainOptions *options, const MegaModel *model,
                       MegaSession *session, const MegaRaw *inputs, int count, MegaError *err);
/* explain_translator draws the translation of a line, explain_reader how the language model of a
 * pipeline reads a text. `name` is the file that the text comes from, or NULL if it has none. */
int explain_translator(const ExplainOptions *options, const MegaModel *model,
                       MegaSession *session, const char *text, size_t size, MegaError *err);
int explain_reader(const ExplainOptions *options, const MegaModel *model, MegaPipeline *pipeline,
                   const char *text, size_t size, const char *name, MegaError *err);

/* Draws what a model of one of the tasks of the Hugging Face hub makes of a text: its tags, the
 * answer to options->question, or what fills its masks. `input` is the text or its file. */
int explain_head(const ExplainOptions *options, const MegaModel *model, const char *input,
                 MegaError *err);

/* ---- Parts of pictures ---------------------------------------------------------------------- */

/* The page of a classifier or of a head: the input with strips below it, and a right column. */
#define PAGE_WIDTH 1400.0
#define PAGE_LEFT 130.0  /* x of drawings that have names to their left */
#define PAGE_MAIN 830.0  /* width of the input and its strips */
#define PAGE_SIDE 1020.0 /* x of the right column */
#define PAGE_SIDE_WIDTH 330.0

#define STRIP_TALL 17.0
#define STRIP_PITCH 21.0

/* Draws a heading and, after it, a text in grey. */
void draw_heading(Canvas *canvas, double x, double y, const char *title, const char *text);

/* Maps values to colours: `low` becomes the lightest one and `high` the darkest. */
typedef struct Scale {
    double low, high;
} Scale;
/* Returns the scale from 0, or from the smallest value if `tight`, to the largest value. */
Scale scale_of(const float *values, size_t count, bool tight);

/* Holds rows [count][length] that are drawn one below the other, with the names of layers, or of a
 * layer's heads, to their left. `all` [length], if it is not NULL, becomes the last strip. */
typedef struct Strips {
    const float *rows;
    int count, heads; /* heads of a layer; 1: a strip is a layer */
    size_t length;
    const float *all;
} Strips;
/* The strips end STRIP_PITCH * (number of strips) below y. */
void draw_strips(Canvas *canvas, double x, double y, double width, const Strips *strips,
                 Scale scale, ColourMap map);
/* Writes the name of a strip, such as "layer 3" or "0, head 2". */
void name_strip(int strip, int heads, char name[32]);
/* Draws a colour key for the scale, with a unit after its numbers. It begins at x, or ends there
 * if `right` is set. */
void draw_scale(Canvas *canvas, double x, double y, bool right, Scale scale, ColourMap map,
                const char *unit);

/* Draws how far the EMA of each layer sees, if the layers have one: one row per layer, as high as a
 * strip, with the layer's number to its left. `width` stands for `most` positions, and `factor` is
 * the length of one position in `unit`. The drawing ends REACH_FOOT below the rows. */
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

/* Draws attention and gates of one input, whose positions fill `width` from x on. Returns the y
 * below. */
double draw_layers(Canvas *canvas, const MegaModel *model, const Observed *observed, double x,
                   double y, double width);
/* Describes what a strip of attention shows, and says what its values are multiples of. */
const char *received(const MegaModel *model, size_t length);
const char *mean_unit(const Observed *observed);
/* Draws the reach in the right column and returns the y below. */
double draw_side(Canvas *canvas, double y, const ReachRows *reach, double factor, const char *unit);
/* Draws the numbers of the positions below strips that fill the page's main column. */
void draw_positions(Canvas *canvas, double y, size_t length, const char *unit);

typedef struct Bar {
    char name[64];
    double value;
    bool marked; /* drawn in the colour that stands out: the answer */
} Bar;

/* Bars one below the other. The largest value is drawn `width` wide if it is `most`. */
typedef struct Bars {
    const Bar *bars; /* [count] */
    int count;
    double names, width; /* of the names and of the longest bar */
    double most;
    int digits; /* decimals of the values behind the bars */
    const char *unit;
} Bars;
/* Returns the y below the last bar. */
double draw_bars(Canvas *canvas, double x, double y, const Bars *bars);

#define LINE_END "\xe2\x86\xb5" /* drawn in place of the symbol of a line end */

/* The tokens of a text, as they are drawn. */
typedef struct Tokens {
    char **texts; /* [count] */
    size_t count;
    bool joined;     /* they stand side by side; a line end ends the line */
    bool characters; /* of a language model of characters or bytes; they are joined, too */
} Tokens;
void tokens_free(Tokens *tokens);
/* Finds the texts of token ids, which are the ids themselves if the model has no vocabulary. */
int tokens_of(Tokens *out, const MegaModel *model, const char *vocab_key, const int32_t *ids,
              size_t count, bool as_numbers, MegaError *err);
/* The colours of tokens, by their values. */
typedef struct Shading {
    const float *values;
    Scale scale;
    ColourMap map;
} Shading;
#define TOKEN_PITCH 23.0 /* from one line of tokens to the next */
/* Draws the tokens from number *first on, as far as their lines fit into the box, each on a ground
 * in the colour of its value. Returns the y below the last line; *first becomes the number of the
 * first token that was not drawn. */
double draw_tokens(Canvas *canvas, Box box, const Tokens *tokens, const Shading *shading,
                   size_t *first);
/* Writes "... 100 more of 900" unless all tokens were drawn. */
void draw_rest(Canvas *canvas, double x, double y, const Tokens *tokens, size_t drawn);

/* Returns the input without the padding at its ends, which the engine leaves out, too. */
MegaInput without_padding(const MegaInput *input, int pad);

/* Returns the last component of a path. */
const char *base_name(const char *path);

#endif
