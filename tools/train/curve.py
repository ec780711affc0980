#!/usr/bin/env python3
"""Draws curve.jsonl files of training runs as one SVG picture.

  curve.py OUT.svg "loss of the target, nats a token=TARGET/curve.jsonl:loss,train" "...=DRAFT/curve.jsonl:accept"

Each argument is TITLE=FILE:KEY[,KEY...]; every one becomes a panel over millions of training tokens.
"""
import json
import sys

WIDTH, HEIGHT, LEFT, RIGHT, TOP, BOTTOM = 640, 260, 60, 20, 34, 40
COLOURS = ("#1b5e9e", "#c2571a", "#3b7d3b")


def ticks(low, high):
    """At most eight round values between low and high."""
    step = 10.0**-6
    for factor in [2, 2.5, 2] * 8:
        if (high - low) / step <= 8:
            break
        step *= factor
    first = -int(-low // step) if low >= 0 else int(low / step)
    return [v for k in range(first, first + 10) if low <= (v := k * step) <= high]


def panel(top, title, path, keys):
    with open(path, encoding="utf-8") as f:
        rows = [json.loads(line) for line in f]
    xs = [r["tokens"] / 1e6 for r in rows]
    ys = [r[k] for k in keys for r in rows]
    low, high = min(ys), max(ys)
    high += (high == low) + 0.05 * (high - low)
    low -= 0.05 * (high - low)

    def at(x, y):
        return (
            LEFT + (WIDTH - LEFT - RIGHT) * x / max(xs),
            top + TOP + (HEIGHT - TOP - BOTTOM) * (high - y) / (high - low),
        )

    out = [f'<text x="{LEFT}" y="{top + 20}" font-weight="bold">{title}</text>']
    for v in ticks(low, high):
        y = at(0, v)[1]
        out.append(
            f'<line x1="{LEFT}" y1="{y:.1f}" x2="{WIDTH - RIGHT}" y2="{y:.1f}" stroke="#ddd"/>'
            f'<text x="{LEFT - 6}" y="{y + 4:.1f}" text-anchor="end">{v:.4g}</text>'
        )
    for v in ticks(0, max(xs)):
        out.append(
            f'<text x="{at(v, low)[0]:.1f}" y="{top + HEIGHT - BOTTOM + 16}" '
            f'text-anchor="middle">{v:.4g}</text>'
        )
    out.append(
        f'<text x="{WIDTH - RIGHT}" y="{top + HEIGHT - 8}" text-anchor="end">million training tokens</text>'
    )
    for n, (k, colour) in enumerate(zip(keys, COLOURS)):
        points = " ".join("{:.1f},{:.1f}".format(*at(x, r[k])) for x, r in zip(xs, rows))
        out.append(f'<polyline points="{points}" fill="none" stroke="{colour}" stroke-width="1.8"/>')
        if len(keys) > 1:
            out.append(
                f'<text x="{WIDTH - RIGHT - 90 * (len(keys) - n - 1)}" y="{top + 20}" text-anchor="end" '
                f'fill="{colour}">{k}</text>'
            )
    return out


def main():
    if len(sys.argv) < 3:
        sys.exit(__doc__)
    body = []
    for i, spec in enumerate(sys.argv[2:]):
        title, source = spec.split("=", 1)
        path, keys = source.rsplit(":", 1)
        body += panel(i * HEIGHT, title, path, keys.split(","))
    height = HEIGHT * (len(sys.argv) - 2)
    with open(sys.argv[1], "w", encoding="utf-8") as f:
        f.write(
            f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" '
            f'viewBox="0 0 {WIDTH} {height}" font-family="sans-serif" font-size="12">\n'
            f'<rect width="{WIDTH}" height="{height}" fill="white"/>\n' + "\n".join(body) + "\n</svg>\n"
        )


if __name__ == "__main__":
    main()
