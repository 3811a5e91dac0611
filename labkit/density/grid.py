"""Regular grids over R^1 and R^2, and the few calls through which this room touches a density.

A *density* here is any `torch.distributions.Distribution` with `event_shape == (k,)` and
`batch_shape == ()`: a flow given a word, a Gaussian, a mixture, a posterior.
"""

import inspect
import math
from collections.abc import Callable
from dataclasses import dataclass

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor
from torch.distributions import Distribution

MAX_GRID_DIM = 2  # above two dimensions a grid is too large, and samples take its place


def dimension(density: Distribution) -> int:
    """The k of a density over R^k; ValueError if it is a batch of densities or has no event axis."""
    if len(density.event_shape) != 1 or len(density.batch_shape) != 0:
        raise ValueError(
            f"Expected one density with event_shape (k,) and batch_shape (); got event_shape "
            f"{tuple(density.event_shape)} and batch_shape {tuple(density.batch_shape)}. Wrap scalar "
            "coordinates in torch.distributions.Independent, or index one density out of the batch."
        )
    return density.event_shape[0]


def seeded(generator: torch.Generator | None) -> torch.Generator:
    """The generator itself, or one seeded with 0: asked twice, a question about a density has one answer."""
    return torch.Generator().manual_seed(0) if generator is None else generator


def draw(density: Distribution, n: int, generator: torch.Generator | None = None) -> Float[Tensor, "n k"]:
    """n samples (n, k) from a density, reproducibly.

    The generator is handed to `density.sample` if that takes one. Torch's own distributions do not:
    for them the global generators are seeded from ours inside a fork and put back afterwards.
    """
    generator = seeded(generator)
    shape = torch.Size((n,))
    with torch.no_grad():
        if "generator" in inspect.signature(density.sample).parameters:
            try:
                return density.sample(shape, generator=generator)
            except RuntimeError as error:
                if "device" not in str(error):
                    raise  # else: a CPU generator cannot serve a density on a GPU, but can seed it
        seed = int(torch.randint(2**62, (), generator=generator, device=generator.device))
        cuda = list(range(torch.cuda.device_count())) if torch.cuda.is_initialized() else []
        with torch.random.fork_rng(devices=cuda):
            torch.random.default_generator.manual_seed(seed)
            if cuda:
                torch.cuda.manual_seed_all(seed)
            return density.sample(shape)


def in_chunks(function: Callable[[Tensor], Tensor], points: Tensor, chunk: int = 16384) -> Tensor:
    """function(points) without gradients, at most `chunk` points at a time, so that memory stays bounded."""
    with torch.no_grad():
        return torch.cat([function(part) for part in points.split(chunk)])


def in_support(density: Distribution, points: Float[Tensor, "*n k"]) -> Bool[Tensor, "*n"]:
    """Whether the density may be asked for log_prob at points (..., k) without an error, (...) bool."""
    try:
        return density.support.check(points)
    except NotImplementedError:
        return points.isfinite().all(-1)


def log_prob_on(density: Distribution, points: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
    """log p at points (N, k) -> (N,) without gradients, -inf outside the support instead of an error."""
    inside = in_support(density, points)
    if inside.all():
        return in_chunks(density.log_prob, points)
    log_prob = points.new_full(points.shape[:-1], -math.inf)
    if inside.any():
        log_prob[inside] = in_chunks(density.log_prob, points[inside])
    return log_prob


def log_prob_on_grid(density: Distribution, grid: "Grid", chunk: int = 16384) -> Float[Tensor, "G"]:
    """log p at all centres (G,) of a grid without gradients; a flow is asked along the grid's axes, which is faster."""
    if not hasattr(density, "log_prob_on_axes"):
        return log_prob_on(density, grid.points)
    first, *others = grid.axes
    rows = max(1, chunk * first.numel() // math.prod(grid.shape))
    with torch.no_grad():
        return torch.cat([density.log_prob_on_axes(part, *others).flatten() for part in first.split(rows)])


@dataclass(frozen=True)
class Grid:
    """A box in R^k, k = 1 or 2, cut into equal cells and represented by the cells' centres.

    Sums over centres are the midpoint rule: for a smooth density that has died out at the walls its
    error falls faster than any power of the cell size.

    Arguments:
        lower, upper: corners of the box, (k,) each.
        shape: number of cells along each axis, k integers; G is their product.

    Example:
        >>> grid = Grid(torch.tensor([-6.0]), torch.tensor([6.0]), (200,))
        >>> normal = torch.distributions.Normal(0.0, 1.0)
        >>> round(grid.integrate(normal.log_prob(grid.points).squeeze(-1).exp()).item(), 5)
        1.0
    """

    lower: Float[Tensor, "k"]
    upper: Float[Tensor, "k"]
    shape: tuple[int, ...]

    def __post_init__(self):
        k = len(self.shape)
        if not 1 <= k <= MAX_GRID_DIM or self.lower.shape != (k,) or self.upper.shape != (k,):
            raise ValueError(
                f"A grid needs bounds of shape (k,) and k cell counts with k = 1 or 2; got bounds "
                f"{tuple(self.lower.shape)}, {tuple(self.upper.shape)} and shape {self.shape}."
            )
        if not (self.lower < self.upper).all():
            raise ValueError(f"Expected lower < upper on every axis; got {self.lower} and {self.upper}.")

    @classmethod
    def covering(
        cls,
        samples: Float[Tensor, "n k"],
        resolution: int | None = None,
        coverage: float = 0.9999,
        margin: float = 0.1,
    ) -> "Grid":
        """The grid over the central `coverage` of each coordinate of samples (N, k), plus a margin.

        The margin is a share of the width, added on both sides. `resolution` cells lie along each axis
        (default: 1001 for k = 1, 121 for k = 2).
        """
        k = samples.shape[-1]
        tail = (1 - coverage) / 2
        ends = torch.quantile(samples, samples.new_tensor([tail, 1 - tail]), dim=0)  # (2, k)
        # a collapsed density still needs a box of positive width
        smallest = (1 + ends.abs().amax(0)) * math.sqrt(torch.finfo(samples.dtype).eps)
        pad = margin * (ends[1] - ends[0]) + smallest
        return cls(ends[0] - pad, ends[1] + pad, (resolution or default_resolution(k),) * k)

    def around(self, mass: Float[Tensor, "G"], coverage: float = 0.9999, margin: float = 0.1) -> "Grid":
        """The grid of the same shape closed in on (or pushed out after) a mass (G,) on this one's cells."""
        tail, field = (1 - coverage) / 2, mass.reshape(self.shape) / mass.sum()
        lower, upper = [], []
        for axis, step in enumerate(self.step):
            marginal = field if field.ndim == 1 else field.sum(1 - axis)
            cumulative = marginal.cumsum(0)
            first = (cumulative <= tail).sum().clamp(max=len(marginal) - 1)
            last = (cumulative < 1 - tail).sum().clamp(first, len(marginal) - 1)
            pad, width = torch.maximum(margin * (last - first + 1) * step, 2 * step), len(marginal) * step
            # mass at a wall may go on behind it: step out by the whole width, and come back in later
            lower.append(self.lower[axis] + first * step - (pad if first > 0 else width))
            upper.append(self.lower[axis] + (last + 1) * step + (pad if last < len(marginal) - 1 else width))
        return Grid(torch.stack(lower), torch.stack(upper), self.shape)

    @property
    def step(self) -> Float[Tensor, "k"]:
        """Width of a cell along each axis, (k,)."""
        return (self.upper - self.lower) / self.lower.new_tensor(self.shape)

    @property
    def cell_volume(self) -> float:
        return self.step.prod().item()

    @property
    def axes(self) -> tuple[Tensor, ...]:
        """Centres along each axis, k tensors (R,)."""
        return tuple(
            low + (torch.arange(n, dtype=low.dtype, device=low.device) + 0.5) * step
            for low, n, step in zip(self.lower, self.shape, self.step, strict=True)
        )

    @property
    def points(self) -> Float[Tensor, "G k"]:
        """All centres (G, k), the last axis running fastest: `values.reshape(grid.shape)` is the picture."""
        return torch.stack(torch.meshgrid(*self.axes, indexing="ij"), dim=-1).flatten(0, -2)

    def log_mass(self, log_prob: Float[Tensor, "G"]) -> Float[Tensor, "G"]:
        """log of the mass in each cell (G,) from log p at the centres (G,), nats; not renormalised."""
        return log_prob + math.log(self.cell_volume)

    def integrate(self, values: Float[Tensor, "*batch G"]) -> Float[Tensor, "*batch"]:
        """The integral of a function over the box from its values at the centres, (..., G) -> (...)."""
        return values.sum(-1) * self.cell_volume

    def contains(self, points: Float[Tensor, "n k"]) -> Bool[Tensor, "n"]:
        """Whether points (N, k) lie in the box, (N,) bool."""
        return ((points >= self.lower) & (points <= self.upper)).all(-1)

    def index(self, points: Float[Tensor, "n k"]) -> Int[Tensor, "n"]:
        """Flat index of the cell each point (N, k) lies in, (N,); of the nearest one from outside."""
        top = torch.tensor(self.shape, device=points.device) - 1
        # clamped before the cast: a float beyond the range of integers has no defined cast
        cell = ((points - self.lower) / self.step).floor().clamp(torch.zeros_like(self.lower), top)
        flat = cell.long()[..., 0]
        for axis in range(1, len(self.shape)):
            flat = flat * self.shape[axis] + cell.long()[..., axis]
        return flat

    def interpolate(self, values: Float[Tensor, "G"], points: Float[Tensor, "n k"]) -> Float[Tensor, "n"]:
        """Multilinear interpolation of values (G,) at points (N, k), constant beyond the outer centres."""
        top = self.lower.new_tensor(self.shape) - 1
        place = ((points - self.lower) / self.step - 0.5).clamp(torch.zeros_like(top), top)
        corner = place.detach().floor().clamp(max=top - 1).long()
        share = place - corner
        total = 0.0
        for bits in range(2 ** len(self.shape)):
            flat, weight = torch.zeros_like(corner[..., 0]), 1.0
            for axis, n in enumerate(self.shape):
                up = bits >> axis & 1
                flat = flat * n + corner[..., axis] + up
                weight = weight * (share[..., axis] if up else 1 - share[..., axis])
            # a corner of weight 0 must not turn -inf into nan
            total = total + torch.where(weight > 0, weight * values[flat], 0.0)
        return total


def default_resolution(k: int) -> int:
    """Cells along an axis: fine where they are cheap."""
    return 1001 if k == 1 else 121
