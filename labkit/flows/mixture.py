"""Mixture-CDF bijections: the cdf of a mixture of K components, carried back to the line by one component.

    u = G⁻¹(Σ_k π_k G((z − m_k) / s_k)),     log du/dz = log Σ_k π_k g((z − m_k) / s_k) / s_k − log g(u)

with G the logistic or the normal cdf and g its density. If u has density g, z has exactly the mixture's: one
layer makes a density of K humps where a spline needs its bins in the right places. *The map from data to base
has a closed form and is what `log_prob` needs; the one from base to data is the root of an increasing function.*
(Ho, Chen, Srinivas, Duan & Abbeel 2019, Flow++, arXiv 1902.00275, section 3.2; with normal components, "Mix-1"
of TarFlowLM, arXiv 2507.00425.)

Tails. In the formula above 1 − G vanishes and two huge logarithms cancel. Here everything is counted from the
nearer end: z is reflected so that its survival S = Σ_k π_k S_k is at most one half, S stays a logarithm, and
densities enter as hazards h = g/(1 − G), which grow slowly (h → 1 for logistic components, h ≈ x for normal ones):

    log du/dz = log Σ_k w_k h_k / s_k − log h(u),     w_k = π_k S_k / S,     log S(u) = log S

so that a log-derivative is exact to rounding where the densities themselves are e^(−10¹²).
"""

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.flows.transforms import ElementwiseBijection, aligned

HALF_LOG_2PI = 0.5 * math.log(2 * math.pi)


@dataclass(frozen=True)
class MixtureCDF(ElementwiseBijection):
    """z with u = G⁻¹(Σ_k π_k G((z − m_k)/s_k)), from 3K parameters per feature: weights, locations, scales.

    `inverse` (data to base) is a closed form. `forward` (base to data) finds the root by Newton's method inside
    a bracket, in a fixed number of steps without waiting for any of them, so that sampling costs about as much as
    `steps` evaluations of `log_prob`; its gradients are those of the implicit function theorem, correct to
    third order. One component is an affine map; K components contain every affine map.

    *At zero parameters* all components coincide with G, the only mixture that is the identity. They must not stay
    together: the gradients of coinciding components are proportional, and with a last layer of zeros equal ones
    would remain equal for ever. So each component has its own gain, m_k = a_k t_k and log s_k = a_(K+1−k) r_k (r_k
    bounded smoothly as in `ElementwiseAffine`) with a from ½ to 1½: one step of any optimiser takes them apart.
    Since no other mixture is the identity, the first order can only move or scale all components; humps
    grow from the second order on.

    Arguments:
        components: K.
        kind: "logistic" or "gaussian", the family of G. The density is the mixture itself where G is the base's own
            cdf, so "gaussian" on a `StandardNormal`; elsewhere the map bends just as well, and logistic
            components cost a fifth.
        max_log_scale: the bound on |log s_k|.
        steps: of the root finder. For raw parameters of size 3, 24 leave nothing but rounding; of size 30, 32.

    Raises:
        ValueError: for no components, no steps or an unknown kind; when applied, for another number of parameters.

    Example:
        >>> mixture = MixtureCDF(components=2, kind="gaussian")
        >>> params = torch.tensor([0.0, 0.0, -4.0, 4.0, 0.0, 0.0])[:, None]  # at a₁ t₁ = −3 and a₂ t₂ = 5
        >>> z, _ = mixture.forward(torch.tensor([-1.0, 1.0]), params)
        >>> z  # either side of the median falls into one component
        tensor([-3.4752,  5.4752])
    """

    components: int = 8
    kind: str = "logistic"
    max_log_scale: float = math.log(1000.0)
    steps: int = 24

    def __post_init__(self):
        if self.components < 1 or self.steps < 1:
            raise ValueError(
                f"expected components >= 1 and steps >= 1; got components={self.components}, steps={self.steps}"
            )
        if self.kind not in _FAMILIES:
            raise ValueError(f"expected kind to be one of {sorted(_FAMILIES)}; got kind={self.kind!r}")

    @property
    def parameters_per_feature(self) -> int:
        return 3 * self.components

    def forward(
        self, u: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        """z = f(u) and log f′(u): the root, then one evaluation of the closed form to give it its gradient."""
        mixture = self._mixture(params, u.ndim)
        with torch.no_grad():
            root = self._root(u, mixture).detach()  # detach: forward-mode derivatives pass through no_grad
        # Two Newton steps of value 0: the first gives z its first derivatives, the second those of order two and three.
        value, log_slope = self._to_base(root, mixture)
        z = root + _without_value(u - value) * self._slope_back(log_slope.detach())
        value, log_slope = self._to_base(z, mixture)
        z = z + _without_value(u - value) * self._slope_back(log_slope)
        return z, -self._to_base(z, mixture)[1]

    def inverse(
        self, z: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"]
    ) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
        return self._to_base(z, self._mixture(params, z.ndim))

    @staticmethod
    def _slope_back(log_slope: Tensor) -> Tensor:
        """∂z/∂u, capped: the cap is met only where G cannot tell points of a gap apart."""
        return (-log_slope).clamp(max=-0.5 * math.log(torch.finfo(log_slope.dtype).tiny)).exp()

    def _mixture(self, params: Tensor, point_axes: int) -> "_Mixture":
        count = self.components
        if params.shape[0] != 3 * count:
            raise ValueError(
                f"expected params of shape (3 * components, ...) = ({3 * count}, ...); got shape {tuple(params.shape)}"
            )
        params = aligned(params, point_axes)
        logits, locs, log_scales = params.split(count)
        gains = 0.5 + (torch.arange(count, dtype=params.dtype, device=params.device) + 0.5) / count
        gains = gains.reshape(-1, *(1,) * (params.ndim - 1))
        bound = self.max_log_scale
        log_scales = bound * (gains.flip(0) * log_scales / bound).tanh()
        return _Mixture(logits.log_softmax(0), gains * locs, log_scales, _FAMILIES[self.kind])

    def _to_base(self, z: Tensor, mixture: "_Mixture") -> tuple[Tensor, Tensor]:
        """u and log du/dz, counted from the nearer tail."""
        x = mixture.standardised(z)
        side = _sign((mixture.log_weights.exp() * mixture.family.cdf(x)).detach().sum(0) - 0.5)
        log_survival, log_hazard = mixture.tail(side * x)
        u = mixture.family.quantile(log_survival)
        return side * u, log_hazard - mixture.family.tail(u)[1]

    def _root(self, u: Tensor, mixture: "_Mixture") -> Tensor:
        """The z whose survival is that of u, by Newton's method on log S, halving the bracket when a step leaves it.

        The bracket is known: each component alone would put u at m_k + s_k u, and the mixture puts it between
        the first and the last of these.
        """
        side, size = _sign(u), u.abs()
        target = mixture.family.tail(size)[0]
        reflected = mixture._replace(locs=side * mixture.locs)
        alone = reflected.locs + mixture.log_scales.exp() * size
        low, high = alone.amin(0), alone.amax(0)
        z = torch.minimum(torch.maximum((mixture.log_weights.exp() * alone).sum(0), low), high)
        before = last = width = high - low
        for _ in range(self.steps):
            log_survival, log_hazard = reflected.tail(reflected.standardised(z))
            excess = log_survival - target
            low, high = torch.where(excess >= 0, z, low), torch.where(excess <= 0, z, high)
            newton = z + excess * (-log_hazard).exp()
            # Newton's steps must halve every other time, or they may go round in a circle within the bracket; only
            # those of a root already found may not, since rounding is what is left of them.
            short = (newton - z).abs() <= 0.5 * before + 8 * torch.finfo(z.dtype).eps * (z.abs() + width)
            reached = torch.where((newton >= low) & (newton <= high) & short, newton, (low + high) / 2)
            before, last, z = last, (reached - z).abs(), reached
        return side * z


class _Family(NamedTuple):
    """A symmetric density g on the line with cdf G.

    Attributes:
        cdf: G, without care for the tails.
        tail: x -> log(1 − G(x)) and the log-hazard log g(x) − log(1 − G(x)), both with care.
        quantile: the inverse of the first, for log-survivals up to about log ½.
    """

    cdf: Callable[[Tensor], Tensor]
    tail: Callable[[Tensor], tuple[Tensor, Tensor]]
    quantile: Callable[[Tensor], Tensor]


class _Mixture(NamedTuple):
    """Components along the first axis, (K, *maps)."""

    log_weights: Tensor
    locs: Tensor
    log_scales: Tensor
    family: _Family

    def standardised(self, z: Tensor) -> Tensor:
        return (z - self.locs) * (-self.log_scales).exp()

    def tail(self, x: Tensor) -> tuple[Tensor, Tensor]:
        """log S and the log-hazard of the mixture at standardised points (K, *s)."""
        log_survival, log_hazard = self.family.tail(x)
        joint = self.log_weights + log_survival
        # log_softmax and not joint − logsumexp: far out, the latter loses the log of a sum beside −10¹².
        log_shares = joint.log_softmax(0)
        return joint.logsumexp(0), (log_shares + log_hazard - self.log_scales).logsumexp(0)


def _without_value(x: Tensor) -> Tensor:
    """0 with the derivatives of x."""
    return x - x.detach()


def _sign(x: Tensor) -> Tensor:
    """+1 or −1, and +1 at 0."""
    return torch.where(x >= 0, 1.0, -1.0).to(x.dtype)


def _logistic_tail(x: Tensor) -> tuple[Tensor, Tensor]:
    return F.logsigmoid(-x), F.logsigmoid(x)


def _logistic_quantile(log_survival: Tensor) -> Tensor:
    return torch.log1p(-log_survival.exp()) - log_survival


def _gaussian_tail(x: Tensor) -> tuple[Tensor, Tensor]:
    """log Φ(−x) and log φ(x)/Φ(−x).

    `torch.special.log_ndtr` has the first, but its gradient subtracts x²/2 from what is almost x²/2, and is 0 or
    infinite far out in float32. Mills' ratio R = Φ(−x)/φ(x) keeps the square out of the hazard altogether.
    """
    log_density = -0.5 * x * x - HALF_LOG_2PI
    log_mills = _mills_ratio(x.clamp(min=0)).log()
    log_below = (0.5 * torch.erfc(x.clamp(max=0) * math.sqrt(0.5))).log()
    above = x >= 0
    log_survival = torch.where(above, log_density + log_mills, log_below)
    return log_survival, torch.where(above, -log_mills, log_density - log_below)


def _mills_ratio(x: Tensor, far: float = 50.0) -> Tensor:
    """Φ(−x)/φ(x) for x >= 0. Far out erfcx is as exact, but not its derivative x R − 1 ≈ −1/x²: a series is."""
    near = math.sqrt(math.pi / 2) * torch.special.erfcx(x.clamp(max=far) * math.sqrt(0.5))
    y = x.clamp(min=far).reciprocal()
    y2 = y * y
    series = y * (1 - y2 * (1 - 3 * y2 * (1 - 5 * y2 * (1 - 7 * y2 * (1 - 9 * y2)))))
    return torch.where(x < far, near, series)


class _GaussianQuantile(torch.autograd.Function):
    """u with log Φ(−u) = ℓ, for ℓ up to about log ½; du/dℓ = −1/h(u), to every order.

    Two Newton steps from the rational approximation of Abramowitz & Stegun 26.2.23, which errs by 4.5e-4 at most.
    """

    generate_vmap_rule = True

    @staticmethod
    def forward(log_survival: Tensor) -> Tensor:
        t = (-2 * log_survival).sqrt()
        r = t.reciprocal()  # of powers of t, which overflow
        above = r * (0.010328 + r * (0.802853 + r * 2.515517))
        u = t - above / (0.001308 + r * (0.189269 + r * (1.432788 + r)))
        for _ in range(2):
            reached, log_hazard = _gaussian_tail(u)
            u = u + (reached - log_survival) * (-log_hazard).exp()
        return u

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(output)
        ctx.save_for_forward(output)

    @staticmethod
    def backward(ctx, grad: Tensor) -> Tensor:
        (u,) = ctx.saved_tensors
        return -grad * (-_gaussian_tail(u)[1]).exp()

    @staticmethod
    def jvp(ctx, tangent: Tensor) -> Tensor:
        return _GaussianQuantile.backward(ctx, tangent)  # the derivative of one number is its own transpose


_FAMILIES = {
    "logistic": _Family(torch.sigmoid, _logistic_tail, _logistic_quantile),
    "gaussian": _Family(torch.special.ndtr, _gaussian_tail, _GaussianQuantile.apply),
}
