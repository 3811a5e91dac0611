"""How a dequantiser shares out a line among its tokens: densities and supports as arrays, then drawn."""

import math
from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Bool, Float
from plotly.subplots import make_subplots
from torch import Tensor
from torch.distributions import Distribution

from labkit.dequantise.base import CellDequantiser, Dequantiser
from labkit.dequantise.truncated import TruncatedDequantiser
from labkit.view.panels import BOTTOM, TOP, escaped, layout
from labkit.view.theme import INK, MODE_COLOURS, MUTED, cycle

WIDTH, ROW, LEGEND = 880, 118, 40  # px: a figure, one row of it, what stands below all rows
BAR, STEP = 7, 0.11  # px, how thick a support is drawn; and by what share of the height each lies below the one before
TICKS = (0.01, 0.02, 0.05, 0.1, 0.25, 0.5, 1, 2, 4, 8, 16, 32, 64, 128)
SWEEP, HEAD, SLIDER = 660, 84, 84  # px: the figure with a slider, what stands above its panels, the slider below


@dataclass(frozen=True, eq=False)
class LineCells:
    """The tokens of a one-dimensional dequantiser, in arrays.

    Attributes:
        z: draws of each token, in order.
        density: P(x) q(z∣x) at those draws, per unit of z: the area under a token's curve is its share.
        line: places from one end of the picture to the other.
        inside: whether each token can become each of those places.
        prior: p(z) there, per unit of z, or None.
    """

    z: Float[np.ndarray, "V draws"]
    density: Float[np.ndarray, "V draws"]
    line: Float[np.ndarray, " N"]
    inside: Bool[np.ndarray, "V N"]
    prior: Float[np.ndarray, " N"] | None = None

    def supports(self, token: int) -> list[tuple[float, float]]:
        """The pieces of the line that a token can become, from left to right, to within one place of `line`."""
        steps = np.diff(np.concatenate(([0], self.inside[token].astype(int), [0])))
        starts, ends = np.flatnonzero(steps == 1), np.flatnonzero(steps == -1) - 1
        return [(float(self.line[i]), float(self.line[j])) for i, j in zip(starts, ends, strict=True)]


@torch.no_grad()
def line_cells(
    dequantiser: Dequantiser,
    shares: Sequence[float],
    prior: Distribution | None = None,
    limits: tuple[float, float] = (-6.0, 6.0),
    draws: int = 2000,
    places: int = 2001,
    seed: int = 0,
) -> LineCells:
    """The densities P(x) q(z∣x) of all tokens of a dequantiser with d = 1, and where each can lie.

    Densities are exact where they are known, at draws of q, which is all that the contract of a dequantiser gives. So
    this works for every one of them: noise that a flow has learned, fixed cells, learned bounds.

    Arguments:
        dequantiser: with dim = 1. A token is drawn alone, as a sequence of length one.
        shares: P(x) of each token; they sum to one.
        prior: density of events of one number, such as `StandardLogistic(1)()`.
        limits: left and right end of the picture.
        draws, places: points at which densities, and supports and prior, are known.

    Raises:
        ValueError: for more than one dimension, or shares that are not V numbers that sum to one.

    Example:
        >>> from labkit.dequantise import UniformDequantiser
        >>> cells = line_cells(UniformDequantiser(4), [0.4, 0.3, 0.2, 0.1])
        >>> [(round(left, 1), round(right, 1)) for left, right in cells.supports(1)]  # from logit(1/4) to logit(1/2)
        [(-1.1, -0.0)]
    """
    if dequantiser.dim != 1:
        raise ValueError(f"line_cells draws a line and expected a dequantiser with dim=1; got dim={dequantiser.dim}")
    size = dequantiser.vocabulary_size
    if len(shares) != size or min(shares) < 0 or not math.isclose(sum(shares), 1, abs_tol=1e-6):
        raise ValueError(f"expected {size} shares that sum to 1; got {list(shares)}")
    like = next(t for t in [*dequantiser.parameters(), *dequantiser.buffers()] if t.is_floating_point())
    generator = torch.Generator(like.device).manual_seed(seed)
    tokens = torch.arange(size, device=like.device)[:, None, None].expand(size, draws, 1)
    z, log_q = dequantiser.encode(tokens, generator)
    z, order = z.flatten(1).sort(-1)
    density = like.new_tensor(shares)[:, None] * log_q.gather(-1, order).exp()
    line = torch.linspace(*limits, places, dtype=like.dtype, device=like.device)
    height = None if prior is None else _array(prior.log_prob(line[:, None]).exp())
    return LineCells(_array(z), _array(density), _array(line), _inside(dequantiser, line), height)


def plot_line_cells(
    cells: LineCells | Sequence[LineCells], titles: Sequence[str] = ("",), names: Sequence[str] | None = None
) -> go.Figure:
    """Several dequantisers of a line, one below the other: densities as hills, supports as bars below them.

    Where no two bars lie above one another, a point says for certain which token it came from. Where no bar lies,
    there is no token: what the prior (dashed) has there is lost.

    Arguments:
        cells: one `LineCells`, or several over the same part of the line.
        titles: one for each.
        names: of the tokens, for the legend; by default their numbers.

    Raises:
        ValueError: unless there is one title for each.
    """
    cells = [cells] if isinstance(cells, LineCells) else list(cells)
    if not cells or len(cells) != len(titles):
        raise ValueError(f"expected at least one LineCells and one title for each; got {len(cells)} and {len(titles)}")
    most = max(len(one.z) for one in cells)
    names = [f"token {x}" for x in range(most)] if names is None else names
    figure = make_subplots(
        len(cells), 1, shared_xaxes=True, subplot_titles=[escaped(title) for title in titles],
        vertical_spacing=0.32 / max(len(cells), 2),
    )  # fmt: skip
    known = [max(one.prior.max(initial=0) if one.prior is not None else 0, _top(one)) for one in cells]
    for row, (one, top) in enumerate(zip(cells, known, strict=True), start=1):
        for trace in _traces(one, names, top, legend=len(one.z) == most and row == 1):
            figure.add_trace(trace, row=row, col=1)
        figure.update_yaxes(range=[-STEP * top * (len(one.z) + 0.7), 1.1 * top], row=row, col=1)
    high = TOP + ROW * len(cells) + BOTTOM + LEGEND
    figure.update_layout(layout(WIDTH, high, "", bottom=BOTTOM + LEGEND), margin_t=TOP - 16)
    figure.update_annotations(font_size=14, font_color=INK, x=0, xanchor="left")
    figure.update_yaxes(showticklabels=False).update_xaxes(range=[cells[0].line[0], cells[0].line[-1]])
    place = dict(orientation="h", x=0, y=-(BOTTOM - 8) / (high - TOP - BOTTOM - LEGEND), yanchor="top")
    figure.update_layout(legend=place | dict(itemclick=False, itemdoubleclick=False))
    return figure.update_xaxes(title="z", row=len(cells), col=1)


def plot_support_sweep(
    values: Sequence[float],
    cells: Sequence[LineCells],
    notes: Sequence[str],
    names: Sequence[str] | None = None,
    setting: str = "β",
    shown: int = -1,
    title: str = "",
) -> go.Figure:
    """How supports move as a setting changes: below, all of them as a map; above, the densities at one value.

    The map needs no touch: each token is a band, from one end of its support to the other, and the setting goes
    upwards. A slider picks the value that is drawn above, and marks it in the map.

    Arguments:
        values: of the setting, positive and increasing; the map's axis is logarithmic.
        cells: one for each, over the same part of the line.
        notes: one for each, shown above the densities: what it costs.
        names: of the tokens, for the legend; by default their numbers.
        setting: its name.
        shown: which value is drawn at first.

    Raises:
        ValueError: unless there are at least two values, with cells and a note for each.
    """
    values, cells, notes = list(values), list(cells), [escaped(note) for note in notes]
    if len(values) < 2 or not len(values) == len(cells) == len(notes) or values[0] <= 0 or values != sorted(values):
        raise ValueError(
            "expected at least two positive, increasing values, with cells and a note for each; "
            f"got values={values}, {len(cells)} cells and {len(notes)} notes"
        )
    figure = make_subplots(2, 1, shared_xaxes=True, row_heights=[0.5, 0.5], vertical_spacing=0.05)
    top, shown = max(_top(one, share=0.98) for one in cells), shown % len(values)
    names = [f"token {x}" for x in range(len(cells[0].z))] if names is None else names
    frames = [_traces(one, names, top, legend=True) for one in cells]
    for trace in frames[shown]:
        figure.add_trace(trace, row=1, col=1)
    for trace in _bands(values, cells):
        figure.add_trace(trace, row=2, col=1)
    ends = cells[0].line[[0, -1]]
    figure.add_scatter(
        x=ends, y=[values[shown]] * 2, mode="lines", line=dict(color=INK, width=2), showlegend=False, hoverinfo="skip",
        row=2, col=1,
    )  # fmt: skip
    figure.update_layout(layout(WIDTH, SWEEP, title, bottom=BOTTOM + SLIDER + LEGEND), margin_t=HEAD)
    figure.add_annotation(
        text=notes[shown], x=0, y=1.01, xref="paper", yref="paper", xanchor="left", yanchor="bottom", showarrow=False,
        font=dict(size=14, color=MUTED),
    )  # fmt: skip
    label = dict(prefix=f"{setting} = ", font=dict(size=16))
    steps = _steps(values, frames, notes, ends, mark=len(figure.data) - 1)
    figure.update_layout(sliders=[dict(active=shown, steps=steps, currentvalue=label, pad=dict(t=48))])
    inner = SWEEP - HEAD - BOTTOM - SLIDER - LEGEND
    place = dict(orientation="h", x=0.5, xanchor="center", y=-(BOTTOM + SLIDER + 4) / inner, yanchor="top")
    figure.update_layout(legend=place | dict(itemclick=False, itemdoubleclick=False))
    figure.update_yaxes(range=[-STEP * top * (len(names) + 0.7), 1.1 * top], showticklabels=False, row=1, col=1)
    ticks = [tick for tick in TICKS if values[0] <= tick <= values[-1]]
    reach = np.log10([values[0], values[-1]])
    figure.update_yaxes(type="log", title=setting, tickvals=ticks, range=reach, row=2, col=1)
    return figure.update_xaxes(range=ends).update_xaxes(title="z", row=2, col=1)


def _steps(
    values: Sequence[float], frames: Sequence[list[go.Scatter]], notes: Sequence[str], ends: np.ndarray, mark: int
) -> list[dict]:
    """What the slider does at each value: hills and bars as in its frame, and the mark, a trace's number, at it."""
    moving = [number for number, trace in enumerate(frames[0]) if trace.legendgroup]  # the prior stays
    steps = []
    for value, frame, note in zip(values, frames, notes, strict=True):
        data = {"x": [*(frame[i].x for i in moving), ends], "y": [*(frame[i].y for i in moving), [value, value]]}
        steps.append(
            dict(method="update", label=f"{value:g}", args=[data, {"annotations[0].text": note}, [*moving, mark]])
        )
    return steps


def _traces(cells: LineCells, names: Sequence[str], top: float, legend: bool) -> list[go.Scatter]:
    """Prior, then a hill for each token, then its bar: always that many, so that one frame can follow another."""
    traces = []
    if cells.prior is not None:
        traces.append(go.Scatter(
            x=cells.line, y=cells.prior, mode="lines", line=dict(color=INK, width=2, dash="dash"), name="prior p(z)",
            showlegend=legend, hoverinfo="skip",
        ))  # fmt: skip
    for x, (z, density) in enumerate(zip(cells.z, cells.density, strict=True)):
        colour = cycle(MODE_COLOURS, x)
        # upright sides, where a density ends as it is cut
        traces.append(go.Scatter(
            x=z[[0, *range(len(z)), -1]], y=[0.0, *density, 0.0], mode="lines", fill="tozeroy", name=escaped(names[x]),
            line=dict(color=colour, width=1.5, simplify=False), opacity=0.8, legendgroup=f"{x}", showlegend=legend,
            hovertemplate="z = %{x:.2f}, P(x) q(z∣x) = %{y:.3f}<extra>%{fullData.name}</extra>",
        ))  # fmt: skip
    for x in range(len(cells.z)):
        pieces = cells.supports(x)
        traces.append(go.Scatter(
            x=[end for piece in pieces for end in (*piece, None)],
            y=[-STEP * top * (x + 0.8)] * (3 * len(pieces)), mode="lines", legendgroup=f"{x}", showlegend=False,
            line=dict(color=cycle(MODE_COLOURS, x), width=BAR), hoverinfo="skip",
        ))  # fmt: skip
    return traces


def _bands(values: Sequence[float], cells: Sequence[LineCells]) -> list[go.Scatter]:
    traces = []
    for x in range(len(cells[0].z)):
        edges = [(value, one.supports(x)) for value, one in zip(values, cells, strict=True)]
        low = [(pieces[0][0], value) for value, pieces in edges if pieces]
        high = [(pieces[-1][1], value) for value, pieces in edges if pieces]
        outline = np.array([*low, *high[::-1]]).reshape(-1, 2)
        traces.append(go.Scatter(
            x=outline[:, 0], y=outline[:, 1], mode="lines", fill="toself", line=dict(color=cycle(MODE_COLOURS, x)),
            fillcolor=cycle(MODE_COLOURS, x), opacity=0.5, legendgroup=f"{x}", showlegend=False, hoverinfo="skip",
        ))  # fmt: skip
    return traces


def _top(cells: LineCells, share: float = 1.0) -> float:
    """The height that holds all densities, or all but the highest spikes."""
    return float(np.quantile(cells.density, share))


def _inside(dequantiser: Dequantiser, line: Tensor) -> Bool[np.ndarray, "V N"]:
    size = dequantiser.vocabulary_size
    points = line[:, None, None]
    if isinstance(dequantiser, CellDequantiser):
        return (dequantiser.cell(points)[:, 0] == torch.arange(size, device=line.device)[:, None]).cpu().numpy()
    if isinstance(dequantiser, TruncatedDequantiser):
        return dequantiser.supports(points)[:, 0].T.cpu().numpy()
    return np.ones((size, len(line)), dtype=bool)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
