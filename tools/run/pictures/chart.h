/*
 * chart.h - axes and what stands between them, over canvas.h.
 */
#ifndef MEGA_CHART_H
#define MEGA_CHART_H

#include "tools/run/pictures/canvas.h"

typedef enum AxisKind {
    AXIS_PLAIN,
    AXIS_WHOLE, /* of what is counted: no ticks between */
    AXIS_BENT,  /* sgn(v) log10(1 + |v|), for distances that matter when small and may be large */
} AxisKind;

typedef struct Axis {
    double low, high; /* low < high */
    AxisKind kind;
} Axis;

/* 0 ... 1 along the axis, and back. */
double axis_place(const Axis *axis, double value);
double axis_value(const Axis *axis, double place);

typedef struct Plot {
    Canvas *canvas;
    double x, y, width, height; /* inside the frame */
    Axis across, up;
} Plot;

double plot_x(const Plot *plot, double value);
double plot_y(const Plot *plot, double value);

/* White ground, grid, frame. */
void plot_ground(const Plot *plot);
/* Ticks with numbers below, and what they count in (NULL: nothing). */
void plot_across(const Plot *plot, const char *unit);
/* Ticks with numbers to the left. */
void plot_up(const Plot *plot);
/* xs and ys are values of the axes. */
void plot_line(const Plot *plot, const double *xs, const double *ys, size_t count, LineStyle style);
/* Between two lines. */
void plot_band(const Plot *plot, const double *xs, const double *low, const double *high,
               size_t count, Colour colour);
/* A dashed line from top to bottom; nothing beyond the axis. */
void plot_mark(const Plot *plot, double value);

/* A strip of a colour map, `width` wide, between what its ends stand for. */
void chart_key(Canvas *canvas, double x, double y, double width, ColourMap map, const char *low,
               const char *high);
/* What the picture is: the line at its top, and a smaller one below. Ends at CHART_TOP. */
#define CHART_TOP 78.0
#define CHART_MARGIN 50.0 /* where titles, and most of what is below them, begin */
void chart_title(Canvas *canvas, double width, const char *title, const char *subtitle);

/* A text in lines of at most `width`, broken at blanks, the first one's base line at y. Returns
 * that of the line behind the last one. */
double chart_lines(Canvas *canvas, double x, double y, double width, double pitch, TextStyle style,
                   const char *text);

/* The label of a number, such as "0.01" or "20k". */
const char *chart_number(double value, char text[16]);

#endif
