/*
 * chart.c - see chart.h.
 */
#include "tools/run/pictures/chart.h"

#include <math.h>
#include <stdio.h>
#include <stdlib.h>
#include <string.h>

#define TICK_SIZE 10.5
#define MOST_TICKS 24

static double bend(const Axis *axis, double value)
{
    return axis->kind == AXIS_BENT ? copysign(log10(1 + fabs(value)), value) : value;
}

double axis_place(const Axis *axis, double value)
{
    double low = bend(axis, axis->low), high = bend(axis, axis->high);
    return (bend(axis, value) - low) / (high - low);
}

double axis_value(const Axis *axis, double place)
{
    double low = bend(axis, axis->low), high = bend(axis, axis->high);
    double value = low + place * (high - low);
    return axis->kind == AXIS_BENT ? copysign(pow(10, fabs(value)) - 1, value) : value;
}

double plot_x(const Plot *plot, double value)
{
    return plot->x + plot->width * axis_place(&plot->across, value);
}

double plot_y(const Plot *plot, double value)
{
    return plot->y + plot->height * (1 - axis_place(&plot->up, value));
}

const char *chart_number(double value, char text[16])
{
    double size = fabs(value);
    if (size < 1e-12)
        snprintf(text, 16, "0");
    else if (size >= 10000)
        snprintf(text, 16, "%.4gk", value / 1000);
    else
        snprintf(text, 16, "%.4g", value);
    return text;
}

/* ---- Ticks ---------------------------------------------------------------------------------- */

/* Returns the distance of ticks: 1, 2 or 5 times a power of ten, so that there are at most `most`
 * steps. */
static double nice_step(double range, double most)
{
    double raw = range / most, power = pow(10, floor(log10(raw)));
    double lead = raw / power;
    return power * (lead <= 1 ? 1 : lead <= 2 ? 2 : lead <= 5 ? 5 : 10);
}

static size_t plain_ticks(const Axis *axis, double most, double *ticks)
{
    double step = nice_step(axis->high - axis->low, most);
    if (axis->kind == AXIS_WHOLE && step < 1)
        step = 1;
    size_t count = 0;
    for (double i = ceil(axis->low / step - 1e-9); i * step <= axis->high + 1e-9 * step; i++)
        if (count < MOST_TICKS)
            ticks[count++] = i * step;
    return count;
}

/* Places ticks at 0 and at powers of ten on both sides, in ascending order. */
static size_t bent_ticks(const Axis *axis, double *ticks)
{
    size_t count = 0;
    for (int power = 7; power >= 0; power--)
        if (-pow(10, power) >= axis->low)
            ticks[count++] = -pow(10, power);
    if (axis->low <= 0)
        ticks[count++] = 0;
    for (int power = 0; power <= 7; power++)
        if (pow(10, power) <= axis->high && pow(10, power) >= axis->low)
            ticks[count++] = pow(10, power);
    return count;
}

static size_t find_ticks(const Axis *axis, double most, double *ticks)
{
    return axis->kind == AXIS_BENT ? bent_ticks(axis, ticks) : plain_ticks(axis, most, ticks);
}

static size_t ticks_across(const Plot *plot, double *ticks)
{
    return find_ticks(&plot->across, fmax(2, floor(plot->width / 55)), ticks);
}

static size_t ticks_up(const Plot *plot, double *ticks)
{
    return find_ticks(&plot->up, fmax(2, floor(plot->height / 24)), ticks);
}

/* ---- Drawing -------------------------------------------------------------------------------- */

void plot_ground(const Plot *plot)
{
    double ticks[MOST_TICKS];
    LineStyle grid = {.colour = {0.92, 0.92, 0.93}};
    size_t count = ticks_across(plot, ticks);
    for (size_t i = 0; i < count; i++) {
        double x = floor(plot_x(plot, ticks[i])) + 0.5;
        canvas_line(plot->canvas, x, plot->y, x, plot->y + plot->height, grid);
    }
    count = ticks_up(plot, ticks);
    for (size_t i = 0; i < count; i++) {
        double y = floor(plot_y(plot, ticks[i])) + 0.5;
        canvas_line(plot->canvas, plot->x, y, plot->x + plot->width, y, grid);
    }
    canvas_frame(plot->canvas, plot->x, plot->y, plot->width, plot->height, COLOUR_LIGHT);
}

void plot_across(const Plot *plot, const char *unit)
{
    double ticks[MOST_TICKS], bottom = plot->y + plot->height, free_from = -INFINITY;
    size_t count = ticks_across(plot, ticks);
    TextStyle style = {.size = TICK_SIZE, .align = 0.5, .colour = COLOUR_GREY};
    char text[16];
    for (size_t i = 0; i < count; i++) {
        double x = plot_x(plot, ticks[i]);
        canvas_line(plot->canvas, x, bottom, x, bottom + 4, (LineStyle){.colour = COLOUR_GREY});
        double half = canvas_text_width(plot->canvas, style, chart_number(ticks[i], text)) / 2;
        if (x - half < free_from) /* skip the number, since there is no room for it */
            continue;
        canvas_text(plot->canvas, x, bottom + 15, style, "%s", text);
        free_from = x + half + 4;
    }
    if (unit)
        canvas_text(plot->canvas, plot->x + plot->width / 2, bottom + 30,
                    (TextStyle){.size = 11.5, .align = 0.5}, "%s", unit);
}

void plot_up(const Plot *plot)
{
    double ticks[MOST_TICKS];
    size_t count = ticks_up(plot, ticks);
    TextStyle style = {.size = TICK_SIZE, .align = 1, .colour = COLOUR_GREY};
    char text[16];
    for (size_t i = 0; i < count; i++)
        canvas_text(plot->canvas, plot->x - 5, plot_y(plot, ticks[i]) + 4, style, "%s",
                    chart_number(ticks[i], text));
}

static double *places(const Plot *plot, const double *values, size_t count, bool up)
{
    double *out = malloc((count ? count : 1) * sizeof *out);
    for (size_t i = 0; out && i < count; i++)
        out[i] = up ? plot_y(plot, values[i]) : plot_x(plot, values[i]);
    return out;
}

void plot_line(const Plot *plot, const double *xs, const double *ys, size_t count, LineStyle style)
{
    double *x = places(plot, xs, count, false), *y = places(plot, ys, count, true);
    if (x && y) {
        canvas_clip(plot->canvas, plot->x, plot->y - 1, plot->width, plot->height + 2);
        canvas_path(plot->canvas, x, y, count, style);
        canvas_unclip(plot->canvas);
    } else {
        canvas_no_memory(plot->canvas);
    }
    free(x);
    free(y);
}

void plot_band(const Plot *plot, const double *xs, const double *low, const double *high,
               size_t count, Colour colour)
{
    double *x = malloc(2 * count * sizeof *x), *y = malloc(2 * count * sizeof *y);
    for (size_t i = 0; x && y && i < count; i++) {
        x[i] = x[2 * count - 1 - i] = plot_x(plot, xs[i]);
        y[i] = plot_y(plot, low[i]);
        y[2 * count - 1 - i] = plot_y(plot, high[i]);
    }
    if (x && y) {
        canvas_clip(plot->canvas, plot->x, plot->y - 1, plot->width, plot->height + 2);
        canvas_area(plot->canvas, x, y, 2 * count, colour);
        canvas_unclip(plot->canvas);
    } else {
        canvas_no_memory(plot->canvas);
    }
    free(x);
    free(y);
}

void plot_mark(const Plot *plot, double value)
{
    if (value < plot->across.low || value > plot->across.high)
        return;
    double x = plot_x(plot, value);
    canvas_line(plot->canvas, x, plot->y, x, plot->y + plot->height,
                (LineStyle){.colour = COLOUR_GREY, .width = 1.2, .dashed = true});
}

void chart_key(Canvas *canvas, double x, double y, double width, ColourMap map, const char *low,
               const char *high)
{
    float ramp[64];
    TextStyle style = {.size = 11};
    double left = canvas_text_width(canvas, style, low) + 6;
    for (int i = 0; i < 64; i++)
        ramp[i] = (float)i / 63.0f;
    canvas_text(canvas, x, y + 9, style, "%s", low);
    canvas_heat(canvas, (Box){x + left, y, width, 10}, ramp, 1, 64, map);
    canvas_frame(canvas, x + left, y, width, 10, COLOUR_LIGHT);
    canvas_text(canvas, x + left + width + 6, y + 9, style, "%s", high);
}

/* Returns how many bytes of a text make up its first line. The line ends at a blank if there is one
 * within `width`, and has at least one character. */
static size_t first_line(Canvas *canvas, double width, TextStyle style, const char *text)
{
    char line[512];
    size_t fitting = 0, blank = 0;
    for (size_t n = 1; n < sizeof line; n++) {
        if (((unsigned char)text[n] & 0xc0) == 0x80) /* n is inside a character */
            continue;
        memcpy(line, text, n);
        line[n] = '\0';
        if (fitting && canvas_text_width(canvas, style, line) > width)
            break;
        fitting = n;
        if (text[n] == ' ' || text[n] == '\0')
            blank = n;
        if (text[n] == '\0')
            break;
    }
    return blank ? blank : fitting;
}

double chart_lines(Canvas *canvas, double x, double y, double width, double pitch, TextStyle style,
                   const char *text)
{
    while (*text) {
        const size_t length = first_line(canvas, width, style, text);
        canvas_text(canvas, x, y, style, "%.*s", (int)length, text);
        text += length;
        while (*text == ' ')
            text++;
        y += pitch;
    }
    return y;
}

void chart_title(Canvas *canvas, double width, const char *title, const char *subtitle)
{
    TextStyle bold = {.size = 21, .bold = true, .room = width - 2 * CHART_MARGIN};
    while (bold.size > 15 && canvas_text_width(canvas, bold, title) > bold.room)
        bold.size -= 1;
    canvas_text(canvas, CHART_MARGIN, 40, bold, "%s", title);
    canvas_text(canvas, CHART_MARGIN, 62,
                (TextStyle){.size = 13, .colour = COLOUR_GREY, .room = width - 2 * CHART_MARGIN},
                "%s", subtitle);
}
