"""The figures of `flows.py` as a table and as a picture."""

import math
from collections.abc import Iterator
from html import escape
from itertools import groupby

# Okabe & Ito (2008), told apart by every kind of colour vision.
COLOURS = {"labkit": "#D55E00", "zuko": "#0072B2", "nflows": "#009E73", "normflows": "#CC79A7"}
OTHER, INK, MUTED, RULE = "#5a6372", "#1b2230", "#5a6372", "#dde1e8"

WIDTH, LEFT, RIGHT, TOP, LINE = 820, 200, 110, 64, 19


def markdown(rows: list[dict], setting: dict, about: dict[str, str]) -> str:
    """A table of medians with their quartiles, and of labkit's time over that of each library."""
    lines = [
        sentence(setting),
        "",
        "| flow | direction | library | ms (quartiles) | labkit's time over it | parameters |",
        "|---|---|---|---|---|---|",
    ]
    for row in rows:
        ratio = f"{digits(row['labkit_over_it'])} ({digits(row['lower_ratio'])} to {digits(row['upper_ratio'])})"
        cells = [
            about[row["case"]], row["direction"], row["library"],
            f"{digits(row['median_ms'])} ({digits(row['lower_ms'])} to {digits(row['upper_ms'])})",
            "" if row["library"] == "labkit" else ratio,
            "" if row["parameters"] is None else f"{row['parameters']:,}",
        ]  # fmt: skip
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines) + "\n"


def sentence(setting: dict) -> str:
    """Where the figures were taken, in one line."""
    threads = "one thread" if setting["threads"] == 1 else f"{setting['threads']} threads"
    tiny = "; tiny sizes, these figures mean nothing" if setting["tiny"] else ""
    return f"{setting['device']}, {threads}, torch {setting['torch']}, {setting['rounds']} rounds{tiny}"


def digits(figure: float) -> str:
    """Three figures that count: 0.0123, 1.23, 12.3, 1230."""
    return f"{figure:.{max(0, 2 - math.floor(math.log10(figure)))}f}"


def plot(rows: list[dict], setting: dict, about: dict[str, str]) -> str:
    """An SVG: a dot at each median and a line from quartile to quartile, on a logarithmic axis of milliseconds."""
    groups = [(key, list(group)) for key, group in groupby(rows, lambda row: (row["case"], row["direction"]))]
    height = TOP + LINE * (len(rows) + 2 * len(groups)) + 30
    low = 10 ** math.floor(math.log10(min(row["lower_ms"] for row in rows)))
    high = 10 ** math.ceil(math.log10(max(row["upper_ms"] for row in rows)))

    def x(ms: float) -> float:
        return LEFT + (WIDTH - LEFT - RIGHT) * math.log(ms / low) / math.log(high / low)

    parts = [
        f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}" '
        'font-family="system-ui, sans-serif" font-size="13">',
        f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>',
        _text(16, 26, "Milliseconds a call, by library: less is better", size=17),
        _text(16, 46, sentence(setting), MUTED),
        *_ticks(x, low, high, height),
    ]
    y = TOP + LINE
    for (case, direction), group in groups:
        parts.append(_text(16, y, f"{about[case]}: {direction}", weight="600"))
        for row in group:
            y += LINE
            parts += _mark(row, x, y)
        y += 2 * LINE
    return "\n".join([*parts, "</svg>"]) + "\n"


def _ticks(x, low: float, high: float, height: int) -> Iterator[str]:
    for power in range(round(math.log10(low)), round(math.log10(high)) + 1):
        at, bottom = x(10.0**power), height - 28
        yield f'<line x1="{at:.1f}" x2="{at:.1f}" y1="{TOP - 6}" y2="{bottom}" stroke="{RULE}"/>'
        yield _text(at, bottom + 17, f"{10.0**power:g} ms", MUTED, anchor="middle")


def _mark(row: dict, x, y: float) -> list[str]:
    library = row["library"]
    colour = COLOURS.get(library.partition(",")[0], OTHER)
    lower, median, upper, at = x(row["lower_ms"]), x(row["median_ms"]), x(row["upper_ms"]), y - 4
    hollow = "#ffffff" if "," in library else colour  # compiled
    return [
        _text(LEFT - 14, y, library, anchor="end"),
        f'<line x1="{lower:.1f}" x2="{upper:.1f}" y1="{at}" y2="{at}" stroke="{colour}" stroke-width="3"/>',
        f'<circle cx="{median:.1f}" cy="{at}" r="5" fill="{hollow}" stroke="{colour}" stroke-width="2"/>',
        _text(upper + 10, y, digits(row["median_ms"]), MUTED),
    ]


def _text(
    x: float, y: float, words: str, colour: str = INK, size: int = 13, anchor: str = "start", weight: str = "400"
) -> str:
    style = f'fill="{colour}" font-size="{size}" font-weight="{weight}" text-anchor="{anchor}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'
