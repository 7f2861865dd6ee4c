#!/usr/bin/env python3
"""Draws what `cargo bench -p benches --bench scope` prints: `... | python3 benches/plot.py > benches/scope.svg`."""

import re
import sys
from html import escape

groups = []
for line in sys.stdin:
    if title := re.match(r"(\S.*) \(ns per (\w+), \d+ rounds\)", line):
        groups.append((title[1], title[2], []))
    elif row := re.match(r"  (\S.*?)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)\s+([\d.]+)$", line):
        groups[-1][2].append((row[1], float(row[3])))

WIDTH, LABEL, BAR, GAP, HEAD = 720, 190, 15, 3, 34
height = 10 + sum(HEAD + len(rows) * (BAR + GAP) for _, _, rows in groups)
print(f'<svg xmlns="http://www.w3.org/2000/svg" width="{WIDTH}" height="{height}" font-family="sans-serif" font-size="11">')
print(f'<rect width="{WIDTH}" height="{height}" fill="white"/>')
y = 10
for title, unit, rows in groups:
    y += 20
    print(f'<text x="10" y="{y}" font-weight="bold">{escape(title)}: median per {unit}</text>')
    y += HEAD - 26
    longest = max(median for _, median in rows)
    for name, median in rows:
        length = max(1, round((WIDTH - LABEL - 90) * median / longest))
        colour = "#c0392b" if name == rows[0][0] else "#7f8c8d"
        shown = f"{median:.0f} ns" if median < 1000 else f"{median / 1000:.2f} µs"
        print(f'<text x="{LABEL - 8}" y="{y + 12}" text-anchor="end">{escape(name)}</text>')
        print(f'<rect x="{LABEL}" y="{y}" width="{length}" height="{BAR}" fill="{colour}"/>')
        print(f'<text x="{LABEL + length + 5}" y="{y + 12}">{shown}</text>')
        y += BAR + GAP
    y += 6 - GAP * 2
print("</svg>")
