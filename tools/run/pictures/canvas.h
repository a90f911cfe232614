/*
 * canvas.h - pictures as SVG or PNG files, drawn with cairo.
 *
 * The last step of plot and explain. A picture is a function that draws from the top down and
 * returns how high it became; it is called once to measure and once to draw. Lengths are pixels of
 * a PNG at scale 1 (points of an SVG), y grows downwards. Text may be any bytes: what is no UTF-8
 * becomes U+FFFD. All text also goes into the <desc> of an SVG, whose letters are outlines.
 * The same calls make the same file.
 */
#ifndef MEGA_CANVAS_H
#define MEGA_CANVAS_H

#include "src/mega.h"

typedef struct Canvas Canvas;

typedef struct Colour {
    double red, green, blue; /* 0 ... 1 */
} Colour;

/* Apart for people who see red and green alike, and in grey. */
#define COLOUR_BLUE ((Colour){0.00, 0.33, 0.62})
#define COLOUR_ORANGE ((Colour){0.85, 0.45, 0.05})
#define COLOUR_GREY ((Colour){0.42, 0.42, 0.45})
#define COLOUR_LIGHT ((Colour){0.87, 0.87, 0.89})
#define COLOUR_WHITE ((Colour){1, 1, 1})

/* From light to dark without turning back, so that they read in grey as well. */
typedef enum ColourMap {
    MAP_HEAT, /* cream, orange, dark red: attention */
    MAP_BLUE, /* gates, kernels */
    MAP_GREY, /* sound and pictures */
} ColourMap;
#define MAP_COUNT (MAP_GREY + 1)
Colour map_colour(ColourMap map, double value); /* of 0 ... 1; beyond, the ends */
/* Black or white, whichever can be read on it. */
Colour colour_on(Colour background);

/* Checks the suffix: .svg or .png, in any case of letters. */
int canvas_check(const char *path, MegaError *err);

/* Returns the height. */
typedef double (*CanvasDraw)(Canvas *canvas, const void *context);
/* The file is there when all went well, or is left as it was. title: of an SVG. */
int canvas_write(const char *path, const char *title, double width, CanvasDraw draw,
                 const void *context, MegaError *err);

/* For those who draw and run out of memory: canvas_write will fail. */
void canvas_no_memory(Canvas *canvas);

typedef struct TextStyle {
    double size;   /* 0: 13 */
    double align;  /* 0 left, 0.5 centre, 1 right of x */
    double room;   /* what is wider is cut, with an ellipsis; 0: any width */
    double angle;  /* degrees, clockwise around x, y */
    Colour colour; /* black */
    bool bold, mono;
} TextStyle;

/* y: of the base line. */
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
/* Breaks where a point is not finite. */
void canvas_path(Canvas *canvas, const double *xs, const double *ys, size_t count, LineStyle style);
/* A filled area, let through by half. */
void canvas_area(Canvas *canvas, const double *xs, const double *ys, size_t count, Colour colour);
void canvas_dot(Canvas *canvas, double x, double y, double radius, Colour colour);

/* All that is drawn until canvas_unclip stays inside. They do not nest. */
void canvas_clip(Canvas *canvas, double x, double y, double width, double height);
void canvas_unclip(Canvas *canvas);

/* values [rows][columns], 0 ... 1: cells as wide as there is room for; where several fall on one
 * pixel their mean. What is not finite is left white. */
void canvas_heat(Canvas *canvas, double x, double y, double width, double height,
                 const float *values, size_t rows, size_t columns, ColourMap map);
/* pixels [rows][columns][3] of 0 ... 1, the nearest one at every place. */
void canvas_image(Canvas *canvas, double x, double y, double width, double height,
                  const float *pixels, size_t rows, size_t columns);

#endif
