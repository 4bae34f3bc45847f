#!/usr/bin/env python3
# SPDX-License-Identifier: MIT
"""Draws the learning curve of a run as SVG, with the Python standard library only.

    plot_metrics.py RUN/metrics.jsonl OUT.svg [--title TEXT]

Each line of the input is a JSON object with an "epoch"; every other number in it is a series.  Names with "loss" go to
the left panel; hr@K, ndcg@K and mrr, with any prefix such as "val_", to the right one.  Lines of one epoch are merged.
"""
import argparse
import json
import math
import pathlib
import re
import sys
from xml.sax.saxutils import escape

COLOURS = ["#0072b2", "#d55e00", "#009e73", "#cc79a7", "#e69f00", "#56b4e9", "#444444"]  # told apart by colour-blind readers
PANEL_WIDTH, PANEL_HEIGHT = 400, 270
LEFT, RIGHT, TOP, BOTTOM = 62, 14, 56, 48
LEGEND_ROW = 18


def read_series(path: pathlib.Path) -> dict[str, list[tuple[float, float]]]:
    """name -> points (epoch, value), by epoch; numbers that are not finite are left out."""
    points: dict[str, dict[float, float]] = {}
    for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), start=1):
        if not line.strip():
            continue
        try:
            row = json.loads(line)
        except json.JSONDecodeError as error:
            raise ValueError(f"{path}:{number}: expected JSON, {error.msg} at column {error.colno}") from None
        if not isinstance(row, dict) or not isinstance(row.get("epoch"), (int, float)):
            continue
        for name, value in row.items():
            if name != "epoch" and isinstance(value, (int, float)) and not isinstance(value, bool) and math.isfinite(value):
                points.setdefault(name, {})[float(row["epoch"])] = float(value)
    return {name: sorted(series.items()) for name, series in points.items()}


def label_of(name: str) -> str:
    """val_ndcg@10 -> NDCG@10 (val)"""
    match = re.fullmatch(r"(?:(.*?)[_/.])?(hr|ndcg)(@\d+)|(?:(.*?)[_/.])?(mrr)", name)
    if match:
        prefix, metric = match[1] or match[4], (match[2] or match[5]).upper() + (match[3] or "")
        return f"{metric} ({prefix})" if prefix else metric
    return name.replace("_", " ")


def nice_ticks(low: float, high: float, wanted: int, whole: bool = False) -> list[float]:
    """About `wanted` round numbers that lie within [low, high]."""
    step = 10.0 ** math.floor(math.log10(max(high - low, 1e-12) / wanted))
    for factor in (1, 2, 5, 10):
        if (high - low) / (step * factor) <= wanted and not (whole and step * factor < 1):
            step *= factor
            break
    first = math.ceil(low / step - 1e-9)
    return [round(index * step, 10) for index in range(first, math.floor(high / step + 1e-9) + 1)]


def text(x: float, y: float, content: str, **attributes: str) -> str:
    extra = "".join(f' {key.replace("_", "-")}="{value}"' for key, value in attributes.items())
    return f'<text x="{x:.1f}" y="{y:.1f}"{extra}>{escape(content)}</text>'


def panel(x0: float, heading: str, series: dict[str, list[tuple[float, float]]], from_zero: bool) -> list[str]:
    """One set of axes with its legend; x0 is the left edge of the panel, legend included."""
    left, right, top = x0 + LEFT, x0 + LEFT + PANEL_WIDTH, TOP
    values = [value for line in series.values() for _, value in line]
    epochs = [epoch for line in series.values() for epoch, _ in line]
    x_low, x_high = min(epochs), max(epochs)
    if x_low == x_high:
        x_low, x_high = x_low - 1, x_high + 1
    low, high = (0.0 if from_zero else min(values)), max(values)
    margin = 0.06 * (high - low) or 0.5 * abs(high) or 1.0
    y_low, y_high = (0.0 if from_zero else low - margin), high + margin

    def to_x(epoch: float) -> float:
        return left + (epoch - x_low) / (x_high - x_low) * PANEL_WIDTH

    def to_y(value: float) -> float:
        return top + PANEL_HEIGHT - (value - y_low) / (y_high - y_low) * PANEL_HEIGHT

    parts = [text(left, top - 14, heading, font_size="14", font_weight="bold")]
    for tick in nice_ticks(y_low, y_high, 6):
        parts.append(f'<line x1="{left}" x2="{right}" y1="{to_y(tick):.1f}" y2="{to_y(tick):.1f}" stroke="#e3e3e3"/>')
        parts.append(text(left - 8, to_y(tick) + 4, f"{tick:g}", text_anchor="end"))
    for tick in nice_ticks(x_low, x_high, 10, whole=True):
        parts.append(f'<line x1="{to_x(tick):.1f}" x2="{to_x(tick):.1f}" y1="{top + PANEL_HEIGHT}" '
                     f'y2="{top + PANEL_HEIGHT + 5}" stroke="#333"/>')
        parts.append(text(to_x(tick), top + PANEL_HEIGHT + 20, f"{tick:g}", text_anchor="middle"))
    parts.append(f'<path d="M{left} {top}V{top + PANEL_HEIGHT}H{right}" fill="none" stroke="#333"/>')
    parts.append(text((left + right) / 2, top + PANEL_HEIGHT + 40, "epoch (below: value at the last one)", text_anchor="middle"))

    for index, (name, line) in enumerate(series.items()):
        colour = COLOURS[index % len(COLOURS)]
        dash = ' stroke-dasharray="6 3"' if "ndcg" in name else ""
        path = " ".join(f"{to_x(epoch):.1f},{to_y(value):.1f}" for epoch, value in line)
        parts.append(f'<polyline points="{path}" fill="none" stroke="{colour}" stroke-width="2"{dash}/>')
        if len(line) <= 40:
            parts += [f'<circle cx="{to_x(epoch):.1f}" cy="{to_y(value):.1f}" r="2.5" fill="{colour}"/>' for epoch, value in line]
        row_y = top + PANEL_HEIGHT + BOTTOM + LEGEND_ROW * (index // 2) + 12
        row_x = left + (index % 2) * PANEL_WIDTH / 2
        parts.append(f'<line x1="{row_x}" x2="{row_x + 26}" y1="{row_y - 4}" y2="{row_y - 4}" stroke="{colour}" '
                     f'stroke-width="2"{dash}/>')
        parts.append(text(row_x + 32, row_y, f"{label_of(name)}: {line[-1][1]:.4f}"))
    return parts


def draw(series: dict[str, list[tuple[float, float]]], title: str) -> str:
    losses = {name: line for name, line in series.items() if "loss" in name}
    ranks = {name: line for name, line in series.items() if re.search(r"(^|[_/.])((hr|ndcg)@\d+|mrr)$", name)}
    panels = [(heading, lines, from_zero) for heading, lines, from_zero in
              (("loss", losses, False), ("ranking quality", ranks, True)) if lines]
    if not panels:
        raise ValueError("no loss, hr@K, ndcg@K or mrr in any line with an epoch")
    width = len(panels) * (LEFT + PANEL_WIDTH + RIGHT) + RIGHT
    rows = max((len(lines) + 1) // 2 for _, lines, _ in panels)
    height = TOP + PANEL_HEIGHT + BOTTOM + LEGEND_ROW * rows + 14
    parts = [f'<svg xmlns="http://www.w3.org/2000/svg" width="{width}" height="{height}" viewBox="0 0 {width} {height}" '
             'font-family="Helvetica, Arial, sans-serif" font-size="12" fill="#222">',
             f"<title>{escape(title)}</title>", f'<rect width="{width}" height="{height}" fill="white"/>',
             text(width / 2, 22, title, text_anchor="middle", font_size="16")]
    for index, (heading, lines, from_zero) in enumerate(panels):
        parts += panel(index * (LEFT + PANEL_WIDTH + RIGHT), heading, lines, from_zero)
    return "\n".join(parts + ["</svg>", ""])


def main() -> int:
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("metrics", type=pathlib.Path, help="metrics.jsonl of a run")
    parser.add_argument("out", type=pathlib.Path, help="the SVG to write")
    parser.add_argument("--title", default="Learning curve")
    arguments = parser.parse_args()
    try:
        picture = draw(read_series(arguments.metrics), arguments.title)
        arguments.out.write_text(picture, encoding="utf-8")
    except (OSError, ValueError) as error:
        print(f"plot_metrics: {error}", file=sys.stderr)
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
