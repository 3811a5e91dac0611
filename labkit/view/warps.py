"""What a transform does to the plane: squared paper pushed through it, above the density that it makes."""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import plotly.graph_objects as go
import torch
from jaxtyping import Float
from plotly.subplots import make_subplots
from torch import Tensor
from torch.distributions import Distribution

from labkit.density.grid import Grid
from labkit.flows.base import StandardNormal
from labkit.flows.flow import FlowDistribution
from labkit.flows.transforms import Transform
from labkit.view.grids import PROBS, Limits, equal_scale, flow_lattice, shared_limits
from labkit.view.panels import BOTTOM, LEFT, RIGHT, TOP, draw_grid, escaped, layout, legend
from labkit.view.pictures import DensityGrid
from labkit.view.plots import FAMILIES

FOR_LEVELS = 4000  # samples that place the regions
WIDEST, GAP, LEGENDS = 860, 24, 44  # px: a figure, between panels, below them


@dataclass(frozen=True, eq=False)
class Warp:
    """A transform of the plane, in arrays.

    Attributes:
        before, after: the same polylines at the base and at the data, (L, N, 2): the upright ones first.
        density: that of z = T(u) with u from the base: regions on a grid, without samples or modes.
    """

    before: Float[np.ndarray, "lines nodes 2"]
    after: Float[np.ndarray, "lines nodes 2"]
    density: DensityGrid

    @property
    def limits(self) -> Limits:
        """((left, right), (bottom, top)) of the density's picture; lines may leave it."""
        return self.density.limits


def warped_lattice(
    transform: Transform,
    context: Float[Tensor, " c"] | None = None,
    base: Distribution | None = None,
    reach: float = 2.5,
    lines: int = 15,
    nodes: int = 201,
    resolution: int = 161,
    limits: Limits | None = None,
    probs: Sequence[float] = PROBS,
    seed: int = 0,
) -> Warp:
    """Push a square lattice over [−reach, reach]² through a transform, and compute the density that it makes.

    Arguments:
        transform: of two features; it is left as it is.
        context: one context (c,), or None.
        base: the density of u, by default the standard normal.
        lines, nodes: lines of each kind, and points of a line.
        resolution: nodes along each axis of the density's grid.
        limits: ((left, right), (bottom, top)) of that grid; by default where the density is. Give the box
            itself for a transform onto a box.
        probs: the regions; a region's level is a quantile of log p over 4,000 samples.

    Raises:
        ValueError: for a transform of another width than 2.

    Example:
        >>> from labkit.flows.affine import ElementwiseAffine
        >>> from labkit.flows.coupling import Coupling
        >>> warp = warped_lattice(Coupling(ElementwiseAffine(), 2), lines=3, resolution=61)
        >>> warp.after.shape, warp.density.log_prob.shape, round(warp.density.mass_check, 2)
        ((6, 201, 2), (61, 61), 1.0)
    """
    if transform.features != 2:
        raise ValueError(
            f"warped_lattice draws a plane and expected a transform of 2 features; got {transform.features}"
        )
    like = next(transform.parameters(), torch.zeros(()))
    base = StandardNormal(2).to(like)() if base is None else base
    flow = FlowDistribution(transform, base, context)
    before = flow_lattice(reach, lines, nodes)
    with torch.no_grad():
        after = transform(torch.as_tensor(before).to(like), context)
        samples, log_prob = flow.rsample_and_log_prob((FOR_LEVELS,), generator=_generator(seed, like))
        levels = log_prob.double().quantile(1 - torch.tensor(probs, dtype=torch.float64, device=like.device))
        if limits is None:
            grid = Grid.covering(samples, coverage=0.998, margin=0.08)
            limits = tuple(zip(grid.lower.tolist(), grid.upper.tolist(), strict=True))
        x, y = (np.linspace(*side, resolution) for side in limits)
        places = torch.as_tensor(np.stack(np.meshgrid(x, y), axis=-1)).to(like)
        on_grid = _array(flow.log_prob(places))
    mass = float(np.trapezoid(np.trapezoid(np.exp(on_grid), x, axis=1), y))
    density = DensityGrid(
        word="", x=x, y=y, log_prob=on_grid, probs=tuple(probs), levels=_array(levels),
        samples=np.empty((0, 2)), sample_modes=np.empty(0, dtype=int), modes=(),
        entropy=float(-log_prob.mean()), mass_check=mass,
    )  # fmt: skip
    return Warp(before, _array(after), density)


def plot_warp(warps: Warp | Sequence[Warp], titles: Sequence[str] = ("",), limits: Limits | None = None) -> go.Figure:
    """Squared paper after each transform, side by side, and below it the density that this makes.

    Every square of paper holds a known probability: where squares are small, the density below is high.

    Arguments:
        warps: one `Warp`, or several.
        titles: one for each.
        limits: ((left, right), (bottom, top)) of all panels; by default they hold every density, and a unit is as
            long upwards as it is sideways.

    Raises:
        ValueError: unless there is one title for each warp.
    """
    warps = [warps] if isinstance(warps, Warp) else list(warps)
    if not warps or len(warps) != len(titles):
        raise ValueError(f"expected at least one warp and one title for each; got {len(warps)} and {len(titles)}")
    limits = limits or equal_scale(shared_limits([warp.density for warp in warps], margin=0), aspect=1.0)
    panel = int(max(120, min(300, (WIDEST - LEFT - RIGHT + GAP) / len(warps) - GAP)))
    wide, high = panel * len(warps) + GAP * (len(warps) - 1), 2 * panel + GAP
    figure = make_subplots(
        2, len(warps), subplot_titles=[escaped(title) for title in titles], shared_xaxes=True, shared_yaxes=True,
        horizontal_spacing=GAP / wide, vertical_spacing=GAP / high,
    )  # fmt: skip
    size = LEFT + wide + RIGHT, TOP + high + BOTTOM + LEGENDS
    figure.update_layout(layout(*size, "", bottom=BOTTOM + LEGENDS), margin_t=TOP).update_annotations(font_size=14)
    for column, warp in enumerate(warps, start=1):
        _draw_lines(figure, warp.after, first=column == 1, row=1, col=column)
        draw_grid(figure, warp.density, limits, (panel, panel), labels=False, row=2, col=column)
        figure.update_xaxes(title_text="z₁", row=2, col=column)
    legend(figure, warps[0].density.probs, samples=False, point=False, below=True)
    figure.update_layout(legend_y=-60 / high, legend_title_text="Share of the probability:  ")
    figure.update_xaxes(range=limits[0]).update_yaxes(range=limits[1])
    return figure.update_yaxes(title_text="z₂", col=1)


def _draw_lines(figure: go.Figure, lattice: np.ndarray, first: bool, **cell):
    for lines, (colour, family) in zip(np.array_split(lattice, 2), FAMILIES, strict=True):
        for number, line in enumerate(lines):
            # the middle line is thicker, so that the eye can follow it
            middle = number == len(lines) // 2
            figure.add_scatter(
                x=line[:, 0], y=line[:, 1], mode="lines", name=family, legendgroup=family,
                line=dict(color=colour, width=3 if middle else 1), opacity=1 if middle else 0.7,
                hoverinfo="skip", showlegend=first and middle, legendrank=1001, **cell,
            )  # fmt: skip


def _generator(seed: int, like: Tensor) -> torch.Generator:
    return torch.Generator(like.device).manual_seed(seed)


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()
