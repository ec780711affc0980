#!/usr/bin/env python3
"""Draws what trees of drafts gain over the best chain, on paper, as SVG.

  VB_TABLE=TABLE build/tests/test_cost_tree; trees.py TABLE OUT.svg

TABLE: rows of docs/speculation.md, "A chain or a tree".
"""
import re
import sys

from plot import COLOURS, chart

RATES = (0.3, 0.5, 0.6, 0.7, 0.8, 0.9)


def main():
    if len(sys.argv) != 3:
        sys.exit(__doc__)
    lines = []
    with open(sys.argv[1], encoding="utf-8") as table:
        for i, row in enumerate(table):
            name, *cells = [c.strip() for c in row.strip().strip("|").split("|")]
            pairs = [re.match(r"([\d.]+), ([\d.]+)", c).groups() for c in cells]
            lines.append((name, COLOURS[i], False,
                          [(a, float(both) / float(chain)) for a, (chain, both) in zip(RATES, pairs)]))
    with open(sys.argv[2], "w", encoding="utf-8") as out:
        out.write(chart("Trees or chains against the best chain", "a: the first guess is right", "times the best chain",
                        lines, 1))


main()
