"""Bayes' rule for a density: p(z|w,c) ∝ p(z|w) p(c|z,w), exactly on a grid or by importance sampling."""

import math
from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor
from torch.distributions import Distribution, constraints

from labkit.density.entropy import Estimate
from labkit.density.grid import MAX_GRID_DIM, Grid, dimension, draw, in_chunks, log_prob_on, seeded

LogLikelihood = Callable[[Tensor], Tensor]
LIKELIHOOD_CHUNK = 4096  # a decoder may hold one number per word of the vocabulary and point


class Posterior(Distribution):
    """What both posteriors share: weighted points that stand for p(z|w,c), and its evidence.

    Attributes:
        points: places z_i, (N, k).
        weights: their probabilities, (N,), summing to 1.
        log_evidence: log p(c|w) = log ∫ p(z|w) p(c|z,w) dz in nats, an `Estimate`.
    """

    arg_constraints = {}
    support = constraints.real_vector
    points: Float[Tensor, "n k"]
    weights: Float[Tensor, "n"]
    log_evidence: Estimate

    def __init__(self, prior: Distribution, log_likelihood: LogLikelihood):
        self.prior, self.log_likelihood = prior, log_likelihood
        super().__init__(torch.Size(), torch.Size((dimension(prior),)), validate_args=False)

    @property
    def mean(self) -> Float[Tensor, "k"]:
        """E[z|w,c], (k,)."""
        return self.weights @ self.points

    @property
    def variance(self) -> Float[Tensor, "k"]:
        """Var[z|w,c] of each coordinate, (k,)."""
        return self.weights @ (self.points - self.mean).square()

    @property
    def device(self) -> torch.device:
        return self.points.device

    def _choose(self, shape: torch.Size, generator: torch.Generator | None) -> Tensor:
        """Independent draws (*shape, k) of the points by their weights."""
        n = math.prod(shape)
        # by inversion of the cumulative weights: torch.multinomial stops at 2^24 categories
        u = torch.rand(n, generator=generator, dtype=torch.float64, device=self.device)
        cumulative = self.weights.double().cumsum(0)
        chosen = torch.searchsorted(cumulative / cumulative[-1], u).clamp(max=len(cumulative) - 1)
        return self.points[chosen].reshape(*shape, -1)


class GridPosterior(Posterior):
    """The posterior over k <= 2 coordinates, computed on a grid: exact up to the size of its cells.

    The grid starts over the prior and closes in on the posterior, so that its ~100 cells an axis lie where
    the mass is. `log_prob` is log p(z|w) exactly, plus log p(c|z,w) interpolated (multi)linearly between
    the grid's points (and computed outside of it), minus the log-evidence. `sample` draws a cell by its
    mass and then a place in it uniformly.

    Arguments:
        prior: p(z|w), event_shape (k,).
        log_likelihood: z (N, k) -> log p(c|z,w) (N,), nats.
        grid: a fixed grid, instead of the one that closes in.
        resolution: cells along an axis of that one.
        generator: for the prior's samples that place the first grid.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> prior = MultivariateNormal(torch.zeros(1), torch.eye(1))
        >>> moved = GridPosterior(prior, lambda z: -0.5 * (z[:, 0] - 2).square())
        >>> [round(x.item(), 3) for x in (moved.mean, moved.variance)]  # N(1, 1/2)
        [1.0, 0.5]
    """

    def __init__(
        self,
        prior: Distribution,
        log_likelihood: LogLikelihood,
        grid: Grid | None = None,
        resolution: int | None = None,
        generator: torch.Generator | None = None,
    ):
        super().__init__(prior, log_likelihood)
        if self.event_shape[0] > MAX_GRID_DIM:
            raise ValueError(
                f"A grid posterior needs k <= {MAX_GRID_DIM}; got k = {self.event_shape[0]}. "
                "Use ImportancePosterior."
            )
        self.grid = grid or Grid.covering(draw(prior, 4096, generator), resolution)
        self._weigh()
        for _ in range(0 if grid else 12):
            closer = self.grid.around(self.weights)
            moved = torch.stack([closer.lower - self.grid.lower, closer.upper - self.grid.upper]).abs()
            if (moved < 0.15 * (self.grid.upper - self.grid.lower)).all():
                break
            self.grid = closer
            self._weigh()

    def _weigh(self) -> None:
        self.points = self.grid.points
        self._log_likelihood_on_grid = in_chunks(self.log_likelihood, self.points, LIKELIHOOD_CHUNK)
        log_joint = self.grid.log_mass(log_prob_on(self.prior, self.points) + self._log_likelihood_on_grid)
        log_evidence = log_joint.logsumexp(0)
        if not log_evidence.isfinite():
            raise ValueError(
                f"The log-evidence on the grid is {log_evidence.item()}: the likelihood is zero, infinite or "
                "NaN wherever the prior has mass."
            )
        self.weights = (log_joint - log_evidence).exp()
        self.log_evidence = Estimate(log_evidence.item(), 0.0)

    def log_prob(self, value: Float[Tensor, "*points k"]) -> Float[Tensor, "*points"]:
        """log p(z|w,c) at value (..., k) -> (...), nats."""
        z = value.reshape(-1, value.shape[-1])
        inside = self.grid.contains(z)
        log_likelihood = self.grid.interpolate(self._log_likelihood_on_grid, z)
        if not inside.all():
            log_likelihood = log_likelihood.index_put((~inside,), self.log_likelihood(z[~inside]))
        log_likelihood = log_likelihood.reshape(value.shape[:-1])
        return self.prior.log_prob(value) + log_likelihood - self.log_evidence.value

    @torch.no_grad()
    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*points k"]:
        """Independent draws, (*sample_shape, k)."""
        centres = self._choose(torch.Size(sample_shape), generator)
        u = torch.rand(centres.shape, generator=generator, dtype=centres.dtype, device=centres.device)
        return centres + (u - 0.5) * self.grid.step


class ImportancePosterior(Posterior):
    """The posterior over any number of coordinates, by self-normalised importance sampling.

    With z_i ~ q and w_i = p(z_i|w) p(c|z_i,w) / q(z_i), the evidence is the mean of w_i (unbiased), and
    weights w_i / Σ w make the z_i stand for the posterior. `sample` resamples the z_i, so it repeats
    them: how many are worth having is `effective_sample_size`. `log_prob` is exact up to the estimated
    log-evidence, whose standard error (delta method) is std(w) / (mean(w) sqrt(n)).

    Arguments:
        prior: p(z|w), event_shape (k,).
        log_likelihood: z (N, k) -> log p(c|z,w) (N,), nats.
        proposal: q(z), a density that covers the posterior; the prior if None.
        n_samples: number of samples of q.

    References:
        Owen, Monte Carlo Theory, Methods and Examples (2013), sections 9.2 and 9.3 (effective
            sample size: eq. 9.13).

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> prior = MultivariateNormal(torch.zeros(3), torch.eye(3))
        >>> moved = ImportancePosterior(prior, lambda z: -0.5 * (z - 1).square().sum(-1), n_samples=20_000)
        >>> bool((moved.mean - 0.5).abs().max() < 0.05)
        True
    """

    def __init__(
        self,
        prior: Distribution,
        log_likelihood: LogLikelihood,
        proposal: Distribution | None = None,
        n_samples: int = 4096,
        generator: torch.Generator | None = None,
    ):
        super().__init__(prior, log_likelihood)
        proposal = prior if proposal is None else proposal
        if dimension(proposal) != self.event_shape[0]:
            raise ValueError(
                f"The proposal must live over the prior's k = {self.event_shape[0]} coordinates; "
                f"got k = {dimension(proposal)}."
            )
        self.points = draw(proposal, n_samples, seeded(generator))
        log_weight = in_chunks(log_likelihood, self.points, LIKELIHOOD_CHUNK)
        if proposal is not prior:
            log_weight = log_weight + log_prob_on(prior, self.points) - log_prob_on(proposal, self.points)
        log_total = log_weight.logsumexp(0)
        if not log_total.isfinite():
            raise ValueError(
                f"The log of the total importance weight is {log_total.item()}: no sample of the proposal "
                "has a finite, positive weight. Use a proposal that covers the posterior."
            )
        self.weights = (log_weight - log_total).exp()
        relative_error = ((n_samples * self.weights).std() / math.sqrt(n_samples)).item()
        self.log_evidence = Estimate((log_total - math.log(n_samples)).item(), relative_error)

    @property
    def effective_sample_size(self) -> float:
        """(Σ w)² / Σ w² = n / (1 + var(w / mean w)): the number of equal-weight samples worth as much."""
        return 1 / self.weights.square().sum().item()

    def log_prob(self, value: Float[Tensor, "*points k"]) -> Float[Tensor, "*points"]:
        """log p(z|w,c) at value (..., k) -> (...), nats, up to the error of the log-evidence."""
        log_likelihood = self.log_likelihood(value.reshape(-1, value.shape[-1])).reshape(value.shape[:-1])
        return self.prior.log_prob(value) + log_likelihood - self.log_evidence.value

    @torch.no_grad()
    def sample(
        self, sample_shape: Sequence[int] = (), *, generator: torch.Generator | None = None
    ) -> Float[Tensor, "*points k"]:
        """Draws with replacement from the weighted samples, (*sample_shape, k)."""
        return self._choose(torch.Size(sample_shape), generator)


def posterior(
    prior: Distribution,
    log_likelihood: LogLikelihood,
    proposal: Distribution | None = None,
    n_samples: int = 4096,
    generator: torch.Generator | None = None,
) -> Posterior:
    """p(z|w,c) by the method that fits k: `GridPosterior` up to two coordinates, `ImportancePosterior` above.

    The proposal and n_samples matter only above two. The grid's log-evidence has standard error 0.

    Example:
        >>> from torch.distributions import MultivariateNormal
        >>> prior = MultivariateNormal(torch.zeros(2), torch.eye(2))
        >>> type(posterior(prior, lambda z: -z.square().sum(-1))).__name__
        'GridPosterior'
    """
    if dimension(prior) <= MAX_GRID_DIM:
        return GridPosterior(prior, log_likelihood, generator=generator)
    return ImportancePosterior(prior, log_likelihood, proposal, n_samples, generator)
