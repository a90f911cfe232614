/*
 * explain_parts.c - draws strips, bars, reach and shaded text, the parts of the pictures of
 * explain; see explain.h.
 */
#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "formats/text/vocab.h"
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

/* Returns a symbol in readable form, with blanks as blanks. */
static char *show_symbol(const MegaTextFeatures *features, const MegaVocab *vocab, int32_t id)
{
    const char *symbol = vocab ? mega_vocab_symbol(vocab, id) : NULL;
    char number[16];
    MegaBuffer out = {0};
    snprintf(number, sizeof number, "%d", id);
    if (symbol && features->unit == MEGA_TEXT_SYMBOLS)
        mega_put_bytes(&out, symbol, strlen(symbol));
    else if (symbol)
        mega_text_put_symbol(features, vocab, symbol, &out);
    else
        mega_put_bytes(&out, number, strlen(number));
    mega_put_u8(&out, '\0');
    if (out.failed) {
        mega_buffer_free(&out);
        return NULL;
    }
    return (char *)out.data;
}

int tokens_of(Tokens *out, const MegaModel *model, const char *vocab_key, const int32_t *ids,
              size_t count, bool as_numbers, MegaError *err)
{
    const MegaMeta *meta = mega_model_meta(model);
    MegaTextFeatures features = {0};
    MegaVocab *vocab = NULL;
    int code = 0;
    *out = (Tokens){0};
    if (!as_numbers) {
        if (!mega_meta_find(meta, vocab_key))
            vocab_key = MEGA_VOCAB_KEY;
        code = mega_vocab_from_meta(&vocab, meta, vocab_key, err);
        if (!code)
            code = mega_text_features_read(&features, meta, err);
    }
    out->texts = code ? NULL : calloc(count ? count : 1, sizeof *out->texts);
    out->characters = vocab && features.unit != MEGA_TEXT_SYMBOLS;
    for (; out->texts && out->count < count; out->count++) {
        out->texts[out->count] = show_symbol(&features, vocab, ids[out->count]);
        if (!out->texts[out->count])
            break;
    }
    if (!code && (!out->texts || out->count < count))
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for %zu symbols", count);
    mega_vocab_free(vocab);
    if (code)
        tokens_free(out);
    return code;
}

double draw_tokens(Canvas *canvas, Box box, const Tokens *tokens, const Shading *shading,
                   size_t *first)
{
    const Scale scale = shading->scale;
    const double pad = tokens->characters ? 0 : 4;
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
        at += wide + (tokens->characters ? 0 : 2);
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
