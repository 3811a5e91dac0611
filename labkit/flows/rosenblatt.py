"""Mix-d: the Rosenblatt transform of a mixture of Gaussians in d dimensions, whose centres are given.

For z from p(z) = Σ_j α_j N(z; m_j, diag s_j²), feature after feature,

    u_i = Φ⁻¹(Σ_j α_j⁽ⁱ⁾ Φ((z_i − m_ji)/s_ji)),     α_j⁽¹⁾ = α_j,   α_j⁽ⁱ⁺¹⁾ ∝ α_j⁽ⁱ⁾ N(z_i; m_ji, s_ji²)

are independent standard normals (Rosenblatt 1952; for language, "Mix-d" of TarFlowLM, arXiv 2507.00425): α⁽ⁱ⁾ are
the components' weights once z_1 … z_{i−1} are seen, so that u_i is z_i's rank given those before it. The Jacobian is
triangular, and with p the mixture's own density

    log|det ∂u/∂z| = log p(z) − log N(u; 0, I)      (nats)

A network has to choose only the weights α, V numbers for V centres in however many dimensions.
"""

from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor

from labkit.flows.mixture import _FAMILIES, HALF_LOG_2PI, MixtureCDF, _Mixture, _sign, _without_value


@dataclass(frozen=True)
class MixtureRosenblatt:
    """z <-> u for a mixture with V weights per point and V centres (V, d) that all points share.

    *Components come first*: log-weights are (V, *points), not necessarily normalised. From data to base all is in
    closed form, counted from the nearer tail as in `MixtureCDF`; from base to data each feature is the root of an
    increasing function, found for all points at once. `log_prob` needs no u at all: as the layer next to
    a standard normal base, Mix-d is a mixture density, at the price of a softmax.

    Arguments:
        steps: of the root finder, at most; it stops when all roots are found, mostly after ten.

    Example:
        >>> mixture = MixtureRosenblatt()
        >>> locs, log_scales = torch.tensor([[-2.0, 0.0], [2.0, 1.0]]), torch.full((2, 2), -1.0)
        >>> u, log_det = mixture.inverse(torch.tensor([[2.0, 1.0]]), torch.zeros(2, 1), locs, log_scales)
        >>> u.round(decimals=4)  # the upper half's median; and, now that the component is known, the middle of it
        tensor([[0.6745, 0.0000]])
    """

    steps: int = 64

    def __post_init__(self):
        if self.steps < 1:
            raise ValueError(f"expected steps >= 1; got steps={self.steps}")

    def inverse(
        self,
        z: Float[Tensor, "*points d"],
        log_weights: Float[Tensor, "_ *_"],
        locs: Float[Tensor, "_ _"],
        log_scales: Float[Tensor, "_ _"],
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        """u and log|det ∂u/∂z| (nats).

        Raises:
            ValueError: for weights, centres or points that do not fit each other.
        """
        _check(z, log_weights, locs, log_scales)
        conditional, values, log_det = _Conditional(log_weights, locs, log_scales), [], 0.0
        for i, column in enumerate(z.unbind(-1)):
            mixture = conditional.feature(i)
            u, log_slope = _CDF._to_base(column, mixture)
            conditional.see(column, mixture)
            values.append(u)
            log_det = log_det + log_slope
        return torch.stack(values, -1), log_det

    def forward(
        self,
        u: Float[Tensor, "*points d"],
        log_weights: Float[Tensor, "_ *_"],
        locs: Float[Tensor, "_ _"],
        log_scales: Float[Tensor, "_ _"],
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        """z and log|det ∂z/∂u| (nats), with first derivatives by the implicit function theorem."""
        _check(u, log_weights, locs, log_scales)
        conditional, values, log_det = _Conditional(log_weights, locs, log_scales), [], 0.0
        for i, column in enumerate(u.unbind(-1)):
            mixture = conditional.feature(i)
            with torch.no_grad():
                root = _root(column, mixture, self.steps)
            # A Newton step of value 0 gives the root its derivatives.
            reached, log_slope = _CDF._to_base(root, mixture)
            z = root + _without_value(column - reached) * _CDF._slope_back(log_slope.detach())
            log_det = log_det - _CDF._to_base(z, mixture)[1]
            conditional.see(z, mixture)
            values.append(z)
        return torch.stack(values, -1), log_det

    def log_prob(
        self,
        z: Float[Tensor, "*points d"],
        log_weights: Float[Tensor, "_ *_"],
        locs: Float[Tensor, "_ _"],
        log_scales: Float[Tensor, "_ _"],
    ) -> Float[Tensor, "*points"]:
        """log Σ_j α_j N(z; m_j, diag s_j²) in nats: the density whose base is the standard normal."""
        _check(z, log_weights, locs, log_scales)
        return (log_weights.log_softmax(0) + gaussian_log_densities(z, locs, log_scales)).logsumexp(0)


class _Conditional:
    """The weights α⁽ⁱ⁾: those of the mixture once the features before i are seen."""

    def __init__(self, log_weights: Tensor, locs: Tensor, log_scales: Tensor):
        self.log_weights, axes = log_weights.log_softmax(0), (1,) * (log_weights.ndim - 1)
        self.locs = [column.reshape(-1, *axes) for column in locs.unbind(-1)]
        self.log_scales = [column.reshape(-1, *axes) for column in log_scales.unbind(-1)]

    def feature(self, i: int) -> _Mixture:
        return _Mixture(self.log_weights, self.locs[i], self.log_scales[i], _FAMILIES["gaussian"])

    def see(self, column: Tensor, mixture: _Mixture) -> None:
        """Bayes' rule with N(z_i; m_ji, s_ji²); a constant of all components drops out."""
        x = mixture.standardised(column)
        self.log_weights = (self.log_weights - 0.5 * x * x - mixture.log_scales).log_softmax(0)


def _root(u: Tensor, mixture: _Mixture, steps: int) -> Tensor:
    """The z whose survival is that of u, by Newton's method on log S, in the bracket that `MixtureCDF` knows.

    The same steps as there, but it looks whether all is done. Draws are made a position at a time, for few points, when
    each of a step's operations costs its launch and not its arithmetic.
    """
    side, size = _sign(u), u.abs()
    target = mixture.family.tail(size)[0]
    reflected = mixture._replace(locs=side * mixture.locs)
    alone = reflected.locs + mixture.log_scales.exp() * size
    low, high = alone.amin(0), alone.amax(0)
    z = torch.minimum(torch.maximum((mixture.log_weights.exp() * alone).sum(0), low), high)
    rounding = 4 * torch.finfo(z.dtype).eps
    before = last = high - low
    for step in range(steps):
        log_survival, log_hazard = reflected.tail(reflected.standardised(z))
        excess = log_survival - target
        low, high = torch.where(excess >= 0, z, low), torch.where(excess <= 0, z, high)
        newton = z + excess * (-log_hazard).exp()
        fair = (newton >= low) & (newton <= high) & ((newton - z).abs() <= 0.5 * before)
        reached = torch.where(fair, newton, (low + high) / 2)
        before, last, z = last, (reached - z).abs(), reached
        if step % 2 and bool((last <= rounding * (1 + z.abs())).all()):
            break
    return side * z


def gaussian_log_densities(
    z: Float[Tensor, "*points d"], locs: Float[Tensor, "V d"], log_scales: Float[Tensor, "V d"]
) -> Float[Tensor, "V *points"]:
    """log N(z; m_j, diag s_j²) of every component, first axis (nats).

    The sum of (z_i − m_ji)²/s_ji² is taken feature by feature, and not as products of matrices, which would
    subtract squares of about the size of m²/s² from each other.
    """
    axes, total = (1,) * (z.ndim - 1), 0.0
    inverse_scales = (-log_scales).exp()
    for i, column in enumerate(z.unbind(-1)):
        x = (column - locs[:, i].reshape(-1, *axes)) * inverse_scales[:, i].reshape(-1, *axes)
        total = total - 0.5 * x * x
    constant = log_scales.sum(-1) + z.shape[-1] * HALF_LOG_2PI
    return total - constant.reshape(-1, *axes)


def _check(points: Tensor, log_weights: Tensor, locs: Tensor, log_scales: Tensor) -> None:
    count, dim = locs.shape
    if log_scales.shape != locs.shape or points.shape[-1:] != (dim,) or log_weights.shape[:1] != (count,):
        raise ValueError(
            f"expected points (..., {dim}), log-weights ({count}, ...) and log-scales ({count}, {dim}) for centres "
            f"({count}, {dim}); got shapes {tuple(points.shape)}, {tuple(log_weights.shape)}, {tuple(log_scales.shape)}"
        )
    if log_weights.shape[1:] != points.shape[:-1]:
        raise ValueError(
            f"expected as many weights as points, ({count}, *{tuple(points.shape[:-1])}); "
            f"got shape {tuple(log_weights.shape)}"
        )


_CDF = MixtureCDF(kind="gaussian")
