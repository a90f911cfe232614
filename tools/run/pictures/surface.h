/*
 * surface.h - what canvas.c draws on. surface_cairo.c is a file of the command, with cairo;
 * tools/web/surface.c is a canvas of a page.
 *
 * Shapes are paths: move, line, rectangle and circle add to the current one, and stroke, outline
 * and fill use it up. All numbers are finite, and all texts are UTF-8 without control characters.
 */
#ifndef MEGA_SURFACE_H
#define MEGA_SURFACE_H

#include "formats/base/bytes.h"
#include "tools/run/pictures/canvas.h"

typedef struct Surface Surface;

struct Canvas {
    Surface *surface;
    double detail;    /* pixels of a heat map per unit of length */
    MegaBuffer words; /* all text that was drawn, for readers who do not see it */
    bool failed;      /* memory ran out */
};

/* Returns a copy of a text without what a surface cannot draw, or NULL if memory ran out. */
char *canvas_printable(Canvas *canvas, const char *text);

void surface_move(Surface *surface, double x, double y);
void surface_line(Surface *surface, double x, double y);
void surface_close(Surface *surface);
void surface_rectangle(Surface *surface, double x, double y, double width, double height);
void surface_circle(Surface *surface, double x, double y, double radius);
/* Draws the path as a line whose corners are round. */
void surface_stroke(Surface *surface, Colour colour, double width, bool dashed);
/* Draws it as a line 1 wide, with the corners as they were. */
void surface_outline(Surface *surface, Colour colour);
void surface_fill(Surface *surface, Colour colour, double opacity);
/* Confines all drawing to a rectangle, until surface_unclip. */
void surface_clip(Surface *surface, double x, double y, double width, double height);
void surface_unclip(Surface *surface);

/* Selects the font that the next texts are measured and drawn in. */
void surface_font(Surface *surface, double size, bool bold, bool mono);
double surface_text_width(Surface *surface, const char *text);
/* Writes a text that begins `before` in front of x, turned around x, y by an angle in radians. */
void surface_text(Surface *surface, double x, double y, double angle, double before,
                  const char *text, Colour colour);

/* Draws pixels [height][width], 0xRRGGBB each; a pixel is `scale` wide. Returns false if memory ran
 * out. */
bool surface_pixels(Surface *surface, double x, double y, double scale, int width, int height,
                    const uint32_t *pixels);

#endif
