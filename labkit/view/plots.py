"""Arrays to plotly figures. Nothing is computed here; a density is handed to `grids` first."""

from collections.abc import Sequence

import numpy as np
import plotly.graph_objects as go
from plotly.subplots import make_subplots

from labkit.view.grids import (
    DensityGrid,
    DensityLine,
    Limits,
    WordPoint,
    equal_scale,
    picture_of,
    shared_limits,
)  # fmt: skip
from labkit.view.panels import (
    BOTTOM,
    LEFT,
    LEGEND,
    RIGHT,
    TOP,
    draw_grid,
    draw_labels,
    draw_point,
    escaped,
    layout,
    legend,
    region_colour,
)  # fmt: skip
from labkit.view.theme import INK, MODE_COLOURS, cycle
from labkit.view.wording import counted, note, percent

WIDTH, HEIGHT = 860, 640  # px: what JupyterLab shows beside its file browser in a window of 1280
ONE_ROW = 860  # px: what a legend below the pictures needs
FAMILIES = (("#0072B2", "upright lines of the base"), ("#D55E00", "level lines of the base"))
RANKS = ("heaviest mode", "second mode", "third mode", "fourth mode", "fifth mode")


def plot_density(density, point=None, title: str | None = None, limits: Limits | None = None) -> go.Figure:
    """A density over two coordinates: highest-density regions, samples and modes.

    The region of 50 % is the smallest one that holds half of the probability: half of the samples lie in it.
    Colours and shapes of marks tell the modes apart; each mode is labelled with its mass and its words.

    Arguments:
        density: a `DensityGrid`, or a density, which then goes through `density_grid` with its defaults.
        point: the vector of a deterministic embedding in the same coordinates, (2,), drawn as ✕.
        limits: ((left, right), (bottom, top)); by default they hold the density and the point, and a unit
            is as long upwards as it is sideways.

    Example:
        >>> from torch import eye, zeros
        >>> from torch.distributions import MultivariateNormal
        >>> figure = plot_density(MultivariateNormal(zeros(2), eye(2)), point=(0.5, 0.0))
        >>> figure.data[0].type, figure.layout.annotations[0].text
        ('contour', '<b>100 %</b>')
    """
    grid = picture_of(density)
    if not isinstance(grid, DensityGrid):
        other = "plot_line" if isinstance(grid, DensityLine) else "plot_comparison"
        raise ValueError(f"plot_density draws two coordinates; got a {type(grid).__name__}: use {other}.")
    mark = None if point is None else WordPoint(grid.word, np.asarray(point, dtype=float).reshape(-1))
    size = (WIDTH - LEFT - RIGHT - LEGEND, HEIGHT - TOP - BOTTOM)
    if limits is None:
        limits = equal_scale(shared_limits([grid] if mark is None else [grid, mark]), size[0] / size[1])
    figure = go.Figure(layout=layout(WIDTH, HEIGHT, title or _title(grid), RIGHT + LEGEND))
    draw_grid(figure, grid, limits, size)
    if mark is not None:
        draw_point(figure, mark)
    legend(figure, grid.probs, samples=len(grid.samples) > 0, point=mark is not None)
    return _axes(figure, limits, remark=note([grid]))


def plot_comparison(
    pictures: Sequence, titles: Sequence[str], limits: Limits | None = None, title: str | None = None
) -> go.Figure:
    """Densities and points side by side, with the same limits and the same colours for the same regions.

    Arguments:
        pictures: `DensityGrid`s, densities over two coordinates or points (`model[word]` of each model).
        titles: one for each.
        limits: by default they hold all of them.
    """
    if len(pictures) != len(titles) or not pictures:
        raise ValueError(f"Expected one title for each picture; got {len(pictures)} and {len(titles)}.")
    drawn = [picture_of(picture) for picture in pictures]
    limits = limits or equal_scale(shared_limits(drawn), aspect=1.0)
    panel = max(240, min(400, (WIDTH - LEFT - RIGHT + 24) // len(drawn) - 24))
    width, top = LEFT + panel * len(drawn) + 24 * (len(drawn) - 1) + RIGHT, TOP + (36 if title else 0)
    figure = make_subplots(1, len(drawn), subplot_titles=[escaped(t) for t in titles], shared_yaxes=True,
                           horizontal_spacing=24 / (width - LEFT - RIGHT))  # fmt: skip
    figure.update_layout(
        layout(width, top + panel + BOTTOM + 40, title or "", bottom=BOTTOM + 40), margin_t=top
    )
    figure.update_annotations(font_size=15)
    for column, picture in enumerate(drawn, start=1):
        if isinstance(picture, WordPoint):
            draw_point(figure, picture, row=1, col=column)
        else:
            draw_grid(figure, picture, limits, (panel, panel), row=1, col=column)
    grids = [picture for picture in drawn if isinstance(picture, DensityGrid)]
    legend(figure, grids[0].probs if grids else (), bool(grids), point=len(grids) < len(drawn), below=True)
    return _axes(figure, limits, remark=note(grids))


def plot_line(density, point: float | None = None, title: str | None = None) -> go.Figure:
    """A density over one coordinate: its curve, its highest-density regions shaded, its modes labelled.

    Arguments:
        density: a `DensityLine`, or a density over (1,).
        point: the number a deterministic embedding gives the word, drawn as ✕ on the axis.
    """
    line = picture_of(density)
    if not isinstance(line, DensityLine):
        raise ValueError(f"plot_line draws one coordinate; got a {type(line).__name__}: use plot_density.")
    height, p = 460, np.exp(line.log_prob)
    figure = go.Figure(layout=layout(WIDTH, height, title or _title(line), RIGHT + LEGEND))
    for prob, level in sorted(zip(line.probs, line.levels, strict=True), reverse=True):
        figure.add_scatter(
            x=line.z, y=np.where(line.log_prob >= level, p, 0.0), mode="lines", line=dict(width=0),
            fill="tozeroy", fillcolor=region_colour(line.probs, prob), name=percent(prob),
            hoverinfo="skip", showlegend=False,
        )  # fmt: skip
    figure.add_scatter(
        x=line.z, y=p, mode="lines", line=dict(width=2.5, color=INK, simplify=False), name="density",
        showlegend=False, hovertemplate="z = %{x:.2f}<br>density %{y:.3f}<extra></extra>",
    )  # fmt: skip
    limits = ((float(line.z[0]), float(line.z[-1])), (0.0, 1.4 * float(p.max())))
    size = (WIDTH - LEFT - RIGHT - LEGEND, height - TOP - BOTTOM)
    anchors = np.array([[m.location[0], np.interp(m.location[0], line.z, p)] for m in line.modes])
    below = [np.stack([line.z, share * p], axis=1)[::20] for share in (0.2, 0.4, 0.6, 0.8, 1.0)]
    draw_labels(figure, line.modes, anchors.reshape(-1, 2), limits, size, np.concatenate(below))
    if point is not None:
        draw_point(figure, WordPoint(line.word, np.array([float(point), 0.0])))
    legend(figure, line.probs, samples=False, point=point is not None)
    return _axes(figure, limits, names=("z", "density"))


def plot_modes_over_training(frames: Sequence[tuple[int, DensityGrid]], most: int = 5) -> go.Figure:
    """How the modes of a word came to be: its density at some steps, the mass of its modes at all of them.

    Modes are ranked by mass at each step on its own, so a colour may pass from one place to another.

    Arguments:
        frames: (step, grid) pairs in the order of training.
        most: pictures in the upper row, evenly chosen; the first and the last are among them.
    """
    if not frames:
        raise ValueError("plot_modes_over_training needs at least one (step, grid) pair; got none.")
    chosen = sorted({round(i) for i in np.linspace(0, len(frames) - 1, min(most, len(frames)))})
    figure = make_subplots(
        2, len(chosen), row_heights=[0.5, 0.5], vertical_spacing=0.2, horizontal_spacing=0.015,
        specs=[[{}] * len(chosen), [{"colspan": len(chosen)}] + [None] * (len(chosen) - 1)],
        subplot_titles=[f"step {frames[i][0]:,}" for i in chosen],
    )  # fmt: skip
    word = frames[-1][1].word
    name = f"“{escaped(word)}” while it is learned" if word else "The modes while they are learned"
    figure.update_layout(layout(WIDTH, 560, name), margin_t=96, barmode="stack", bargap=0.2)
    figure.update_annotations(font_size=14)
    panel = (int((WIDTH - LEFT - RIGHT) / len(chosen)), int(0.4 * (560 - 96 - BOTTOM)))
    limits = equal_scale(shared_limits([grid for _, grid in frames]), panel[0] / panel[1])
    for column, i in enumerate(chosen, start=1):
        draw_grid(figure, frames[i][1], limits, panel, labels=False, row=1, col=column)
        figure.update_xaxes(range=limits[0], showticklabels=False, row=1, col=column)
        figure.update_yaxes(range=limits[1], showticklabels=False, row=1, col=column)
    for rank in range(max(len(grid.modes) for _, grid in frames)):
        mass = [grid.modes[rank].mass if rank < len(grid.modes) else 0.0 for _, grid in frames]
        figure.add_bar(
            x=[f"{step:,}" for step, _ in frames], y=mass, marker_color=cycle(MODE_COLOURS, rank),
            name=RANKS[rank] if rank < len(RANKS) else f"mode {rank + 1}",
            text=[percent(m) if m >= 0.08 else "" for m in mass], textposition="inside", textangle=0,
            insidetextanchor="middle", textfont=dict(size=13, color=INK),
            hovertemplate="step %{x}<br>%{y:.0%}<extra>%{fullData.name}</extra>", row=2, col=1,
        )  # fmt: skip
    figure.update_xaxes(type="category", title_text="step", row=2, col=1)
    figure.update_yaxes(range=[0, 1], tickformat=".0%", title_text="mass", row=2, col=1)
    return figure.update_layout(
        legend=dict(orientation="h", x=1, xanchor="right", y=0.415, yanchor="bottom", traceorder="normal")
    )


def plot_flow_warp(
    grid_before, grid_after, titles: Sequence[str] = ("u, from the base", "z = T(u)")
) -> go.Figure:
    """A lattice before and after a flow: where lines crowd together, the flow has gathered probability.

    Arguments:
        grid_before, grid_after: the same polylines, (L, N, 2), as `flow_lattice` makes them: upright lines
            in the first half, level ones in the second.
    """
    before, after = (np.asarray(grid, dtype=float) for grid in (grid_before, grid_after))
    if before.shape != after.shape or before.ndim != 3 or before.shape[-1] != 2:
        raise ValueError(f"Expected two lattices of one shape (L, N, 2); got {before.shape}, {after.shape}.")
    figure = make_subplots(1, 2, subplot_titles=[escaped(t) for t in titles], horizontal_spacing=0.08)
    figure.update_layout(layout(WIDTH, 490, "", bottom=96))
    figure.update_annotations(font_size=15)
    for column, lattice in enumerate((before, after), start=1):
        name, anchor = "uz"[column - 1], ("x", "x2")[column - 1]
        for lines, (colour, family) in zip(np.array_split(lattice, 2), FAMILIES, strict=True):
            for number, line in enumerate(lines):
                # the middle line is thicker, so that the eye can follow it through the flow
                middle = number == len(lines) // 2
                figure.add_scatter(
                    x=line[:, 0], y=line[:, 1], mode="lines", name=family, legendgroup=family,
                    line=dict(color=colour, width=3.5 if middle else 1.2), opacity=1 if middle else 0.75,
                    hoverinfo="skip", showlegend=column == 1 and middle, row=1, col=column,
                )  # fmt: skip
        figure.update_yaxes(scaleanchor=anchor, title_text=f"{name}₂", row=1, col=column)
        figure.update_xaxes(title_text=f"{name}₁", row=1, col=column)
    return figure.update_layout(legend=dict(orientation="h", x=0.5, xanchor="center", y=-0.16, yanchor="top"))


def _axes(figure: go.Figure, limits: Limits, names=("z₁", "z₂"), remark: str = "") -> go.Figure:
    figure.update_xaxes(range=limits[0], title_text=f"{names[0]}  ({remark})" if remark else names[0])
    figure.update_yaxes(range=limits[1])
    return figure.update_layout(yaxis_title_text=names[1])


def _title(picture: DensityGrid | DensityLine) -> str:
    count = counted(len(picture.modes), "mode")
    return f"“{escaped(picture.word)}”: {count}" if picture.word else count.capitalize()
