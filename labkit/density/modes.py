"""The modes of a density: where its mass gathers, how much of it, and how surely apart from the rest."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from labkit.density.ascent import ascend, distinct_ends, saddle_heights
from labkit.density.basins import cell_heights, merge_basins, sharpness, watershed
from labkit.density.grid import MAX_GRID_DIM, Grid, dimension, draw, log_prob_on, log_prob_on_grid

NUMERICAL_DROP = 0.02  # nats: what a grid of about 100 cells an axis cannot tell from its own error
MAX_SHARPNESS = 0.3  # a grid is refined until its cells are about half as wide as the ridges it shows ...
MAX_CELLS = 1_000_000  # ... or there are this many
SAME_END = 0.1  # climbs that end closer than this (in standard deviations of the density) ended together


@dataclass(frozen=True)
class Mode:
    """One mode of a density.

    Attributes:
        location: its maximum, (k,).
        mass: probability of its basin of attraction, in [0, 1].
        log_density: log p at the maximum, nats.
        drop: how far log p falls, at least, on the way from here to a higher mode, nats: the height of the
            maximum above its highest pass. Infinite for the highest mode.
        members: the density's own samples that belong to it, (M, k).
    """

    location: Float[Tensor, "k"]
    mass: float
    log_density: float
    drop: float
    members: Float[Tensor, "m k"]

    def __repr__(self) -> str:
        place = ", ".join(f"{x:.3g}" for x in self.location.tolist())
        return (
            f"Mode([{place}], mass={self.mass:.3f}, log_density={self.log_density:.2f}, drop={self.drop:.2f})"
        )


class Modes(Sequence[Mode]):
    """The modes of one density, heaviest first, and the way from any point to its mode."""

    def __init__(self, modes: Sequence[Mode], assign: Callable[[Tensor], Tensor]):
        self._modes, self._assign = list(modes), assign

    def __len__(self) -> int:
        return len(self._modes)

    def __getitem__(self, index):
        return self._modes[index]

    def __iter__(self) -> Iterator[Mode]:
        return iter(self._modes)

    def __repr__(self) -> str:
        return "Modes(" + ", ".join(map(repr, self._modes)) + ")"

    @property
    def masses(self) -> Float[Tensor, "modes"]:
        """(M,), summing to 1."""
        return torch.tensor([mode.mass for mode in self._modes])

    @property
    def locations(self) -> Float[Tensor, "modes k"]:
        """(M, k)."""
        return torch.stack([mode.location for mode in self._modes])

    @property
    def separation(self) -> float:
        """The largest significance (nats) at which a second mode would still count; 0 without one."""
        drops = sorted(mode.drop for mode in self._modes)
        return drops[-2] if len(drops) > 1 else 0.0

    def assign(self, points: Tensor) -> Int[Tensor, "n"]:
        """Index of the mode in whose basin each point (N, k) lies, (N,) int64."""
        k = self._modes[0].location.shape[0]
        if points.ndim != 2 or points.shape[1] != k:
            raise ValueError(f"Expected points of shape (N, {k}); got {tuple(points.shape)}.")
        return self._assign(points)


def find_modes(
    density: Distribution,
    n_samples: int = 2000,
    min_mass: float = 0.05,
    significance: float | Callable[[Distribution], float] | None = None,
    resolution: int | None = None,
    generator: torch.Generator | None = None,
) -> Modes:
    """The modes of a density over R^k that hold enough mass and stand clear of each other.

    A mode counts when its basin of attraction has mass >= min_mass, and log p falls by more than
    `significance` nats on the best path to any higher mode. Lesser ones are merged by persistence: the
    smallest drop first, and what is too light into the neighbour behind its highest pass.

    For k <= 2 the basins are those of steepest ascent on a grid over the density's samples, masses are
    sums over its cells, and passes are exact up to the cell size. Above, and for a density in threads too
    thin for a grid of a million cells, samples climb log p by gradients, masses are their shares (standard
    error sqrt(m (1 - m) / n_samples)), and passes come from strings relaxed onto the ridges.

    Arguments:
        density: event_shape (k,), batch_shape (); differentiable if k > 2.
        n_samples: samples that place the grid (k <= 2) or climb (k > 2); they become the modes' `members`.
        min_mass: least mass of a mode.
        significance: least drop in nats, or a function of the density that returns it, such as one that
            looks up a `NullTable`. None counts every drop above the numerical error (0.02 nats).
        resolution: cells along each axis of the grid (default 1001 for k = 1, 121 for k = 2), doubled for
            a density with ridges thinner than two cells.
        generator: None gives the same answer at every call.

    Example:
        >>> from torch.distributions import Categorical, Independent, MixtureSameFamily, Normal
        >>> parts = Independent(Normal(torch.tensor([[-3.0, 0.0], [3.0, 0.0]]), torch.ones(2, 2)), 1)
        >>> modes = find_modes(MixtureSameFamily(Categorical(torch.tensor([0.25, 0.75])), parts))
        >>> [round(m, 2) for m in modes.masses.tolist()]
        [0.75, 0.25]
        >>> modes.assign(torch.tensor([[-2.0, 1.0], [4.0, 0.0]])).tolist()
        [1, 0]
    """
    k = dimension(density)
    if not 0 <= min_mass < 1:
        raise ValueError(f"min_mass is a share of the probability in [0, 1); got {min_mass}.")
    drop = significance(density) if callable(significance) else (significance or 0.0)
    samples = draw(density, n_samples, generator)
    drop = max(drop, NUMERICAL_DROP)
    if k <= MAX_GRID_DIM:
        grid, field = _resolved(density, samples, resolution)
        if not sharpness(field) > 1:  # a NaN goes on to be reported
            return _search_grid(density, samples, drop, min_mass, grid, field)
    return _search_samples(density, samples, drop, min_mass)


def _search_grid(
    density, samples: Tensor, drop: float, min_mass: float, grid: Grid, field: np.ndarray
) -> Modes:
    cells = cell_heights(field)
    label, peak, pairs, saddle = watershed(cells.top, cells.face)
    mass = np.bincount(label.ravel(), np.exp(field - field.max()).ravel(), minlength=len(peak))
    peak_height = cells.top.ravel()[peak]
    owner, passes = merge_basins(peak_height, mass / mass.sum(), pairs, saddle, drop, min_mass)
    shift = torch.as_tensor(cells.where.reshape(-1, 2)[peak, : len(grid.shape)], dtype=samples.dtype)
    peak_place = grid.points[torch.as_tensor(peak, device=samples.device)]
    location = peak_place + shift.to(samples.device) * grid.step
    basin_of_cell = torch.as_tensor(label.ravel(), device=samples.device)
    return _gather(
        density, samples, location, peak_height, mass / mass.sum(), owner, passes,
        basin_of=lambda points: basin_of_cell[grid.index(points)],
    )  # fmt: skip


def _picture(grid: Grid, log_prob: Tensor) -> np.ndarray:
    """log p as a 2-D array; one coordinate gives a landscape of width 1."""
    return log_prob.double().cpu().numpy().reshape(grid.shape if len(grid.shape) == 2 else (-1, 1))


def _resolved(density, samples: Tensor, resolution: int | None) -> tuple[Grid, np.ndarray]:
    """A grid over the samples whose cells are narrower than the density's ridges, and log p on it."""
    grid = Grid.covering(samples, resolution)
    log_prob = log_prob_on_grid(density, grid)
    while sharpness(_picture(grid, log_prob)) > MAX_SHARPNESS and len(log_prob) <= MAX_CELLS / 4:
        grid, log_prob = _refined(density, grid, log_prob)
    return grid, _picture(grid, log_prob)


def _refined(density, grid: Grid, log_prob: Tensor) -> tuple[Grid, Tensor]:
    """Cells of half the width; log p is computed where there is mass and interpolated where there is none."""
    k, top = len(grid.shape), log_prob.max()
    fine = Grid(grid.lower, grid.upper, tuple(2 * n for n in grid.shape))
    field = log_prob.clamp_min(top - 1e4).reshape(1, 1, *grid.shape)
    nearby = (functional.max_pool1d, functional.max_pool2d)[k - 1](field, 3, stride=1, padding=1)
    worth = functional.interpolate((nearby > top - 20).to(field), scale_factor=2).flatten() > 0
    guess = functional.interpolate(field, scale_factor=2, mode=("linear", "bilinear")[k - 1]).flatten()
    guess[worth] = log_prob_on(density, fine.points[worth])
    return fine, guess


def _search_samples(density, samples: Tensor, drop: float, min_mass: float) -> Modes:
    scale = samples.std(0).clamp_min(torch.finfo(samples.dtype).tiny)
    ends, value = ascend(density, samples, scale)
    leaders, basin = distinct_ends(ends / scale, value, SAME_END)
    tops = ends[leaders]
    pairs = _neighbours(tops / scale)
    saddle = saddle_heights(density, tops[pairs[:, 0]], tops[pairs[:, 1]], scale).double().cpu().numpy()
    height = value[leaders].double().cpu().numpy()
    mass = torch.bincount(basin, minlength=len(tops)).double().cpu().numpy() / len(samples)
    owner, passes = merge_basins(height, mass, pairs.cpu().numpy(), saddle, drop, min_mass)

    def basin_of(points: Tensor) -> Tensor:
        if points is samples:
            return basin
        return torch.cdist(ascend(density, points, scale)[0] / scale, tops / scale).argmin(-1)

    return _gather(density, samples, tops, height, mass, owner, passes, basin_of)


def _neighbours(tops: Tensor, nearest: int = 6) -> Tensor:
    """Pairs (E, 2) of places whose passes are worth computing: the nearest few, and a tree that joins all."""
    distance = torch.cdist(tops, tops)
    near = distance.argsort(-1)[:, : nearest + 1].tolist()
    pairs = {tuple(sorted((i, j))) for i, row in enumerate(near) for j in row if i != j}
    away = distance[0].clone()  # Prim's algorithm
    via, joined = torch.zeros(len(tops), dtype=torch.long), {0}
    while len(joined) < len(tops):
        away[list(joined)] = torch.inf
        new = int(away.argmin())
        pairs.add(tuple(sorted((new, int(via[new])))))
        joined.add(new)
        closer = distance[new] < away
        away, via = torch.where(closer, distance[new], away), torch.where(closer.cpu(), new, via)
    return torch.tensor(sorted(pairs), dtype=torch.long, device=tops.device).reshape(-1, 2)


def _gather(density, samples, location, height, mass, owner, passes, basin_of) -> Modes:
    """The merged basins as Modes, heaviest first."""
    total = np.bincount(owner, mass, minlength=len(owner))
    order = sorted(set(owner.tolist()), key=lambda i: (-total[i], i))
    mode_of_basin = torch.as_tensor([order.index(i) for i in owner.tolist()], device=samples.device)

    def assign(points: Tensor) -> Tensor:
        return mode_of_basin[basin_of(points)]

    of_sample, log_density = assign(samples), log_prob_on(density, location[order])
    modes = []
    for number, i in enumerate(order):
        higher = [passes[i, j] for j in order if (height[j], j) > (height[i], i)]
        fall = height[i] - max(higher) if higher else np.inf
        members = samples[of_sample == number]
        modes.append(Mode(location[i], float(total[i]), log_density[number].item(), float(fall), members))
    return Modes(modes, assign)
