"""A word's density on the nodes of a box, and Bayes' rule on it, quick enough to follow someone who types."""

from collections.abc import Sequence
from dataclasses import dataclass, replace
from functools import cached_property

import numpy as np
import torch
from jaxtyping import Float, Int
from scipy import ndimage
from torch import Tensor

from labkit.density.grid import Grid, dimension, draw, log_prob_on
from labkit.view.projection import Projection, marginal

PLACING, FOR_MARGINAL = 1024, 12_288  # samples that place a box; that outline a marginal
TABLE = 8_000_000  # numbers p(c∣z,w), over places and words, behind the normaliser of a word's table
ROUGH = (12, 80)  # nodes an axis of that table: fewest, most
NARROW = 0.4  # of the box: a moved density that fills less of it gets a box of its own


@dataclass(frozen=True, eq=False)
class Field:
    """log p (nats) at the nodes of a box in one or two coordinates.

    Attributes:
        axes: nodes of x (C,), and of y (R,) in a plane.
        log_prob: (C,) on a line, [row = y, column = x] (R, C) in a plane.
        known_levels: levels that belong to a marginal, for the shares in `known_probs`.
    """

    axes: tuple[Float[np.ndarray, " nodes"], ...]
    log_prob: Float[np.ndarray, "..."]
    known_probs: tuple[float, ...] = ()
    known_levels: tuple[float, ...] = ()

    @cached_property
    def cell(self) -> float:
        """Length or area that a node stands for."""
        return float(np.prod([axis[1] - axis[0] for axis in self.axes]))

    @cached_property
    def mass(self) -> Float[np.ndarray, "..."]:
        """Probability around each node."""
        return np.exp(self.log_prob) * self.cell

    @cached_property
    def entropy(self) -> float:
        """−∫ p log p over the box, nats."""
        return float(-(self.mass * np.where(self.mass > 0, self.log_prob, 0.0)).sum())

    def levels(self, probs: Sequence[float]) -> Float[np.ndarray, " probs"]:
        """log p on the border of the smallest region with each share: the (1 − p) quantile of log p under p.

        By quadrature over the nodes; −inf where the box holds less than the share.

        Example:
            >>> z = np.linspace(-8, 8, 4001)
            >>> normal = Field((z,), -0.5 * z**2 - 0.5 * np.log(2 * np.pi))
            >>> round(float(-2 * (normal.levels([0.95])[0] + 0.5 * np.log(2 * np.pi))), 2)  # 1.96²
            3.84
        """
        if self.known_probs == tuple(probs):
            return np.array(self.known_levels)
        height = np.sort(self.log_prob, axis=None)[::-1]
        held = np.exp(height).cumsum() * self.cell
        place = np.searchsorted(held, probs)
        return np.where(place < len(height), height[np.minimum(place, len(height) - 1)], -np.inf)

    def draw(self, n: int, seed: int = 0) -> tuple[Float[np.ndarray, "n k"], Int[np.ndarray, " n"]]:
        """Places (n, k): a node by its mass, then even within its cell; and the nodes' numbers (n,).

        The same seed gives the same random numbers, so that marks glide when the density moves.
        """
        random = np.random.default_rng(seed)
        total = self.mass.ravel().cumsum()
        node = np.minimum(np.searchsorted(total / total[-1], random.random(n)), len(total) - 1)
        step = np.array([axis[1] - axis[0] for axis in self.axes])
        if len(self.axes) == 1:
            centre = self.axes[0][node][:, None]
        else:
            rows, columns = np.divmod(node, len(self.axes[0]))
            centre = np.stack([self.axes[0][columns], self.axes[1][rows]], axis=1)
        return centre + (random.random(centre.shape) - 0.5) * step, node


class Reading:
    """One word of one model in one plane, with what is needed of it again and again computed once.

    Arguments:
        model: gives `model[word]`; with `hidden_at` and `output`, as `LatentEmbedding` has them, contexts move
            the density within milliseconds.
        plane: a linear map to the plane; None where the density lives on a line or in the plane as it is.
        resolution: nodes along each axis.
    """

    def __init__(self, model, word: str, plane: Projection | None = None, resolution: int = 120):
        self.model, self.word, self.plane, self.resolution = model, word, plane, resolution
        self.density = model[word]
        self.k = dimension(self.density)

    @cached_property
    def placing(self) -> Float[Tensor, "n k"]:
        """Samples that say where the density is."""
        return draw(self.density, PLACING)

    @property
    def is_marginal(self) -> bool:
        """Whether coordinates are integrated out in what is drawn."""
        return self.k > 2

    @property
    def quick(self) -> bool:
        """Whether Bayes' rule can be worked on a table of this word."""
        return self.k <= 2 and hasattr(self.model, "hidden_at") and hasattr(self.model, "encode_context")

    def flat(self, points: Tensor) -> Float[np.ndarray, "n d"]:
        """Points (N, k) as they are drawn: (N, 1) on a line, otherwise (N, 2)."""
        array = points.detach().double().cpu().numpy()
        return array if self.plane is None else self.plane(array)

    def lifted(self, places: Float[np.ndarray, "n d"]) -> Float[Tensor, "n k"]:
        """The points (N, k) that are drawn at these places; k ≤ 2."""
        if self.plane is not None:
            places = places @ self.plane.components.T + self.plane.mean
        return torch.as_tensor(places).to(self.placing)

    @cached_property
    def field(self) -> Field:
        """The density over its own box."""
        if self.is_marginal:
            return self._marginal(draw(self.density, FOR_MARGINAL))
        return self._exact(self._box(self.flat(self.placing)))

    def _box(self, places: Float[np.ndarray, "n d"], margin: float = 0.2) -> list[tuple[float, float]]:
        grid = Grid.covering(torch.as_tensor(places), coverage=0.999, margin=margin)
        return list(zip(grid.lower.tolist(), grid.upper.tolist(), strict=True))

    def _nodes(self, box, resolution: int) -> tuple[tuple[np.ndarray, ...], np.ndarray]:
        """Nodes along each axis, and the places of all of them (N, d), x running fastest."""
        axes = tuple(np.linspace(low, high, resolution if len(box) == 2 else 4 * resolution) for low, high in box)
        if len(axes) == 1:
            return axes, axes[0][:, None]
        return axes, np.stack(np.meshgrid(*axes), axis=-1).reshape(-1, 2)

    def _exact(self, box) -> Field:
        axes, places = self._nodes(box, self.resolution)
        source = getattr(self.density, "prior", self.density)
        if self.plane is None and len(axes) == 2 and hasattr(source, "log_prob_on_axes"):  # a flow, in less time
            with torch.no_grad():
                log_prob = source.log_prob_on_axes(*(torch.as_tensor(axis).to(self.placing) for axis in axes)).T
        else:
            log_prob = log_prob_on(self.density, self.lifted(places))
        log_prob = log_prob.double().cpu().numpy()
        return Field(axes, log_prob.reshape(-1, len(axes[0])) if len(axes) == 2 else log_prob)

    def _marginal(self, points: Tensor) -> Field:
        places = self.flat(points)
        box = self._box(places)
        log_prob, levels = marginal(places, tuple(box), self.resolution, PROBS)
        axes, _ = self._nodes(box, self.resolution)
        return Field(axes, log_prob, PROBS, tuple(levels.tolist()))

    # --- Bayes' rule ------------------------------------------------------------------------------------------

    @cached_property
    def _table(self):
        """A coarse grid over the box, with the decoder's hidden vectors and normalisers at its nodes."""
        box = [(axis[0], axis[-1]) for axis in self.field.axes]
        words = len(self.model.vocabulary_)
        nodes = int(np.clip((TABLE / words) ** 0.5, *ROUGH))
        axes, places = self._nodes(box, nodes)
        with torch.no_grad():
            hidden = self.model.hidden_at(self.word, self.lifted(places))
            return axes, hidden, self.model.output.log_total(hidden)

    @torch.no_grad()
    def log_likelihood(self, sentence: str) -> np.ndarray:
        """Σ_j log p(c_j∣z,w) of a sentence at the nodes of the table, nats."""
        axes, hidden, log_total = self._table
        ids = torch.as_tensor(np.asarray(self.model.encode_context(sentence, self.word)), device=hidden.device)
        total = self.model.output.scores(hidden, ids).sum(-1) - len(ids) * log_total
        return total.double().cpu().numpy().reshape([len(axis) for axis in axes[::-1]])

    def given(self, sentence: str, other: str | None = None, share: float = 0.0) -> "Moved":
        """p(z∣w,c); with another sentence c′, p(z∣w) p(c∣z,w)^(1−share) p(c′∣z,w)^share, normalised.

        Raises:
            ValueError: if no word of a sentence is known.
        """
        if not self.quick:
            return self._by_asking(sentence if share < 0.5 or not other else other)
        tilt = self.log_likelihood(sentence)
        if other:
            tilt = (1 - share) * tilt + share * self.log_likelihood(other)
        moved = self._tilted(self.field, tilt)
        box = _where(moved)
        if np.prod([(b - a) / (axis[-1] - axis[0]) for (a, b), axis in zip(box, moved.axes, strict=True)]) < NARROW:
            moved = self._tilted(self._exact(box), tilt)
        return Moved(moved)

    def _tilted(self, field: Field, tilt: np.ndarray) -> Field:
        """The field with a likelihood on the table's nodes multiplied in, normalised over its box."""
        places = [
            np.interp(axis, own, np.arange(len(own))) for axis, own in zip(field.axes, self._table[0], strict=True)
        ]
        at = places if len(places) == 1 else np.meshgrid(*places)[::-1]
        log_prob = field.log_prob + ndimage.map_coordinates(tilt, at, order=3, mode="nearest")
        top = log_prob.max()
        return replace(field, log_prob=log_prob - top - np.log(np.exp(log_prob - top).sum() * field.cell))

    def _by_asking(self, sentence: str) -> "Moved":
        """The density's own answer: exact for k ≤ 2, by importance sampling above."""
        density = self.density.given(sentence)
        if not self.is_marginal:
            own = Reading({self.word: density}, self.word, self.plane, self.resolution)
            return Moved(own.field, draw(density, PLACING))
        points = draw(density, FOR_MARGINAL)
        return Moved(self._marginal(points), points, getattr(density, "effective_sample_size", None))


@dataclass(frozen=True, eq=False)
class Moved:
    """A density that a sentence has moved: its field; above two coordinates, or if it was asked, its samples too."""

    field: Field
    points: Tensor | None = None
    effective_samples: float | None = None


def _where(field: Field, beyond: float = 5e-5, margin: float = 0.35) -> list[tuple[float, float]]:
    """The box, inside of the field's own, that holds all but a little of its mass along each axis."""
    box = []
    for number, axis in enumerate(field.axes):
        along = field.mass if len(field.axes) == 1 else field.mass.sum(number)
        held = along.cumsum() / along.sum()
        first, last = np.searchsorted(held, [beyond, 1 - beyond])
        low, high = axis[max(first - 1, 0)], axis[min(last + 1, len(axis) - 1)]
        pad = margin * (high - low) + (axis[1] - axis[0])
        box.append((max(axis[0], low - pad), min(axis[-1], high + pad)))
    return box


PROBS = (0.5, 0.8, 0.95, 0.99)
