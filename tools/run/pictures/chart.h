/*
 * chart.h - draws charts with axes, lines, bands and colour keys, on top of canvas.h.
 */
#ifndef MEGA_CHART_H
#define MEGA_CHART_H

#include "tools/run/pictures/canvas.h"

typedef enum AxisKind {
    AXIS_PLAIN,
    AXIS_WHOLE, /* for counts: ticks stand at whole numbers only */
    AXIS_BENT,  /* sgn(v) log10(1 + |v|), for distances that matter when small and may be large */
} AxisKind;

typedef struct Axis {
    double low, high; /* low < high */
    AxisKind kind;
} Axis;

/* Convert a value to its place along the axis, 0 to 1, and back. */
double axis_place(const Axis *axis, double value);
double axis_value(const Axis *axis, double place);

typedef struct Plot {
    Canvas *canvas;
    double x, y, width, height; /* the rectangle inside the frame */
    Axis across, up;
} Plot;

static inline Box plot_box(const Plot *plot)
{
    return (Box){plot->x, plot->y, plot->width, plot->height};
}

double plot_x(const Plot *plot, double value);
double plot_y(const Plot *plot, double value);

/* Draws the white ground, the grid and the frame. */
void plot_ground(const Plot *plot);
/* Draws the numbers of the horizontal axis and, unless it is NULL, their unit. */
void plot_across(const Plot *plot, const char *unit);
/* Draws the numbers of the vertical axis. */
void plot_up(const Plot *plot);
/* Draws a line; xs and ys are values of the axes. */
void plot_line(const Plot *plot, const double *xs, const double *ys, size_t count, LineStyle style);
/* Fills the area between two lines. */
void plot_band(const Plot *plot, const double *xs, const double *low, const double *high,
               size_t count, Colour colour);
/* Draws a dashed vertical line, unless the value lies outside the axis. */
void plot_mark(const Plot *plot, double value);

/* Draws a colour key: a strip of the colour map, `width` wide, between the labels of its two
 * ends. */
void chart_key(Canvas *canvas, double x, double y, double width, ColourMap map, const char *low,
               const char *high);
/* Draws the title of the picture and a smaller line below it, which end at CHART_TOP. */
#define CHART_TOP 78.0
#define CHART_MARGIN 50.0 /* x at which titles, and most drawings below them, begin */
void chart_title(Canvas *canvas, double width, const char *title, const char *subtitle);

/* Writes a text in lines of at most `width`, broken at blanks; y is the base line of the first one.
 * Returns the base line that the next line would have. */
double chart_lines(Canvas *canvas, double x, double y, double width, double pitch, TextStyle style,
                   const char *text);

/* Writes the label of a number, such as "0.01" or "20k", to text and returns it. */
const char *chart_number(double value, char text[16]);

#endif
