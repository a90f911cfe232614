/*
 * canvas.c - draws texts, shapes and pixels on a surface (surface.h); see canvas.h.
 */
#include "tools/run/pictures/canvas.h"

#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#include "src/base/utf8.h"
#include "tools/run/pictures/surface.h"

#define MAX_SIDE 30000 /* most pixels of a side of a heat map */
#define ELLIPSIS "\xe2\x80\xa6"

/* ---- Colours -------------------------------------------------------------------------------- */

#define STOPS 5

static const Colour stops[][STOPS] = {
    [MAP_HEAT] = {{1.00, 0.985, 0.93}, {0.98, 0.82, 0.46}, {0.89, 0.50, 0.27}, {0.62, 0.22, 0.27},
                  {0.17, 0.06, 0.09}},
    [MAP_BLUE] = {{0.97, 0.985, 1.00}, {0.76, 0.86, 0.94}, {0.42, 0.66, 0.84}, {0.13, 0.42, 0.71},
                  {0.02, 0.16, 0.36}},
    [MAP_GREY] = {{1, 1, 1}, {0.75, 0.75, 0.75}, {0.5, 0.5, 0.5}, {0.25, 0.25, 0.25}, {0, 0, 0}},
};
_Static_assert(sizeof stops / sizeof stops[0] == MAP_COUNT, "a colour map has no colours");

Colour map_colour(ColourMap map, double value)
{
    double at = (value > 0 ? value < 1 ? value : 1 : 0) * (STOPS - 1);
    int first = at < STOPS - 1 ? (int)at : STOPS - 2;
    const Colour *a = &stops[map][first], *b = a + 1;
    double share = at - first;
    return (Colour){a->red + share * (b->red - a->red), a->green + share * (b->green - a->green),
                    a->blue + share * (b->blue - a->blue)};
}

Colour colour_on(Colour background)
{
    double light = 0.3 * background.red + 0.59 * background.green + 0.11 * background.blue;
    return light > 0.55 ? (Colour){0, 0, 0} : COLOUR_WHITE;
}

void canvas_no_memory(Canvas *canvas)
{
    canvas->failed = true;
}

/* Returns whether all numbers are finite. Damaged models have others, and after one of those every
 * further call of cairo would fail. */
static bool can_draw(double x, double y, double width, double height)
{
    return isfinite(x) && isfinite(y) && isfinite(width) && isfinite(height);
}

/* ---- Text ----------------------------------------------------------------------------------- */

static void set_font(Canvas *canvas, TextStyle style)
{
    surface_font(canvas->surface, style.size > 0 ? style.size : 13, style.bold, style.mono);
}

/* What surfaces and XML accept is UTF-8 without control characters, U+FFFE and U+FFFF. */
char *canvas_printable(Canvas *canvas, const char *text)
{
    MegaBuffer clean = {0};
    mega_utf8_repair(text, strlen(text), &clean);
    for (size_t i = 0; i < clean.size; i++)
        if (clean.data[i] < ' ' || clean.data[i] == 0x7f)
            clean.data[i] = ' ';
        else if (i >= 2 && clean.data[i] >= 0xbe && clean.data[i - 1] == 0xbf &&
                 clean.data[i - 2] == 0xef)
            clean.data[i] = 0xbd; /* U+FFFD */
    mega_put_u8(&clean, '\0');
    if (clean.failed) {
        canvas->failed = true;
        mega_buffer_free(&clean);
        return NULL;
    }
    return (char *)clean.data;
}

/* Cuts text until it fits with an ellipsis after it. */
static void cut_text(Canvas *canvas, char **text, double room)
{
    size_t length = strlen(*text);
    if (room <= 0 || surface_text_width(canvas->surface, *text) <= room)
        return;
    char *longer = realloc(*text, length + sizeof ELLIPSIS);
    if (!longer) {
        canvas->failed = true;
        return;
    }
    *text = longer;
    while (length > 0) {
        do
            length--;
        while (length > 0 && ((unsigned char)longer[length] & 0xc0) == 0x80);
        memcpy(longer + length, ELLIPSIS, sizeof ELLIPSIS);
        if (surface_text_width(canvas->surface, longer) <= room)
            return;
    }
}

double canvas_text_width(Canvas *canvas, TextStyle style, const char *text)
{
    char *clean = canvas_printable(canvas, text);
    set_font(canvas, style);
    double width = clean ? surface_text_width(canvas->surface, clean) : 0;
    free(clean);
    return width;
}

void canvas_text(Canvas *canvas, double x, double y, TextStyle style, const char *format, ...)
{
    char text[1024];
    va_list args;
    va_start(args, format);
    vsnprintf(text, sizeof text, format, args);
    va_end(args);
    char *clean = can_draw(x, y, 0, 0) ? canvas_printable(canvas, text) : NULL;
    if (!clean)
        return;
    set_font(canvas, style);
    mega_put_bytes(&canvas->words, clean, strlen(clean));
    mega_put_u8(&canvas->words, '\n');
    cut_text(canvas, &clean, style.room);
    double width = surface_text_width(canvas->surface, clean);
    surface_text(canvas->surface, x, y, style.angle * 3.14159265358979323846 / 180,
                 style.align * width, clean, style.colour);
    free(clean);
}

/* ---- Shapes --------------------------------------------------------------------------------- */

void canvas_fill(Canvas *canvas, double x, double y, double width, double height, Colour colour)
{
    if (!can_draw(x, y, width, height))
        return;
    surface_rectangle(canvas->surface, x, y, width, height);
    surface_fill(canvas->surface, colour, 1);
}

void canvas_frame(Canvas *canvas, double x, double y, double width, double height, Colour colour)
{
    if (!can_draw(x, y, width, height))
        return;
    /* a line 1 pixel wide is sharp only if its middle lies on half a pixel */
    surface_rectangle(canvas->surface, floor(x) + 0.5, floor(y) + 0.5, round(width) - 1,
                      round(height) - 1);
    surface_outline(canvas->surface, colour);
}

static void stroke(Canvas *canvas, LineStyle style)
{
    surface_stroke(canvas->surface, style.colour, style.width > 0 ? style.width : 1, style.dashed);
}

void canvas_line(Canvas *canvas, double x0, double y0, double x1, double y1, LineStyle style)
{
    if (!can_draw(x0, y0, x1, y1))
        return;
    surface_move(canvas->surface, x0, y0);
    surface_line(canvas->surface, x1, y1);
    stroke(canvas, style);
}

void canvas_path(Canvas *canvas, const double *xs, const double *ys, size_t count, LineStyle style)
{
    bool drawing = false;
    for (size_t i = 0; i < count; i++) {
        bool finite = isfinite(xs[i]) && isfinite(ys[i]);
        if (finite && drawing)
            surface_line(canvas->surface, xs[i], ys[i]);
        else if (finite)
            surface_move(canvas->surface, xs[i], ys[i]);
        drawing = finite;
    }
    stroke(canvas, style);
}

void canvas_area(Canvas *canvas, const double *xs, const double *ys, size_t count, Colour colour)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(xs[i]) && isfinite(ys[i]))
            surface_line(canvas->surface, xs[i], ys[i]);
    surface_close(canvas->surface);
    surface_fill(canvas->surface, colour, 0.25);
}

void canvas_dot(Canvas *canvas, double x, double y, double radius, Colour colour)
{
    if (!can_draw(x, y, radius, 0))
        return;
    surface_circle(canvas->surface, x, y, radius);
    surface_fill(canvas->surface, colour, 1);
}

void canvas_clip(Canvas *canvas, double x, double y, double width, double height)
{
    surface_clip(canvas->surface, x, y, width, height);
}

void canvas_unclip(Canvas *canvas)
{
    surface_unclip(canvas->surface);
}

/* ---- Pixels --------------------------------------------------------------------------------- */

/* The range of cells, the values of a heat map or the pixels of an image, that one output pixel
 * shows. */
typedef struct Cells {
    size_t top, bottom, left, right; /* inclusive */
} Cells;
typedef Colour (*Shade)(const void *context, Cells cells);

/* Finds which of `cells` source cells the output pixel i of `count` covers. */
static void cover(size_t i, size_t count, size_t cells, size_t *first, size_t *last)
{
    size_t end = ((i + 1) * cells + count - 1) / count;
    *first = i * cells / count;
    /* cells are at least a pixel wide, so take the one under the pixel's middle */
    if (cells <= count)
        *first = *last = (2 * i + 1) * cells / (2 * count);
    else
        *last = end > *first + 1 ? end - 1 : *first;
}

static uint32_t pixel_of(Colour colour)
{
    uint32_t red = (uint32_t)lround(255 * colour.red), green = (uint32_t)lround(255 * colour.green);
    return red << 16 | green << 8 | (uint32_t)lround(255 * colour.blue);
}

static void put_pixels(Canvas *canvas, Box box, size_t rows, size_t columns, Shade shade,
                       const void *context)
{
    int w = (int)lround(box.width * canvas->detail), h = (int)lround(box.height * canvas->detail);
    if (w < 1 || h < 1 || rows < 1 || columns < 1 || w > MAX_SIDE || h > MAX_SIDE)
        return;
    uint32_t *pixels = malloc((size_t)w * (size_t)h * sizeof *pixels);
    if (!pixels) {
        canvas->failed = true;
        return;
    }
    for (int i = 0; i < h; i++) {
        Cells cells;
        cover((size_t)i, (size_t)h, rows, &cells.top, &cells.bottom);
        for (int j = 0; j < w; j++) {
            cover((size_t)j, (size_t)w, columns, &cells.left, &cells.right);
            pixels[(size_t)i * (size_t)w + (size_t)j] = pixel_of(shade(context, cells));
        }
    }
    if (!surface_pixels(canvas->surface, floor(box.x), floor(box.y), 1 / canvas->detail, w, h,
                        pixels))
        canvas->failed = true;
    free(pixels);
}

typedef struct Heat {
    const float *values;
    size_t columns;
    ColourMap map;
} Heat;

static Colour shade_heat(const void *context, Cells cells)
{
    const Heat *heat = context;
    double sum = 0;
    size_t count = 0;
    for (size_t i = cells.top; i <= cells.bottom; i++)
        for (size_t j = cells.left; j <= cells.right; j++) {
            double value = (double)heat->values[i * heat->columns + j];
            if (isfinite(value)) {
                sum += value;
                count++;
            }
        }
    return count ? map_colour(heat->map, sum / (double)count) : COLOUR_WHITE;
}

void canvas_heat(Canvas *canvas, Box box, const float *values, size_t rows, size_t columns,
                 ColourMap map)
{
    Heat heat = {values, columns, map};
    put_pixels(canvas, box, rows, columns, shade_heat, &heat);
}

static double bounded(float value)
{
    return value > 0 ? value < 1 ? (double)value : 1 : 0;
}

static Colour shade_image(const void *context, Cells cells)
{
    const Heat *image = context;
    const float *pixel = image->values + 3 * (cells.top * image->columns + cells.left);
    return (Colour){bounded(pixel[0]), bounded(pixel[1]), bounded(pixel[2])};
}

void canvas_image(Canvas *canvas, Box box, const float *pixels, size_t rows, size_t columns)
{
    Heat image = {.values = pixels, .columns = columns};
    put_pixels(canvas, box, rows, columns, shade_image, &image);
}
