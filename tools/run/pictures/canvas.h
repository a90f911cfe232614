/*
 * canvas.h - draws pictures into SVG or PNG files, with cairo.
 *
 * plot and explain draw through this interface. A picture is a function that draws from the top
 * down and returns its height; it is called once to measure and once to draw. Lengths are pixels of
 * a PNG at scale 1 (points of an SVG), and y grows downwards. Text may be any bytes; those that are
 * no UTF-8 become U+FFFD. An SVG draws letters as outlines, so all text also goes into its <desc>,
 * where it can be searched. Equal calls write equal files.
 */
#ifndef MEGA_CANVAS_H
#define MEGA_CANVAS_H

#include "src/mega.h"

typedef struct Canvas Canvas;

typedef struct Colour {
    double red, green, blue; /* 0 ... 1 */
} Colour;

/* These colours can be told apart by colour-blind readers, and in grey. */
#define COLOUR_BLUE ((Colour){0.00, 0.33, 0.62})
#define COLOUR_ORANGE ((Colour){0.85, 0.45, 0.05})
#define COLOUR_GREY ((Colour){0.42, 0.42, 0.45})
#define COLOUR_LIGHT ((Colour){0.87, 0.87, 0.89})
#define COLOUR_WHITE ((Colour){1, 1, 1})

/* The maps go steadily from light to dark, so that they can be read in grey, too. */
typedef enum ColourMap {
    MAP_HEAT, /* cream, orange, dark red: attention */
    MAP_BLUE, /* gates, kernels */
    MAP_GREY, /* sound and pictures */
} ColourMap;
#define MAP_COUNT (MAP_GREY + 1)
Colour map_colour(ColourMap map, double value); /* value is clamped to 0 ... 1 */
/* Returns black or white, whichever can be read on the background. */
Colour colour_on(Colour background);

/* Checks that the suffix is .svg or .png, in upper or lower case. */
int canvas_check(const char *path, MegaError *err);

/* Draws a picture and returns its height. */
typedef double (*CanvasDraw)(Canvas *canvas, const void *context);
/* Draws a picture into a file. An existing file is replaced only if all went well. `title` goes
 * into an SVG. */
int canvas_write(const char *path, const char *title, double width, CanvasDraw draw,
                 const void *context, MegaError *err);

/* Tells the canvas that a drawing function ran out of memory, so that canvas_write fails. */
void canvas_no_memory(Canvas *canvas);

typedef struct TextStyle {
    double size;   /* 0: 13 */
    double align;  /* 0: the text begins at x, 0.5: it is centred on x, 1: it ends at x */
    double room;   /* wider text is cut and ends with an ellipsis; 0: no limit */
    double angle;  /* clockwise rotation around x, y in degrees */
    Colour colour; /* zero is black */
    bool bold, mono;
} TextStyle;

/* Writes text; y is its base line. */
void canvas_text(Canvas *canvas, double x, double y, TextStyle style, const char *format, ...)
    MEGA_PRINTF(5, 6);
double canvas_text_width(Canvas *canvas, TextStyle style, const char *text);

void canvas_fill(Canvas *canvas, double x, double y, double width, double height, Colour colour);
void canvas_frame(Canvas *canvas, double x, double y, double width, double height, Colour colour);

typedef struct LineStyle {
    Colour colour;
    double width; /* 0: 1 */
    bool dashed;
} LineStyle;

void canvas_line(Canvas *canvas, double x0, double y0, double x1, double y1, LineStyle style);
/* Draws a line through the points, with a gap where a point is not finite. */
void canvas_path(Canvas *canvas, const double *xs, const double *ys, size_t count, LineStyle style);
/* Fills a polygon with a half-transparent colour. */
void canvas_area(Canvas *canvas, const double *xs, const double *ys, size_t count, Colour colour);
void canvas_dot(Canvas *canvas, double x, double y, double radius, Colour colour);

/* Clips all drawing until canvas_unclip to a rectangle. Clips do not nest. */
void canvas_clip(Canvas *canvas, double x, double y, double width, double height);
void canvas_unclip(Canvas *canvas);

typedef struct Box {
    double x, y, width, height;
} Box;

/* Draws values [rows][columns] of 0 to 1 as cells that fill the rectangle. Where several cells fall
 * on one pixel, the pixel shows their mean. Values that are not finite stay white. */
void canvas_heat(Canvas *canvas, Box box, const float *values, size_t rows, size_t columns,
                 ColourMap map);
/* Draws pixels [rows][columns][3] of 0 to 1, scaled to the rectangle by nearest neighbour. */
void canvas_image(Canvas *canvas, Box box, const float *pixels, size_t rows, size_t columns);

#endif
