/*
 * canvas.c - see canvas.h.
 */
#define _GNU_SOURCE /* memmem */
#include "tools/run/pictures/canvas.h"

#include <cairo/cairo-svg.h>
#include <cairo/cairo.h>
#include <math.h>
#include <stdarg.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "formats/base/atomic_file.h"
#include "formats/base/bytes.h"

#define FONT "DejaVu Sans" /* cairo takes another font if this one is not installed */
#define FONT_MONO "DejaVu Sans Mono"
#define FONT_BYTES ((size_t)16 << 20)
#define MAX_SIDE 30000 /* most pixels of a side; cairo's limit is 32767 */
#define ELLIPSIS "\xe2\x80\xa6"

struct Canvas {
    cairo_t *cairo;
    double detail;    /* pixels of a heat map per unit of length */
    MegaBuffer words; /* all text that was drawn, for <desc> */
    bool failed;      /* memory ran out */
};

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

static void set_colour(Canvas *canvas, Colour colour)
{
    cairo_set_source_rgb(canvas->cairo, colour.red, colour.green, colour.blue);
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
    cairo_select_font_face(canvas->cairo, style.mono ? FONT_MONO : FONT, CAIRO_FONT_SLANT_NORMAL,
                           style.bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(canvas->cairo, style.size > 0 ? style.size : 13);
}

static double set_width(Canvas *canvas, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(canvas->cairo, text, &extents);
    return extents.x_advance;
}

/* Returns a copy of a text that cairo and XML accept: UTF-8 without control characters, U+FFFE and
 * U+FFFF. */
static char *printable(Canvas *canvas, const char *text)
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

/* Cuts text until it fits with an ellipsis behind it. */
static void cut_text(Canvas *canvas, char **text, double room)
{
    size_t length = strlen(*text);
    if (room <= 0 || set_width(canvas, *text) <= room)
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
        if (set_width(canvas, longer) <= room)
            return;
    }
}

double canvas_text_width(Canvas *canvas, TextStyle style, const char *text)
{
    char *clean = printable(canvas, text);
    set_font(canvas, style);
    double width = clean ? set_width(canvas, clean) : 0;
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
    char *clean = can_draw(x, y, 0, 0) ? printable(canvas, text) : NULL;
    if (!clean)
        return;
    cairo_t *cairo = canvas->cairo;
    cairo_save(cairo);
    set_font(canvas, style);
    set_colour(canvas, style.colour);
    mega_put_bytes(&canvas->words, clean, strlen(clean));
    mega_put_u8(&canvas->words, '\n');
    cut_text(canvas, &clean, style.room);
    double width = set_width(canvas, clean);
    cairo_translate(cairo, x, y);
    cairo_rotate(cairo, style.angle * 3.14159265358979323846 / 180);
    cairo_move_to(cairo, -style.align * width, 0);
    cairo_show_text(cairo, clean);
    cairo_restore(cairo);
    free(clean);
}

/* ---- Shapes --------------------------------------------------------------------------------- */

void canvas_fill(Canvas *canvas, double x, double y, double width, double height, Colour colour)
{
    if (!can_draw(x, y, width, height))
        return;
    set_colour(canvas, colour);
    cairo_rectangle(canvas->cairo, x, y, width, height);
    cairo_fill(canvas->cairo);
}

void canvas_frame(Canvas *canvas, double x, double y, double width, double height, Colour colour)
{
    set_colour(canvas, colour);
    cairo_set_line_width(canvas->cairo, 1);
    /* a line 1 pixel wide is sharp only if its middle lies on half a pixel */
    cairo_rectangle(canvas->cairo, floor(x) + 0.5, floor(y) + 0.5, round(width) - 1,
                    round(height) - 1);
    cairo_stroke(canvas->cairo);
}

static void stroke(Canvas *canvas, LineStyle style)
{
    static const double dashes[] = {5, 3};
    set_colour(canvas, style.colour);
    cairo_set_line_width(canvas->cairo, style.width > 0 ? style.width : 1);
    cairo_set_line_join(canvas->cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(canvas->cairo, dashes, style.dashed ? 2 : 0, 0);
    cairo_stroke(canvas->cairo);
    cairo_set_dash(canvas->cairo, NULL, 0, 0);
}

void canvas_line(Canvas *canvas, double x0, double y0, double x1, double y1, LineStyle style)
{
    if (!can_draw(x0, y0, x1, y1))
        return;
    cairo_move_to(canvas->cairo, x0, y0);
    cairo_line_to(canvas->cairo, x1, y1);
    stroke(canvas, style);
}

void canvas_path(Canvas *canvas, const double *xs, const double *ys, size_t count, LineStyle style)
{
    bool drawing = false;
    for (size_t i = 0; i < count; i++) {
        bool finite = isfinite(xs[i]) && isfinite(ys[i]);
        if (finite && drawing)
            cairo_line_to(canvas->cairo, xs[i], ys[i]);
        else if (finite)
            cairo_move_to(canvas->cairo, xs[i], ys[i]);
        drawing = finite;
    }
    stroke(canvas, style);
}

void canvas_area(Canvas *canvas, const double *xs, const double *ys, size_t count, Colour colour)
{
    for (size_t i = 0; i < count; i++)
        if (isfinite(xs[i]) && isfinite(ys[i]))
            cairo_line_to(canvas->cairo, xs[i], ys[i]);
    cairo_close_path(canvas->cairo);
    cairo_set_source_rgba(canvas->cairo, colour.red, colour.green, colour.blue, 0.25);
    cairo_fill(canvas->cairo);
}

void canvas_dot(Canvas *canvas, double x, double y, double radius, Colour colour)
{
    if (!can_draw(x, y, radius, 0))
        return;
    set_colour(canvas, colour);
    cairo_new_sub_path(canvas->cairo);
    cairo_arc(canvas->cairo, x, y, radius, 0, 2 * 3.14159265358979323846);
    cairo_fill(canvas->cairo);
}

void canvas_clip(Canvas *canvas, double x, double y, double width, double height)
{
    cairo_save(canvas->cairo);
    cairo_rectangle(canvas->cairo, x, y, width, height);
    cairo_clip(canvas->cairo);
}

void canvas_unclip(Canvas *canvas)
{
    cairo_restore(canvas->cairo);
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
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, w, h);
    uint8_t *data = cairo_image_surface_get_data(surface);
    if (!data) {
        canvas->failed = true;
        cairo_surface_destroy(surface);
        return;
    }
    size_t stride = (size_t)cairo_image_surface_get_stride(surface);
    for (int i = 0; i < h; i++) {
        Cells cells;
        cover((size_t)i, (size_t)h, rows, &cells.top, &cells.bottom);
        for (int j = 0; j < w; j++) {
            cover((size_t)j, (size_t)w, columns, &cells.left, &cells.right);
            uint32_t pixel = pixel_of(shade(context, cells));
            memcpy(data + (size_t)i * stride + (size_t)j * sizeof pixel, &pixel, sizeof pixel);
        }
    }
    cairo_surface_mark_dirty(surface);
    cairo_save(canvas->cairo);
    cairo_translate(canvas->cairo, floor(box.x), floor(box.y));
    cairo_scale(canvas->cairo, 1 / canvas->detail, 1 / canvas->detail);
    cairo_set_source_surface(canvas->cairo, surface, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(canvas->cairo), CAIRO_FILTER_NEAREST);
    cairo_paint(canvas->cairo);
    cairo_restore(canvas->cairo);
    cairo_surface_destroy(surface);
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

/* ---- Files ---------------------------------------------------------------------------------- */

typedef enum Format {
    FORMAT_UNKNOWN,
    FORMAT_SVG,
    FORMAT_PNG,
} Format;

static Format format_of(const char *path)
{
    const char *dot = strrchr(path, '.');
    if (dot && strcasecmp(dot, ".svg") == 0)
        return FORMAT_SVG;
    return dot && strcasecmp(dot, ".png") == 0 ? FORMAT_PNG : FORMAT_UNKNOWN;
}

int canvas_check(const char *path, MegaError *err)
{
    if (format_of(path) != FORMAT_UNKNOWN)
        return 0;
    return mega_fail(err, MEGA_ERR_ARGUMENT,
                     "'%s' is no name for a picture: it must end in .svg or .png", path);
}

static cairo_status_t collect(void *context, const unsigned char *data, unsigned size)
{
    MegaBuffer *buffer = context;
    mega_put_bytes(buffer, data, size);
    return buffer->failed ? CAIRO_STATUS_NO_MEMORY : CAIRO_STATUS_SUCCESS;
}

static void put_escaped(MegaBuffer *out, const char *text, size_t size)
{
    for (size_t i = 0; i < size; i++) {
        const char *name = text[i] == '<' ? "&lt;" : text[i] == '>' ? "&gt;"
                         : text[i] == '&' ? "&amp;" : NULL;
        if (name)
            mega_put_bytes(out, name, strlen(name));
        else
            mega_put_u8(out, (uint8_t)text[i]);
    }
}

/* Inserts the title and all text behind the <svg ...> tag, for text search and screen readers. */
static void describe_svg(const Canvas *canvas, const MegaBuffer *file, const char *title,
                         MegaBuffer *out)
{
    const char *begin = (const char *)file->data, *end = begin + file->size;
    const char *tag = file->size ? memmem(begin, file->size, "<svg", 4) : NULL;
    const char *close = tag ? memchr(tag, '>', (size_t)(end - tag)) : NULL;
    size_t head = close ? (size_t)(close + 1 - begin) : 0;
    mega_put_bytes(out, begin, head);
    if (close) {
        mega_put_bytes(out, "\n<title>", 8);
        put_escaped(out, title, strlen(title));
        mega_put_bytes(out, "</title>\n<desc>", 15);
        put_escaped(out, (const char *)canvas->words.data, canvas->words.size);
        mega_put_bytes(out, "</desc>", 7);
    }
    mega_put_bytes(out, begin + head, file->size - head);
}

static int save(const char *path, const MegaBuffer *bytes, MegaError *err)
{
    MegaOutput *output = NULL;
    int code = mega_output_open(&output, path, err);
    if (!code)
        code = mega_output_write(output, bytes->data, bytes->size, err);
    if (!code)
        code = mega_output_commit(output, err);
    mega_output_free(output);
    return code;
}

/* Draws on a surface and returns the height of the picture. */
static double run_draw(Canvas *canvas, cairo_surface_t *surface, CanvasDraw draw,
                       const void *context)
{
    cairo_font_options_t *options = cairo_font_options_create();
    cairo_font_options_set_hint_metrics(options, CAIRO_HINT_METRICS_OFF);
    cairo_font_options_set_hint_style(options, CAIRO_HINT_STYLE_NONE);
    cairo_font_options_set_antialias(options, CAIRO_ANTIALIAS_GRAY);
    canvas->cairo = cairo_create(surface);
    cairo_set_font_options(canvas->cairo, options);
    cairo_font_options_destroy(options);
    set_colour(canvas, COLOUR_WHITE);
    cairo_paint(canvas->cairo);
    canvas->words.size = 0;
    double height = draw(canvas, context);
    canvas->failed |= cairo_status(canvas->cairo) != CAIRO_STATUS_SUCCESS;
    cairo_destroy(canvas->cairo);
    return height;
}

/* Returns whether the address space has room for fonts. If cairo cannot load a font for lack of
 * memory when it ends an SVG file, it reads through a null pointer instead of failing. */
static bool has_room_for_fonts(void)
{
    void *room = mmap(NULL, FONT_BYTES, PROT_READ | PROT_WRITE, MAP_PRIVATE | MAP_ANONYMOUS, -1, 0);
    if (room == MAP_FAILED)
        return false;
    munmap(room, FONT_BYTES);
    return true;
}

int canvas_write(const char *path, const char *title, double width, CanvasDraw draw,
                 const void *context, MegaError *err)
{
    Canvas canvas = {.detail = 1};
    MegaBuffer file = {0}, described = {0};
    char *clean = printable(&canvas, title);
    bool svg = format_of(path) == FORMAT_SVG;
    int code = canvas_check(path, err);
    cairo_surface_t *surface = cairo_image_surface_create(CAIRO_FORMAT_RGB24, 1, 1);
    double height = code ? 0 : ceil(run_draw(&canvas, surface, draw, context));
    cairo_surface_destroy(surface);
    if (!code && (width > MAX_SIDE || height > MAX_SIDE))
        code = mega_fail(err, MEGA_ERR_LIMIT, "a picture of %.0f x %.0f pixels is too large", width,
                         height);
    if (!code && !has_room_for_fonts())
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for drawing %s", path);
    if (code)
        goto out;
    canvas.detail = svg ? 2 : 1;
    surface = svg ? cairo_svg_surface_create_for_stream(collect, &file, width, height)
                  : cairo_image_surface_create(CAIRO_FORMAT_RGB24, (int)width, (int)height);
    run_draw(&canvas, surface, draw, context);
    if (!svg)
        canvas.failed |= cairo_surface_write_to_png_stream(surface, collect, &file) != 0;
    cairo_surface_finish(surface);
    canvas.failed |= cairo_surface_status(surface) != CAIRO_STATUS_SUCCESS;
    cairo_surface_destroy(surface);
    if (svg && clean && !canvas.failed)
        describe_svg(&canvas, &file, clean, &described);
    if (canvas.failed || !clean || canvas.words.failed || file.failed || described.failed)
        code = mega_fail(err, MEGA_ERR_MEMORY, "no memory for drawing %s", path);
    else
        code = save(path, svg ? &described : &file, err);
out:
    free(clean);
    mega_buffer_free(&canvas.words);
    mega_buffer_free(&file);
    mega_buffer_free(&described);
    return code;
}
