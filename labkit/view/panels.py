"""The pieces a figure is put together from: regions, marks, labels, legend."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go

from labkit.view.grids import DensityGrid, Limits, ModeLabel, WordPoint
from labkit.view.labels import place_labels, text_width, wrapped
from labkit.view.theme import (
    INK,
    MODE_COLOURS,
    MODE_SYMBOLS,
    MODEBAR,
    PAPER,
    POINT_COLOUR,
    REGION_COLOURS,
    TEMPLATE,
    cycle,
)  # fmt: skip
from labkit.view.wording import percent

LEFT, RIGHT, TOP, BOTTOM = 64, 24, 64, 56  # margins, px: as in the template
LEGEND = 190  # px, right of a picture
MOST_SAMPLES = 500
SMALL = 450  # px: a narrower picture shows fewer samples, which would cover it
LABEL, LABEL_WIDTH = 13, 150  # px
OUTSIDE = 3.0  # nats below the widest region: where the picture of the bands ends


def layout(width: int, height: int, title: str, right: int = RIGHT, bottom: int = BOTTOM) -> go.Layout:
    """The shared layout: a fixed size, since labels are placed in pixels; a mode bar that uploads nothing."""
    margin = dict(l=LEFT, r=right, t=TOP, b=bottom)
    return go.Layout(
        template=TEMPLATE, width=width, height=height, title_text=title, margin=margin, modebar=MODEBAR
    )


def draw_grid(
    figure: go.Figure, grid: DensityGrid, limits: Limits, size: tuple[int, int], labels=True, **cell
):
    """Regions, samples and modes in a panel of this size (px); labels where asked for."""
    figure.add_contour(
        x=grid.x, y=grid.y, z=_bands(grid),
        zmin=0, zmax=len(grid.probs) + 1, colorscale=_band_colours(grid.probs),
        contours=dict(start=1, end=len(grid.probs), size=1, coloring="fill"), line=dict(width=1, color=PAPER),
        showscale=False, customdata=grid.log_prob,
        hovertemplate="(%{x:.2f}, %{y:.2f})<br>log p = %{customdata:.2f} nats<extra></extra>", **cell,
    )  # fmt: skip
    small = size[0] < SMALL
    shown = grid.samples[: int(0.4 * size[0]) if small else MOST_SAMPLES]
    for number, mode in enumerate(grid.modes):
        members = shown[grid.sample_modes[: len(shown)] == number]
        figure.add_scatter(
            x=members[:, 0], y=members[:, 1], mode="markers", showlegend=False,
            name=escaped(", ".join(mode.words[:4])) or f"mode {number + 1}",
            marker=dict(color=cycle(MODE_COLOURS, number), symbol=cycle(MODE_SYMBOLS, number),
                        size=4 if small else 7, line=dict(width=0.4 if small else 0.8, color=PAPER)),
            hovertemplate="%{fullData.name}<extra></extra>", **cell,
        )  # fmt: skip
    if labels and grid.modes:
        anchors = np.array([mode.location for mode in grid.modes])
        inside = np.argwhere(grid.log_prob[::4, ::4] >= grid.levels.min())[:, ::-1] * 4
        region = np.stack([grid.x[inside[:, 0]], grid.y[inside[:, 1]]], axis=1)
        draw_labels(figure, grid.modes, anchors, limits, size, np.concatenate([shown, region]), **cell)


def draw_labels(
    figure: go.Figure, modes: Sequence[ModeLabel], anchors: np.ndarray, limits: Limits, size, avoid, **cell
):
    """Each mode's mass and words, near its anchor (data coordinates), off each other and off `avoid`."""
    figure.add_scatter(
        x=anchors[:, 0], y=anchors[:, 1], mode="markers", showlegend=False, hoverinfo="skip", name="modes",
        marker=dict(symbol="circle", size=9, color=PAPER, line=dict(width=2, color=INK)), **cell,
    )  # fmt: skip
    (left, right), (bottom, top) = limits
    scale = np.array([size[0] / (right - left), -size[1] / (top - bottom)])
    wide = min(LABEL_WIDTH, 0.4 * size[0])
    texts = [[percent(mode.mass), *wrapped(mode.words, LABEL, wide)] for mode in modes]
    boxes = np.array([
        (max(text_width(line, LABEL) for line in lines) + 14, 1.35 * LABEL * len(lines) + 10)
        for lines in texts
    ])  # fmt: skip
    at = (anchors - (left, top)) * scale
    centres = place_labels(at, boxes, size, (avoid - (left, top)) * scale)
    for number, (lines, anchor, offset) in enumerate(zip(texts, anchors, centres - at, strict=True)):
        head, *rest = map(escaped, lines)
        figure.add_annotation(
            x=anchor[0], y=anchor[1], ax=offset[0], ay=offset[1], text="<br>".join([f"<b>{head}</b>", *rest]),
            font=dict(size=LABEL), align="left", showarrow=True, arrowhead=0, arrowwidth=1.4, standoff=6,
            arrowcolor=INK, bgcolor="rgba(255,255,255,0.92)", borderpad=3, borderwidth=1.5,
            bordercolor=cycle(MODE_COLOURS, number), **cell,
        )  # fmt: skip


def draw_point(figure: go.Figure, point: WordPoint, **cell):
    """A deterministic vector in the plane, as ✕."""
    if point.location.shape != (2,):
        raise ValueError(f"A point in the plane has 2 coordinates; got {len(point.location)}.")
    figure.add_scatter(
        x=point.location[:1], y=point.location[1:], mode="markers", showlegend=False, cliponaxis=False,
        name="deterministic vector",
        marker=dict(symbol="x", size=15, color=POINT_COLOUR, line=dict(width=2, color=PAPER)),
        hovertemplate="(%{x:.2f}, %{y:.2f})<extra>%{fullData.name}</extra>", **cell,
    )  # fmt: skip


def legend(figure: go.Figure, probs: Sequence[float], samples: bool, point: bool, below: bool = False):
    """What the colours and marks mean: beside a single picture, below several."""
    suffix = "" if below else " of the probability"
    entries = [(percent(p) + suffix, "square", 16, region_colour(probs, p)) for p in sorted(probs)]
    entries += [("a sample, by mode", "circle", 9, MODE_COLOURS[0])] if samples else []
    entries += [("deterministic vector", "x", 11, POINT_COLOUR)] if point else []
    for name, symbol, size, colour in entries:
        figure.add_scatter(x=[None], y=[None], mode="markers", name=name, hoverinfo="skip",
                           marker=dict(symbol=symbol, size=size, color=colour))  # fmt: skip
    place = dict(x=1.02, xanchor="left", y=1, yanchor="top")
    if below:
        panel = figure.layout.height - figure.layout.margin.t - figure.layout.margin.b
        place = dict(orientation="h", x=0.5, xanchor="center", y=-52 / panel, yanchor="top")
        place["title"] = (
            dict(text="Share of the probability: ", side="left", font=dict(size=13)) if probs else None
        )
    figure.update_layout(legend=dict(itemclick=False, itemdoubleclick=False, **place))


def region_colour(probs: Sequence[float], prob: float) -> str:
    """The colour of one of several regions, darkest for the smallest share."""
    rank = sorted(probs).index(prob)
    return REGION_COLOURS[round(rank * (len(REGION_COLOURS) - 1) / max(len(probs) - 1, 1))]


def escaped(text: str) -> str:
    """Plotly reads some tags in texts; words come from corpora and may look like them."""
    return text.replace("&", "&amp;").replace("<", "&lt;").replace(">", "&gt;")


def _bands(grid: DensityGrid) -> np.ndarray:
    """log p on a scale on which the levels lie at 1, 2, ..: a colour then means one share everywhere."""
    levels = np.sort(grid.levels)
    levels = levels + 1e-9 * np.arange(len(levels))  # a flat density has one level for all
    heights = [levels[0] - OUTSIDE, *levels, max(grid.log_prob.max(), levels[-1]) + 1e-6]
    return np.interp(grid.log_prob, heights, np.arange(len(heights)))


def _band_colours(probs: Sequence[float]) -> list:
    """A colour scale in steps: paper outside of all regions, then one colour for each."""
    colours = [PAPER, *(region_colour(probs, prob) for prob in sorted(probs, reverse=True))]
    edges = np.linspace(0, 1, len(colours) + 1)
    return [[edge, colours[i]] for i in range(len(colours)) for edge in edges[i : i + 2]]
