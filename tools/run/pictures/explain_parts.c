/*
 * explain_parts.c - draws strips, bars, reach and shaded text, the parts of the pictures of
 * explain; see explain.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/tokenizer.h"
#include "tools/run/pictures/explain.h"

void draw_heading(Canvas *canvas, double x, double y, const char *title, const char *text)
{
    TextStyle bold = {.size = 14, .bold = true};
    canvas_text(canvas, x, y, bold, "%s", title);
    canvas_text(canvas, x + canvas_text_width(canvas, bold, title) + 12, y,
                (TextStyle){.size = 11.5, .colour = COLOUR_GREY}, "%s", text);
}

const char *base_name(const char *path)
{
    const char *slash = strrchr(path, '/');
    return slash && slash[1] ? slash + 1 : path;
}

MegaInput without_padding(const MegaInput *input, int pad)
{
    MegaInput out = *input;
    while (out.length > 0 && out.tokens[0] == pad) {
        out.tokens++;
        out.length--;
    }
    while (out.length > 0 && out.tokens[out.length - 1] == pad)
        out.length--;
    return out;
}

/* ---- Strips --------------------------------------------------------------------------------- */

Scale scale_of(const float *values, size_t count, bool tight)
{
    Scale scale = {tight ? INFINITY : 0, -INFINITY};
    for (size_t i = 0; i < count; i++) {
        if (!isfinite(values[i]))
            continue;
        scale.low = fmin(scale.low, (double)values[i]);
        scale.high = fmax(scale.high, (double)values[i]);
    }
    if (!(scale.high > scale.low))
        scale = (Scale){isfinite(scale.low) ? scale.low : 0, 1 + fmax(scale.low, 0)};
    return scale;
}

/* scaled [length] is scratch memory. */
static void draw_strip(Canvas *canvas, Box box, const Shading *shading, size_t length,
                       float *scaled)
{
    const Scale scale = shading->scale;
    for (size_t i = 0; i < length; i++)
        scaled[i] = (float)(((double)shading->values[i] - scale.low) / (scale.high - scale.low));
    canvas_heat(canvas, box, scaled, 1, length, shading->map);
    canvas_frame(canvas, box.x, box.y, box.width, box.height, COLOUR_LIGHT);
}

void name_strip(int strip, int heads, char name[32])
{
    if (heads > 1)
        snprintf(name, 32, "%d, head %d", strip / heads, strip % heads);
    else
        snprintf(name, 32, "layer %d", strip);
}

void draw_strips(Canvas *canvas, double x, double y, double width, const Strips *strips,
                 Scale scale, ColourMap map)
{
    const size_t length = strips->length;
    float *scaled = malloc(length * sizeof *scaled);
    char name[32];
    TextStyle style = {.size = 11.5, .align = 1};
    if (!scaled) {
        canvas_no_memory(canvas);
        return;
    }
    for (int i = 0; i < strips->count; i++, y += STRIP_PITCH) {
        name_strip(i, strips->heads, name);
        canvas_text(canvas, x - 8, y + 13, style, "%s", name);
        draw_strip(canvas, (Box){x, y, width, STRIP_TALL},
                   &(Shading){strips->rows + (size_t)i * length, scale, map}, length, scaled);
    }
    if (strips->all) {
        style.bold = true;
        canvas_text(canvas, x - 8, y + 13, style, "all layers");
        draw_strip(canvas, (Box){x, y, width, STRIP_TALL}, &(Shading){strips->all, scale, map},
                   length, scaled);
    }
    free(scaled);
}

void draw_scale(Canvas *canvas, double x, double y, bool right, Scale scale, ColourMap map,
                const char *unit)
{
    char low[16], high[64];
    TextStyle style = {.size = 11};
    snprintf(low, sizeof low, "%.2g", scale.low);
    snprintf(high, sizeof high, "%.2g%s", scale.high, unit);
    if (right)
        x -= canvas_text_width(canvas, style, low) + canvas_text_width(canvas, style, high) + 102;
    chart_key(canvas, x, y, 90, map, low, high);
}

/* ---- Reach ---------------------------------------------------------------------------------- */

int reach_of(const MegaStackConfig *config, const MegaStack *stack, size_t length, ReachRows *out,
             MegaError *err)
{
    int code = 0;
    *out = (ReachRows){.layers = config->layers, .bidirectional = config->bidirectional};
    if (!mega_layer_view(stack, 0).ema) {
        out->layers = 0;
        return 0;
    }
    for (int i = 0; i < config->layers && !code; i++) {
        const MegaEma *ema = mega_layer_view(stack, i).ema;
        code = observe_layer_reach(ema, false, length, &out->back[i], err);
        if (!code && out->bidirectional)
            code = observe_layer_reach(ema, true, length, &out->ahead[i], err);
        out->most = fmax(out->most, fmax(out->back[i].high, out->ahead[i].high));
    }
    out->most = fmax(out->most * 1.05, 1);
    return code;
}

static void draw_span(const Plot *plot, double y, const Reach *reach, double factor)
{
    double zero = plot_x(plot, 0);
    double high = plot_x(plot, factor * reach->high), middle = plot_x(plot, factor * reach->middle);
    canvas_fill(plot->canvas, fmin(zero, high), y + 5, fabs(high - zero), STRIP_TALL - 10,
                map_colour(MAP_BLUE, 0.3));
    canvas_fill(plot->canvas, fmin(zero, middle), y + 3, fabs(middle - zero), STRIP_TALL - 6,
                map_colour(MAP_BLUE, 0.72));
}

void draw_reach(Canvas *canvas, double x, double y, double width, const ReachRows *rows,
                double factor, const char *unit)
{
    double most = rows->most * factor;
    Plot plot = {canvas, x + 16, y, width - 16, STRIP_PITCH * rows->layers,
                 {-most, rows->bidirectional ? most : 0.04 * most, AXIS_PLAIN}, {0, 1, AXIS_PLAIN}};
    plot_ground(&plot);
    for (int i = 0; i < rows->layers; i++) {
        canvas_text(canvas, x + 9, y + STRIP_PITCH * i + 14,
                    (TextStyle){.size = 11.5, .align = 1}, "%d", i);
        draw_span(&plot, y + STRIP_PITCH * i + 1, &rows->back[i], -factor);
        if (rows->bidirectional)
            draw_span(&plot, y + STRIP_PITCH * i + 1, &rows->ahead[i], factor);
    }
    canvas_line(canvas, plot_x(&plot, 0), y, plot_x(&plot, 0), y + plot.height,
                (LineStyle){.colour = {0, 0, 0}});
    plot_across(&plot, unit);
    canvas_text(canvas, plot.x + plot.width / 2, y + plot.height + 45,
                (TextStyle){.size = 11, .align = 0.5, .colour = COLOUR_GREY},
                "mean distance; dark: the middle channel, light: 9 in 10");
}

/* ---- Layers --------------------------------------------------------------------------------- */

static int chunk_of(const MegaModel *model)
{
    const MegaConfig *config = mega_model_config(model);
    return mega_stack_reach(config, &config->encoder).chunk;
}

const char *received(const MegaModel *model, size_t length)
{
    const int chunk = chunk_of(model);
    return chunk > 0 && (size_t)chunk < length ? "that each place got within its chunk"
                                               : "that each place got from all the others";
}

/* Draws lines over the strips of attention where chunks begin, unless they would be too close. */
static void draw_chunks(Canvas *canvas, const MegaModel *model, const Observed *observed, double x,
                        double y, double width)
{
    const int chunk = chunk_of(model);
    const size_t length = observed->length;
    double bottom = y + STRIP_PITCH * (observed->strips + 1) - 2;
    if (chunk <= 0 || (double)length / chunk > 40)
        return;
    for (size_t start = (size_t)chunk; start < length; start += (size_t)chunk) {
        double at = x + width * (double)start / (double)length;
        canvas_line(canvas, at, y - 3, at, bottom,
                    (LineStyle){.colour = COLOUR_GREY, .dashed = true});
    }
}

const char *mean_unit(const Observed *observed)
{
    return observed->heads > 1 ? " x the head's mean" : " x the layer's mean";
}

double draw_layers(Canvas *canvas, const MegaModel *model, const Observed *observed, double x,
                   double y, double width)
{
    const int layers = observed->strips / observed->heads;
    const size_t length = observed->length;
    const Strips strips = {observed->attention, observed->strips, observed->heads, length,
                           observed->combined};
    const Strips gates = {observed->gate, layers, 1, length, NULL};
    Scale attention = scale_of(observed->attention, (size_t)observed->strips * length, false);
    draw_heading(canvas, x, y + 14, "Attention", received(model, length));
    draw_scale(canvas, x + width, y + 4, true, attention, MAP_HEAT, mean_unit(observed));
    draw_strips(canvas, x, y + 24, width, &strips, attention, MAP_HEAT);
    draw_chunks(canvas, model, observed, x, y + 24, width);
    y += 24 + STRIP_PITCH * (observed->strips + 1) + 16;
    if (!observed->gate)
        return y;
    Scale gate = scale_of(observed->gate, (size_t)layers * length, true);
    draw_heading(canvas, x, y + 14, "Update gate",
                 "mean over channels: how much of the place is made new");
    draw_scale(canvas, x + width, y + 4, true, gate, MAP_BLUE, "");
    draw_strips(canvas, x, y + 24, width, &gates, gate, MAP_BLUE);
    return y + 24 + STRIP_PITCH * layers;
}

double draw_side(Canvas *canvas, double y, const ReachRows *reach, double factor, const char *unit)
{
    if (reach->layers == 0)
        return y;
    draw_heading(canvas, PAGE_SIDE, y + 14, "Reach of the EMA", "");
    draw_reach(canvas, PAGE_SIDE, y + 24, PAGE_SIDE_WIDTH, reach, factor, unit);
    return y + 24 + STRIP_PITCH * reach->layers + REACH_FOOT;
}

void draw_positions(Canvas *canvas, double y, size_t length, const char *unit)
{
    const Plot axis = {
        canvas, PAGE_LEFT, y, PAGE_MAIN, 0, {0, (double)length, AXIS_WHOLE}, {0, 1, AXIS_PLAIN}};
    plot_across(&axis, unit);
}

/* ---- Bars ----------------------------------------------------------------------------------- */

double draw_bars(Canvas *canvas, double x, double y, const Bars *bars)
{
    const double names = bars->names;
    for (int i = 0; i < bars->count; i++, y += 22) {
        const Bar *bar = &bars->bars[i];
        const double width = fmax(bars->width * bar->value / bars->most, 1);
        TextStyle style = {.size = 12.5, .align = 1, .room = names - 8, .bold = bar->marked};
        canvas_text(canvas, x + names - 8, y + 14, style, "%s", bar->name);
        canvas_fill(canvas, x + names, y + 2, width, 16,
                    bar->marked ? map_colour(MAP_BLUE, 0.78) : map_colour(MAP_BLUE, 0.4));
        canvas_text(canvas, x + names + width + 6, y + 14,
                    (TextStyle){.size = 12, .bold = bar->marked}, "%.*f%s", bars->digits,
                    bar->value, bars->unit);
    }
    return y;
}

/* ---- Text ----------------------------------------------------------------------------------- */

void tokens_free(Tokens *tokens)
{
    for (size_t i = 0; tokens->texts && i < tokens->count; i++)
        free(tokens->texts[i]);
    free(tokens->texts);
    *tokens = (Tokens){0};
}

/* Holds what turns ids into texts. Without a vocabulary they stay numbers. */
typedef struct Names {
    MegaTextPreprocess preprocess;
    MegaVocab *vocab;
    MegaTokenizer *tokenizer; /* of byte-level tokens, whose symbols are not texts */
} Names;

static int open_names(Names *names, const MegaMeta *meta, const char *vocab_key, MegaError *err)
{
    const MegaMetaValue *tokenizer = mega_meta_find(meta, "text.tokenizer");
    const bool bytes = tokenizer && tokenizer->type == MEGA_META_STRING &&
                       strcmp(tokenizer->string, "byte_bpe") == 0;
    if (!mega_meta_find(meta, vocab_key))
        vocab_key = MEGA_VOCAB_KEY;
    int code = mega_vocab_from_meta(&names->vocab, meta, vocab_key, err);
    if (!code)
        code = mega_text_preprocess_read(&names->preprocess, meta, err);
    if (!code && bytes)
        code = mega_tokenizer_new(&names->tokenizer, meta, MEGA_TOKENIZER_TARGET, err);
    return code;
}

static void close_names(Names *names)
{
    mega_vocab_free(names->vocab);
    mega_tokenizer_free(names->tokenizer);
}

/* Appends the text of a byte-level token, in which line ends are marked unless it is one. */
static int put_decoded(const Names *names, int32_t id, MegaBuffer *out, MegaError *err)
{
    MegaBuffer text = {0};
    int code = mega_tokenizer_decode_text(names->tokenizer, &id, 1,
                                          &(MegaDecodeOptions){.keep_special = true}, &text, err);
    for (size_t i = 0; i < text.size && !code; i++)
        if (text.data[i] == '\n' && text.size > 1)
            mega_put_bytes(out, LINE_END, strlen(LINE_END));
        else
            mega_put_u8(out, text.data[i]);
    mega_buffer_free(&text);
    return code;
}

/* Makes the text of a symbol, with blanks as blanks. */
static int show_symbol(char **text, const Names *names, int32_t id, MegaError *err)
{
    const char *symbol = names->vocab ? mega_vocab_symbol(names->vocab, id) : NULL;
    char number[16];
    MegaBuffer out = {0};
    int code = 0;
    snprintf(number, sizeof number, "%d", id);
    if (symbol && names->tokenizer)
        code = put_decoded(names, id, &out, err);
    else if (symbol && names->preprocess.unit == MEGA_TEXT_SYMBOLS)
        mega_put_bytes(&out, symbol, strlen(symbol));
    else if (symbol)
        mega_text_put_symbol(&names->preprocess, names->vocab, symbol, &out);
    else
        mega_put_bytes(&out, number, strlen(number));
    mega_put_u8(&out, '\0');
    if (!code && out.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for a symbol");
    if (code)
        mega_buffer_free(&out);
    *text = (char *)out.data;
    return code;
}

int tokens_of(Tokens *out, const MegaModel *model, const char *vocab_key, const int32_t *ids,
              size_t count, bool as_numbers, MegaError *err)
{
    Names names = {.vocab = NULL};
    *out = (Tokens){0};
    int code = as_numbers ? 0 : open_names(&names, mega_model_meta(model), vocab_key, err);
    if (!code) {
        out->texts = calloc(count ? count : 1, sizeof *out->texts);
        out->characters = names.vocab && names.preprocess.unit != MEGA_TEXT_SYMBOLS;
        out->joined = out->characters || names.tokenizer;
        if (!out->texts)
            code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu symbols", count);
    }
    while (!code && out->count < count) {
        code = show_symbol(&out->texts[out->count], &names, ids[out->count], err);
        out->count += !code;
    }
    close_names(&names);
    if (code)
        tokens_free(out);
    return code;
}

double draw_tokens(Canvas *canvas, Box box, const Tokens *tokens, const Shading *shading,
                   size_t *first)
{
    const Scale scale = shading->scale;
    const double pad = tokens->joined ? 0 : 4;
    int lines = (int)lround(box.height / TOKEN_PITCH);
    double at = box.x, y = box.y;
    TextStyle style = {.size = 13, .mono = tokens->characters, .room = box.width - 2 * pad};
    for (; *first < tokens->count; (*first)++) {
        const char *text = tokens->texts[*first];
        bool line_end = strcmp(text, "\n") == 0;
        if (line_end)
            text = LINE_END;
        double wide = fmin(canvas_text_width(canvas, style, text), style.room) + 2 * pad;
        if (at + wide > box.x + box.width && at > box.x) {
            at = box.x;
            y += TOKEN_PITCH;
            lines--;
        }
        if (lines <= 0)
            return y;
        double value = (double)shading->values[*first];
        Colour ground = map_colour(shading->map, (value - scale.low) / (scale.high - scale.low));
        style.colour = colour_on(ground);
        canvas_fill(canvas, at, y, wide, TOKEN_PITCH - 3, ground);
        canvas_text(canvas, at + pad, y + 15, style, "%s", text);
        at += wide + (tokens->joined ? 0 : 2);
        if (line_end) {
            at = box.x;
            y += TOKEN_PITCH;
            lines--;
        }
    }
    return y + TOKEN_PITCH;
}

void draw_rest(Canvas *canvas, double x, double y, const Tokens *tokens, size_t drawn)
{
    if (drawn < tokens->count)
        canvas_text(canvas, x, y + 15, (TextStyle){.size = 12, .colour = COLOUR_GREY},
                    "... %zu more of %zu", tokens->count - drawn, tokens->count);
}
