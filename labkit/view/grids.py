"""Densities as plain arrays, ready to be drawn. Everything that a picture shows is computed here."""

from collections.abc import Sequence

import numpy as np
import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution

from labkit.density import entropy as entropy_of
from labkit.density import find_modes, hdr_levels
from labkit.density.grid import Grid, dimension, draw, log_prob_on
from labkit.density.modes import Modes
from labkit.view.pictures import DensityGrid, DensityLine, ModeLabel, WordPoint
from labkit.view.projection import Limits, Projection, marginal, project

__all__ = [
    "DensityGrid", "DensityLine", "Limits", "ModeLabel", "PROBS", "Projection", "WordPoint",
    "density_grid", "density_line", "equal_scale", "flow_lattice", "picture_of", "project", "shared_limits",
]  # fmt: skip

PROBS = (0.5, 0.8, 0.95, 0.99)
FOR_LIMITS, FOR_MARGINAL = 4000, 40_000  # samples that place a picture; that outline a marginal


def density_grid(
    density: Distribution,
    resolution: int = 121,
    probs: Sequence[float] = PROBS,
    n_samples: int = 500,
    seed: int = 0,
    limits: Limits | None = None,
    basis: Projection | None = None,
    modes: Modes | None = None,
    recount: bool = False,
) -> DensityGrid:
    """A density over two coordinates on a grid, or over k > 2 through the plane of `basis`.

    Arguments:
        density: event_shape (2,), or (k,) with a basis from `project`.
        resolution: nodes R along each axis.
        n_samples: samples to draw as marks; they are the same for the same seed.
        limits: ((left, right), (bottom, top)); by default where the density is.
        modes: by default the density's own.
        recount: the modes are another density's: those of a word, when what is drawn is the word in a
            sentence. Their masses are then this density's shares of the basins, with standard error
            sqrt(m (1 - m) / 4000), and each lies at the best sample in its basin.

    Errors:
        ValueError: another k than 2 and no basis.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> grid = density_grid(MultivariateNormal(torch.zeros(2), torch.eye(2)), resolution=61)
        >>> grid.log_prob.shape, len(grid.modes), round(grid.mass_check, 2)
        ((61, 61), 1, 1.0)
    """
    if (k := dimension(density)) != 2 and basis is None:
        raise ValueError(
            f"density_grid draws in a plane and got k = {k} coordinates. Use density_line for k = 1; for "
            "k > 2 pass basis=project([density, ...])."
        )
    several, placing = _sampled(density, max(n_samples, FOR_LIMITS), seed)
    plane = basis or (lambda points: points)
    labels, sample_modes = _labels(density, modes, recount, placing, n_samples, plane)
    x_limits, y_limits = limits or _covering(plane(several))
    x, y = np.linspace(*x_limits, resolution), np.linspace(*y_limits, resolution)
    if basis is None:
        nodes = np.stack(np.meshgrid(x, y), axis=-1).reshape(-1, 2)
        log_prob = log_prob_on(density, torch.as_tensor(nodes).to(placing))
        log_prob = _array(log_prob).reshape(resolution, resolution)
        levels = _levels(density, probs, seed)
    else:
        many = plane(_sampled(density, FOR_MARGINAL, seed + 1)[0])
        log_prob, levels = marginal(many, (x_limits, y_limits), resolution, probs)
    return DensityGrid(
        word=getattr(density, "word", ""),
        x=x, y=y, log_prob=log_prob, probs=tuple(probs), levels=levels,
        samples=plane(several[:n_samples]), sample_modes=sample_modes,
        modes=labels, entropy=_entropy(density),
        mass_check=float(np.trapezoid(np.trapezoid(np.exp(log_prob), x, axis=1), y)),
        is_marginal=basis is not None and basis.is_marginal,
        variance_explained=1.0 if basis is None else float(basis.variance_explained.sum()),
    )  # fmt: skip


def density_line(
    density: Distribution,
    resolution: int = 1001,
    probs: Sequence[float] = PROBS,
    n_samples: int = 500,
    seed: int = 0,
    limits: tuple[float, float] | None = None,
) -> DensityLine:
    """A density over one coordinate, event_shape (1,); see `density_grid`.

    Example:
        >>> from torch.distributions import Independent, Normal
        >>> line = density_line(Independent(Normal(torch.zeros(1), torch.ones(1)), 1))
        >>> round(float(line.log_prob.max()), 3), round(line.mass_check, 2)
        (-0.919, 1.0)
    """
    if (k := dimension(density)) != 1:
        raise ValueError(f"density_line draws k = 1 coordinate and got {k}: use density_grid.")
    several, placing = _sampled(density, max(n_samples, FOR_LIMITS), seed)
    labels, sample_modes = _labels(density, None, False, placing, n_samples, lambda points: points)
    z = np.linspace(*(limits or _covering(several)[0]), resolution)
    log_prob = _array(log_prob_on(density, torch.as_tensor(z[:, None]).to(placing)))
    return DensityLine(
        getattr(density, "word", ""), z, log_prob, tuple(probs), _levels(density, probs, seed),
        several[:n_samples], sample_modes, labels, _entropy(density),
        float(np.trapezoid(np.exp(log_prob), z)),
    )  # fmt: skip


def picture_of(density, **settings) -> DensityGrid | DensityLine | WordPoint:
    """The arrays that fit what `model[word]` gave: a plane, a line, or the place of a one-point distribution.

    What is already such a picture is returned as it is; settings go to `density_grid` or `density_line`.
    """
    if isinstance(density, DensityGrid | DensityLine | WordPoint):
        return density
    if hasattr(density, "location"):  # a deterministic word
        place = _array(torch.as_tensor(density.location)).reshape(-1)
        return WordPoint(getattr(density, "word", ""), place)
    return (density_line if dimension(density) == 1 else density_grid)(density, **settings)


def shared_limits(pictures: Sequence, margin: float = 0.06) -> Limits:
    """The smallest box that holds several grids, points and densities over two coordinates.

    A point gets a margin around it, as a share of the box, so that its mark is not cut off.

    Example:
        >>> left, right = (WordPoint("bank", np.array([x, 0.0])) for x in (-1.0, 1.0))
        >>> shared_limits([left, right], margin=0.5)
        ((-2.0, 2.0), (-1.0, 1.0))
    """
    places, corners = [], []
    for picture in pictures:
        if isinstance(picture, WordPoint) or hasattr(picture, "location"):
            places += [picture_of(picture).location]
        elif isinstance(picture, DensityGrid):
            corners += [np.array(picture.limits).T]
        else:
            corners += [np.array(_covering(_sampled(picture, FOR_LIMITS, seed=0)[0])).T]
    if any(place.shape[-1] != 2 for place in [*places, *corners]):
        raise ValueError("shared_limits holds pictures in a plane; got one of other than two coordinates.")
    if not corners and not places:
        raise ValueError("shared_limits needs at least one grid, density or point over two coordinates.")
    box = np.concatenate([*corners, np.reshape(places, (-1, 2))])
    lower, upper = box.min(0), box.max(0)
    pad = margin * (max((upper - lower).max(), 1e-6) if len(box) > 1 else 1 / margin)
    if places:
        lower = np.minimum(lower, np.min(places, axis=0) - pad)
        upper = np.maximum(upper, np.max(places, axis=0) + pad)
    return (float(lower[0]), float(upper[0])), (float(lower[1]), float(upper[1]))


def equal_scale(limits: Limits, aspect: float) -> Limits:
    """The limits, widened on one axis about their middle, so that width / height is `aspect`.

    In a frame of that shape a unit is then as long upwards as sideways, and a round Gaussian looks round.

    Example:
        >>> equal_scale(((0.0, 2.0), (0.0, 2.0)), aspect=2.0)
        ((-1.0, 3.0), (0.0, 2.0))
    """
    (left, right), (bottom, top) = limits
    width = max(right - left, aspect * (top - bottom))
    pad_x, pad_y = (width - (right - left)) / 2, (width / aspect - (top - bottom)) / 2
    return (left - pad_x, right + pad_x), (bottom - pad_y, top + pad_y)


def flow_lattice(reach: float = 3.0, lines: int = 13, nodes: int = 121) -> Float[np.ndarray, "lines nodes 2"]:
    """A square lattice over [-reach, reach]² as polylines (2 * lines, nodes, 2): first the upright ones.

    Push it through a flow and draw both with `plot_flow_warp`: where lines crowd, the density is high.

    Example:
        >>> flow_lattice(lines=3, nodes=5).shape
        (6, 5, 2)
    """
    along, at = np.linspace(-reach, reach, nodes), np.linspace(-reach, reach, lines)
    upright = np.stack(np.broadcast_arrays(at[:, None], along[None]), axis=-1)
    return np.concatenate([upright, upright[..., ::-1]])


def modes_of(density: Distribution) -> Modes:
    """A word's own modes, or those that `find_modes` sees in a density that is not a word's."""
    return density.modes() if hasattr(density, "modes") else find_modes(density)


def _sampled(density: Distribution, n: int, seed: int) -> tuple[np.ndarray, Tensor]:
    samples = draw(density, n, torch.Generator().manual_seed(seed))
    return _array(samples), samples


def _array(tensor: Tensor) -> np.ndarray:
    return tensor.detach().double().cpu().numpy()


def _levels(density: Distribution, probs: Sequence[float], seed: int) -> np.ndarray:
    return _array(hdr_levels(density, probs, generator=torch.Generator().manual_seed(seed)))


def _covering(points: np.ndarray) -> tuple[tuple[float, float], ...]:
    grid = Grid.covering(torch.as_tensor(points), coverage=0.998, margin=0.08)
    return tuple(zip(grid.lower.tolist(), grid.upper.tolist(), strict=True))


def _entropy(density: Distribution) -> float:
    """Nats; a density of torch that has no formula for it is integrated."""
    try:
        value = density.entropy()
    except NotImplementedError:
        value = entropy_of(density)
    return float(getattr(value, "value", value))


def _labels(density, modes: Modes | None, recount: bool, samples: Tensor, n_samples: int, plane):
    """`ModeLabel`s in the plane, and to which of them each of the first samples belongs, (n_samples,)."""
    modes = modes_of(density) if modes is None else modes
    told = samples if recount else samples[:n_samples]
    member = modes.assign(told) if len(told) else torch.zeros(0, dtype=torch.long)
    height = log_prob_on(density, told) if recount else None
    labels = []
    for number, mode in enumerate(modes):
        mass, location, here = mode.mass, mode.location, member == number
        if recount:
            mass = here.double().mean().item()
            location = told[torch.where(here, height, -torch.inf).argmax()] if here.any() else location
        place, words = plane(_array(location)[None])[0], tuple(getattr(mode, "words", ()))
        labels.append(ModeLabel(place, mass, words, tuple(getattr(mode, "sentences", ())), mode.drop))
    return tuple(labels), member[:n_samples].cpu().numpy()
