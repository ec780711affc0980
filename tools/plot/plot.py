#!/usr/bin/env python3
"""Draws what `verbatim bench --json` measured as SVG, with nothing but Python's standard library.

  plot.py OUT_PREFIX LABEL=FILE.json [LABEL=FILE.json ...]

Writes OUT_PREFIX-cost.svg, the time of T tokens together over the time of one, c(T)/c(1), and OUT_PREFIX-speedup.svg, the
speed-up of speculation over the draft length, with what acceptance and costs predict as a dashed line. A file without
speculation gives no line in the second.
"""
import html
import json
import math
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 400, 60, 170, 40, 50
COLOURS = ("#1b6ca8", "#c8553d", "#3a7d44", "#8d5a97", "#b8860b", "#444444")  # told apart by most colour-blind people


def ticks(top):
    step = 10 ** math.floor(math.log10(top / 4))
    step *= next(m for m in (1, 2, 5, 10) if top / (step * m) <= 6)
    return [step * i for i in range(int(top / step + 1e-9) + 1)]


def chart(title, x_title, y_title, lines, rule=None):
    """lines: (label, colour, dashed, [(x, y)]). rule: a horizontal line at this y."""
    x_max = max(x for *_, points in lines for x, _ in points)
    y_max = 1.08 * max([y for *_, points in lines for _, y in points] + [rule or 0])
    x_at = lambda x: LEFT + (WIDTH - LEFT - RIGHT) * x / x_max
    y_at = lambda y: HEIGHT - BOTTOM - (HEIGHT - TOP - BOTTOM) * y / y_max
    out = [f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {HEIGHT}" font-family="sans-serif" '
           f'font-size="12"><rect width="{WIDTH}" height="{HEIGHT}" fill="white"/>',
           f'<text x="{LEFT}" y="24" font-size="15">{html.escape(title)}</text>']
    for y in ticks(y_max):
        out.append(f'<path d="M{LEFT} {y_at(y):.1f}H{WIDTH - RIGHT}" stroke="#ddd"/>'
                   f'<text x="{LEFT - 8}" y="{y_at(y) + 4:.1f}" text-anchor="end">{y:g}</text>')
    for x in ticks(x_max):
        out.append(f'<text x="{x_at(x):.1f}" y="{HEIGHT - BOTTOM + 18}" text-anchor="middle">{x:g}</text>')
    out.append(f'<path d="M{LEFT} {TOP}V{HEIGHT - BOTTOM}H{WIDTH - RIGHT}" fill="none" stroke="black"/>')
    out.append(f'<text x="{(LEFT + WIDTH - RIGHT) / 2}" y="{HEIGHT - 12}" text-anchor="middle">{html.escape(x_title)}</text>'
               f'<text transform="translate(16 {(TOP + HEIGHT - BOTTOM) / 2}) rotate(-90)" text-anchor="middle">'
               f'{html.escape(y_title)}</text>')
    if rule:
        out.append(f'<path d="M{LEFT} {y_at(rule):.1f}H{WIDTH - RIGHT}" stroke="black" stroke-dasharray="2 3"/>')
    for i, (label, colour, dashed, points) in enumerate(lines):
        dash = ' stroke-dasharray="6 4"' if dashed else ""
        path = "L".join(f"{x_at(x):.1f} {y_at(y):.1f}" for x, y in points)
        out.append(f'<path d="M{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if not dashed:
            out += [f'<circle cx="{x_at(x):.1f}" cy="{y_at(y):.1f}" r="3" fill="{colour}"/>' for x, y in points]
        y = TOP + 10 + 20 * i
        out.append(f'<path d="M{WIDTH - RIGHT + 12} {y}h24" stroke="{colour}" stroke-width="2"{dash}/>'
                   f'<text x="{WIDTH - RIGHT + 42}" y="{y + 4}">{html.escape(label)}</text>')
    return "\n".join(out) + "\n</svg>\n"


def series(table, pick=float):
    return sorted((int(k), pick(v)) for k, v in table.items() if k.isdigit())


def main():
    if len(sys.argv) < 3 or any("=" not in a for a in sys.argv[2:]):
        sys.exit(__doc__)
    cost, gain = [], []
    for i, argument in enumerate(sys.argv[2:]):
        label, path = argument.split("=", 1)
        colour = COLOURS[i % len(COLOURS)]
        with open(path, encoding="utf-8") as f:
            result = json.load(f)
        cost.append((label, colour, False, series(result["cost"])))
        if not result.get("speculation"):
            continue
        gain.append((label, colour, False, series(result["speculation"], lambda v: v["speed_up"])))
        points = series({k: v for k, v in result["speculation"].items() if v.get("predicted")}, lambda v: v["predicted"])
        if points:
            gain.append(("predicted", colour, True, points))
    charts = {"cost": (cost, "Tokens evaluated together", "T", "c(T)/c(1)", None),
              "speedup": (gain, "Speculation beside the target alone", "tokens drafted per step", "speed-up", 1.0)}
    for name, (lines, title, x_title, y_title, rule) in charts.items():
        if lines:
            path = f"{sys.argv[1]}-{name}.svg"
            with open(path, "w", encoding="utf-8") as f:
                f.write(chart(title, x_title, y_title, lines, rule))
            print(path)


if __name__ == "__main__":
    main()
