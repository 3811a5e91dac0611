"""A density over the places of a word's occurrences in a few of the many dimensions of their vectors."""

from functools import cached_property

import numpy as np
import torch
from torch import Tensor
from torch.distributions import Distribution

from labkit.density import Modes, draw, find_modes

MOST_DIRECTIONS = 4  # k is at most so many: in five, flows fitted to one cloud show modes with a drop of .6 nats
LEAST_MASS, LEAST_DROP = 0.04, 0.12  # of a mode: mass, and nats to a higher one (fits to one cloud show up to 0.10)


class PlacesDensity(Distribution):
    """p(z∣w), a flow over k of D dimensions; the rest of an occurrence x is held at the word's mean:

        z = Q_wᵀ (x − μ_w)        (k,)

    Attributes:
        word: w.
        flow: p(z∣w), a Distribution with event_shape (k,).
        centre: μ_w, (D,).
        basis: Q_w, (D, k).
        places: z of the occurrences, (n, k) float32.

    Arguments:
        points: x, (n, D).
        fit: the places, (n, k), to their density, as `fit_flow`.
    """

    arg_constraints = {}
    support = torch.distributions.constraints.real_vector

    def __init__(self, word: str, points: np.ndarray, centre: np.ndarray, basis: np.ndarray, fit):
        self.word, self.centre, self.basis = word, centre, basis
        self.places = self.place(points)
        self.flow = fit(self.places)
        super().__init__(torch.Size(), torch.Size([basis.shape[1]]), validate_args=False)

    def __repr__(self) -> str:
        return f"{type(self).__name__}({self.word!r}; {len(self.places)} occurrences, {self.event_shape[0]} dimensions)"

    def place(self, points: np.ndarray) -> Tensor:
        """z of some x: (n, D) -> (n, k)."""
        return torch.as_tensor((points - self.centre) @ self.basis, dtype=torch.float32)

    @property
    def has_rsample(self) -> bool:
        return True

    def log_prob(self, value: Tensor) -> Tensor:
        """log p(z∣w), nats: (..., k) -> (...)."""
        return self.flow.log_prob(value)

    def rsample(self, sample_shape=()) -> Tensor:
        """Draws, (*sample_shape, k)."""
        return self.flow.rsample(sample_shape)

    def sample(self, sample_shape=(), generator: torch.Generator | None = None) -> Tensor:
        """Draws, (*sample_shape, k); reproducible with a generator."""
        shape = torch.Size(sample_shape)
        return draw(self.flow, shape.numel(), generator).reshape(*shape, -1)

    @cached_property
    def basins(self) -> Modes:
        """The modes with at least 4 % of the mass and a drop of 0.12 nats, and the way from any place to its mode."""
        return find_modes(self.flow, min_mass=LEAST_MASS, significance=LEAST_DROP)

    def modes(self) -> Modes:
        """The same: the senses that the density shows, heaviest first."""
        return self.basins

    @cached_property
    def basin_of_occurrences(self) -> np.ndarray:
        """The mode in whose basin each occurrence lies, (n,) int."""
        return self.basins.assign(self.places).cpu().numpy()
