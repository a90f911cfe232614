/*
 * surface_cairo.c - draws pictures into SVG and PNG files, with cairo; see surface.h.
 */
#define _GNU_SOURCE /* memmem */
#include <cairo/cairo-svg.h>
#include <cairo/cairo.h>
#include <math.h>
#include <stdlib.h>
#include <string.h>
#include <strings.h>
#include <sys/mman.h>

#include "formats/base/atomic_file.h"
#include "tools/run/pictures/surface.h"

#define FONT "DejaVu Sans" /* cairo takes another font if this one is not installed */
#define FONT_MONO "DejaVu Sans Mono"
#define FONT_BYTES ((size_t)16 << 20)
#define MAX_SIDE 30000 /* most pixels of a side; cairo's limit is 32767 */

/* ---- Drawing -------------------------------------------------------------------------------- */

/* A surface is cairo's own context. */
static cairo_t *cairo_of(Surface *surface)
{
    return (cairo_t *)surface;
}

static void set_colour(Surface *surface, Colour colour)
{
    cairo_set_source_rgb(cairo_of(surface), colour.red, colour.green, colour.blue);
}

void surface_move(Surface *surface, double x, double y)
{
    cairo_move_to(cairo_of(surface), x, y);
}

void surface_line(Surface *surface, double x, double y)
{
    cairo_line_to(cairo_of(surface), x, y);
}

void surface_close(Surface *surface)
{
    cairo_close_path(cairo_of(surface));
}

void surface_rectangle(Surface *surface, double x, double y, double width, double height)
{
    cairo_rectangle(cairo_of(surface), x, y, width, height);
}

void surface_circle(Surface *surface, double x, double y, double radius)
{
    cairo_new_sub_path(cairo_of(surface));
    cairo_arc(cairo_of(surface), x, y, radius, 0, 2 * 3.14159265358979323846);
}

void surface_stroke(Surface *surface, Colour colour, double width, bool dashed)
{
    static const double dashes[] = {5, 3};
    cairo_t *cairo = cairo_of(surface);
    set_colour(surface, colour);
    cairo_set_line_width(cairo, width);
    cairo_set_line_join(cairo, CAIRO_LINE_JOIN_ROUND);
    cairo_set_dash(cairo, dashes, dashed ? 2 : 0, 0);
    cairo_stroke(cairo);
    cairo_set_dash(cairo, NULL, 0, 0);
}

void surface_outline(Surface *surface, Colour colour)
{
    set_colour(surface, colour);
    cairo_set_line_width(cairo_of(surface), 1);
    cairo_stroke(cairo_of(surface));
}

void surface_fill(Surface *surface, Colour colour, double opacity)
{
    if (opacity < 1)
        cairo_set_source_rgba(cairo_of(surface), colour.red, colour.green, colour.blue, opacity);
    else
        set_colour(surface, colour);
    cairo_fill(cairo_of(surface));
}

void surface_clip(Surface *surface, double x, double y, double width, double height)
{
    cairo_save(cairo_of(surface));
    cairo_rectangle(cairo_of(surface), x, y, width, height);
    cairo_clip(cairo_of(surface));
}

void surface_unclip(Surface *surface)
{
    cairo_restore(cairo_of(surface));
}

void surface_font(Surface *surface, double size, bool bold, bool mono)
{
    cairo_select_font_face(cairo_of(surface), mono ? FONT_MONO : FONT, CAIRO_FONT_SLANT_NORMAL,
                           bold ? CAIRO_FONT_WEIGHT_BOLD : CAIRO_FONT_WEIGHT_NORMAL);
    cairo_set_font_size(cairo_of(surface), size);
}

double surface_text_width(Surface *surface, const char *text)
{
    cairo_text_extents_t extents;
    cairo_text_extents(cairo_of(surface), text, &extents);
    return extents.x_advance;
}

void surface_text(Surface *surface, double x, double y, double angle, double before,
                  const char *text, Colour colour)
{
    cairo_t *cairo = cairo_of(surface);
    cairo_save(cairo);
    set_colour(surface, colour);
    cairo_translate(cairo, x, y);
    cairo_rotate(cairo, angle);
    cairo_move_to(cairo, -before, 0);
    cairo_show_text(cairo, text);
    cairo_restore(cairo);
}

bool surface_pixels(Surface *surface, double x, double y, double scale, int width, int height,
                    const uint32_t *pixels)
{
    cairo_t *cairo = cairo_of(surface);
    cairo_surface_t *image = cairo_image_surface_create(CAIRO_FORMAT_RGB24, width, height);
    uint8_t *data = cairo_image_surface_get_data(image);
    if (!data) {
        cairo_surface_destroy(image);
        return false;
    }
    const size_t stride = (size_t)cairo_image_surface_get_stride(image);
    for (int i = 0; i < height; i++)
        memcpy(data + (size_t)i * stride, pixels + (size_t)i * (size_t)width,
               (size_t)width * sizeof *pixels);
    cairo_surface_mark_dirty(image);
    cairo_save(cairo);
    cairo_translate(cairo, x, y);
    cairo_scale(cairo, scale, scale);
    cairo_set_source_surface(cairo, image, 0, 0);
    cairo_pattern_set_filter(cairo_get_source(cairo), CAIRO_FILTER_NEAREST);
    cairo_paint(cairo);
    cairo_restore(cairo);
    cairo_surface_destroy(image);
    return true;
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
                     "'%s' is not a name for a picture: it must end in .svg or .png", path);
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

/* Inserts the title and all text after the <svg ...> tag, for text search and screen readers. */
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
    MegaAtomicFile *output = NULL;
    int code = mega_atomic_file_open(&output, path, err);
    if (!code)
        code = mega_atomic_file_write(output, bytes->data, bytes->size, err);
    if (!code)
        code = mega_atomic_file_commit(output, err);
    mega_atomic_file_free(output);
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
    cairo_t *cairo = cairo_create(surface);
    cairo_set_font_options(cairo, options);
    cairo_font_options_destroy(options);
    cairo_set_source_rgb(cairo, 1, 1, 1);
    cairo_paint(cairo);
    canvas->surface = (Surface *)cairo;
    canvas->words.size = 0;
    double height = draw(canvas, context);
    canvas->failed |= cairo_status(cairo) != CAIRO_STATUS_SUCCESS;
    cairo_destroy(cairo);
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
    char *clean = canvas_printable(&canvas, title);
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
