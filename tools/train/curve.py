"""Draws the curve of a training run: the loss and the figures of validation over the minutes."""

import math
from xml.sax.saxutils import escape

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 180, 60, 20, 30, 30
COLOURS = ('#888888', '#1f5fa8', '#b3541e', '#3d7a3d', '#7d4a99')


def ticks(low, high, count=5):
    """About ``count`` round numbers from low to high."""
    span = (high - low) or abs(high) or 1.0
    step = 10 ** math.floor(math.log10(span / count))
    step *= next(factor for factor in (1, 2, 5, 10) if span / (step * factor) <= count)
    first, last = math.ceil(low / step - 1e-9), math.floor(high / step + 1e-9)
    return [i * step for i in range(first, last + 1)]


def _panel(name, points, last, top, colour):
    """One figure over time: a frame with ticks, a line, and a dot and a number at its end."""
    values = [value for _, value in points]
    low, high = min(values), max(values)
    if low == high:
        low, high = low - 0.5, high + 0.5

    def x(minutes):
        return LEFT + (WIDTH - LEFT - RIGHT) * minutes / last

    def y(value):
        return top + TOP + (HEIGHT - TOP - BOTTOM) * (high - value) / (high - low)

    parts = [f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{escape(name)}</text>']
    for value in ticks(low, high):
        parts.append(f'<line x1="{LEFT}" x2="{WIDTH - RIGHT}" y1="{y(value):.1f}" '
                     f'y2="{y(value):.1f}" stroke="#dddddd"/><text x="{LEFT - 6}" '
                     f'y="{y(value) + 4:.1f}" text-anchor="end">{value:.6g}</text>')
    for minutes in ticks(0.0, last, 8):
        parts.append(f'<text x="{x(minutes):.1f}" y="{top + HEIGHT - BOTTOM + 18}" '
                     f'text-anchor="middle">{minutes:.6g}</text>')
    line = ' '.join(f'{x(minutes):.1f},{y(value):.1f}' for minutes, value in points)
    parts.append(f'<polyline points="{line}" fill="none" stroke="{colour}" stroke-width="2"/>')
    end, value = points[-1]
    parts.append(f'<circle cx="{x(end):.1f}" cy="{y(value):.1f}" r="3" fill="{colour}"/>'
                 f'<text x="{WIDTH - RIGHT}" y="{top + 20}" text-anchor="end" fill="{colour}">'
                 f'{value:.4g} after {end:.3g} minutes</text>')
    return parts


def draw(history, path):
    """Write the curve as SVG. ``history`` has a dict of minutes and figures for each report."""
    names = [name for name in dict.fromkeys(name for row in history for name in row)
             if name != 'minutes']
    last = max(max(row['minutes'] for row in history), 1e-6)
    height = HEIGHT * len(names) + 20
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
             'font-family="sans-serif" font-size="12">',
             f'<rect width="{WIDTH}" height="{height}" fill="white"/>']
    for i, name in enumerate(names):
        points = [(row['minutes'], row[name]) for row in history
                  if math.isfinite(row.get(name, math.nan))]
        if points:
            parts += _panel(name, points, last, i * HEIGHT, COLOURS[i % len(COLOURS)])
    parts.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{height - 6}" text-anchor="middle">'
                 'minutes of training</text></svg>')
    path.write_text('\n'.join(parts) + '\n', encoding='utf-8')
