"""The rational-quadratic spline with its backward pass in closed form: the same numbers as `spline.py`, faster.

Autograd keeps every intermediate of the plain version and walks back over each. By hand, the backward pass needs
only the bin that each point fell into. With ξ, η = 1 − ξ, t = ξη, s = h/w and, as in `spline.py`,

    σ = (s ξ² + d₀ t) / D,    D = s (1 − 2t) + (d₀ + d₁) t,    N = d₁ ξ² + 2 s t + d₀ η²,
    y = y₀ + h σ,             L = log y′ = 2 log(s / D) + log N                              (the bin, forward)

the partial derivatives within a bin are

    σ_ξ = s N / D²                   L_ξ = 2 (d₁ ξ + s (η − ξ) − d₀ η) / N − 2 (d₀ + d₁ − 2s) (η − ξ) / D
    σ_s = t (d₁ ξ² − d₀ η²) / D²     L_s = 2/s − 2 (1 − 2t) / D + 2t / N
    σ_d₀ = t (1 − σ) / D             L_d₀ = η² / N − 2t / D
    σ_d₁ = −t σ / D                  L_d₁ = ξ² / N − 2t / D

The inverse has the same ones, with ξ an implicit function of y: dξ = (dy − dy₀ − σ dh − h dσ) / (h σ_ξ). What
remains is to hand the gradients of a bin's corners to the K widths and heights. A knot is a sum of shares, so
share j receives a (the gradient of both corners together) for j < k, b (that of the upper corner) for j = k, and
nothing beyond; the softmax then subtracts the mean of these under the shares.
"""

from collections.abc import Callable
from typing import NamedTuple

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor

from labkit.networks.mlp import transformed


class Settings(NamedTuple):
    """What of a spline is not learned, with `slope_shift` so that a raw slope of 0 is slope 1."""

    bound: float
    min_bin: float
    min_slope: float
    slope_shift: float


class _Found(NamedTuple):
    """The bin of each point, all (*s) but where it says otherwise."""

    inside: Tensor  # where in the bin: ξ
    rest: Tensor  # η = 1 − ξ
    width: Tensor
    height: Tensor
    d0: Tensor
    d1: Tensor
    bin: Tensor
    raw_slopes: Tensor  # (2, *s), shifted, on both sides of the bin; softplus′ is taken there
    corner: Tensor  # x₀, y₀, (2, *s)
    shares: Tensor  # how widths and heights of all bins are to each other beyond the least, (K, 2, *s)


def spline(
    plain: Callable, x: Float[Tensor, "*points"], params: Float[Tensor, "P *maps"], inverse: bool, settings: Settings
) -> tuple[Float[Tensor, "*s"], Float[Tensor, "*s"]]:
    """plain(x, params) and its log-slope, by the faster road where that road is open.

    The plain version runs where maps are shared by many points (then the knots are cheap and autograd's broadcast
    is right), and where torch transforms the program itself: `torch.func`, forward-mode derivatives, `torch.compile`.
    """
    dtype = torch.promote_types(x.dtype, params.dtype)  # they differ under autocast
    x, params = x.to(dtype), params.to(dtype)
    if params.ndim - 1 < x.ndim or params.shape[1:] != torch.broadcast_shapes(x.shape, params.shape[1:]) or _traced():
        return plain(x, params)
    x = x.expand(params.shape[1:])
    if torch.is_grad_enabled() and (x.requires_grad or params.requires_grad):
        return _Spline.apply(x, params, plain, inverse, settings)
    return _run(x, params, inverse, settings)[:2]


def _traced() -> bool:
    """Whether torch watches the operations themselves: a Function with in-place work inside is opaque to it."""
    return torch.compiler.is_compiling() or transformed()


class _Spline(torch.autograd.Function):
    @staticmethod
    def forward(ctx, x, params, plain, inverse, settings):
        y, log_slope, found = _run(x, params, inverse, settings)
        ctx.save_for_backward(x, params, *found)
        ctx.plain, ctx.inverse, ctx.settings = plain, inverse, settings
        return y, log_slope

    @staticmethod
    def backward(ctx, grad_y, grad_log_slope):
        x, params, *found = ctx.saved_tensors
        if torch.is_grad_enabled():  # a second derivative is wanted: autograd knows how
            wanted = [i for i in (0, 1) if ctx.needs_input_grad[i]]
            results = ctx.plain(x, params)
            grads = [None, None]
            for i, grad in zip(
                wanted,
                torch.autograd.grad(
                    results, [(x, params)[i] for i in wanted], (grad_y, grad_log_slope), create_graph=True
                ),
                strict=True,
            ):
                grads[i] = grad
            return *grads, None, None, None
        grads = _gradients(x, _Found(*found), grad_y, grad_log_slope, ctx.inverse, ctx.settings)
        return *grads, None, None, None


def _run(x: Tensor, params: Tensor, inverse: bool, settings: Settings) -> tuple[Tensor, Tensor, _Found]:
    bound = settings.bound
    within = x.clamp(-bound, bound)
    f = _find((within + bound).mul_(1 / (2 * bound)), params, inverse, settings)
    slope = f.height / f.width
    if inverse:
        xi, eta = _solve(f.inside, f.rest, slope, f.d0, f.d1)
        f, start, size = f._replace(inside=xi, rest=eta), f.corner[0], f.width
    else:
        xi, eta, start, size = f.inside, f.rest, f.corner[1], f.height
    xi2, eta2, t = xi * xi, eta * eta, xi * eta
    denominator = (xi2 + eta2).mul_(slope).addcmul_(f.d0 + f.d1, t)
    ratio = slope / denominator
    climbed = xi if inverse else (slope * xi2).addcmul_(f.d0, t).div_(denominator)
    steepness = (t * slope).mul_(2).addcmul_(f.d1, xi2).addcmul_(f.d0, eta2)
    log_slope = ratio.mul_(ratio).mul_(steepness).log_()
    y = torch.addcmul(start, size, climbed).mul_(2 * bound).sub_(bound).add_(x).sub_(within)
    return y, log_slope.neg_() if inverse else log_slope, f


def _find(v: Tensor, params: Tensor, inverse: bool, settings: Settings) -> _Found:
    """The bin of each v in [0, 1], with v's place in it on the side where it was given."""
    bins = (params.shape[0] + 1) // 3
    knots, shares = _knots(params[: 2 * bins].unflatten(0, (2, bins)).movedim(1, 0), settings.min_bin)
    given = int(inverse)
    k = (v >= knots[:-1, given]).sum(0, dtype=torch.int16).long()
    ends = torch.stack((k - 1, k)).clamp_(min=0)
    first = k > 0
    low, high = knots.gather(0, ends[:, None].expand(2, 2, *v.shape))  # (2, *s) each: x and y
    low.mul_(first)
    size = high - low
    share, rest = (v - low[given]).div_(size[given]), (high[given] - v).div_(size[given])
    # The outermost knots have no parameter: a raw 0, which is slope 1, meets the tails.
    raw = params[2 * bins :].gather(0, ends.clamp_(max=bins - 2))
    raw[0].mul_(first)
    raw[1].mul_(k < bins - 1)
    d0, d1 = F.softplus(raw.add_(settings.slope_shift)).add_(settings.min_slope)
    return _Found(share, rest, *size, d0, d1, k, raw, low, shares)


def _knots(logits: Float[Tensor, "K 2 *s"], min_bin: float) -> tuple[Tensor, Tensor]:
    """Upper ends of the bins, 0 < knot_1 < … < knot_K = 1, and their shares beyond the least, not to scale."""
    # A softmax whose sum is the last of the running sums, which are needed anyway.
    shares = (logits - logits.amax(0)).exp_()
    knots = torch.empty_like(shares)
    bins, rows = len(knots), knots.unbind(0)
    rows[0].copy_(shares[0])
    for j in range(1, bins):
        torch.add(rows[j - 1], shares[j], out=rows[j])
    scale = (1 - bins * min_bin) / rows[-1]
    least = torch.arange(1, bins + 1, device=knots.device, dtype=knots.dtype).mul_(min_bin)
    knots.mul_(scale).add_(least.view(-1, *(1,) * (knots.ndim - 1)))
    knots[-1] = 1
    return knots, shares


def _solve(tau: Tensor, rest: Tensor, slope: Tensor, d0: Tensor, d1: Tensor) -> tuple[Tensor, Tensor]:
    """ξ and η of the point that has climbed τ of its bin: of the two forms of ξ/η in `spline.py` the stable one."""
    q = (d0 * rest).addcmul_(d1, tau, value=-1)
    root = (slope * slope).mul_(tau).mul_(rest).mul_(4).addcmul_(q, q).sqrt_().add_(q.abs())
    # 1 where q >= 0. Weights of 0 and 1 choose exactly, and faster than torch.where.
    positive = (q >= 0).to(q.dtype)
    other = torch.lerp(rest, tau, positive).mul_(slope).mul_(2)
    total = root + other
    small, large = other.div_(total), root.div_(total)
    return torch.lerp(large, small, positive), torch.lerp(small, large, positive)


def _gradients(x: Tensor, f: _Found, grad_y: Tensor, grad_l: Tensor, inverse: bool, settings: Settings):
    """Gradients of x and of the parameters, from those of the value and of the log-slope."""
    xi, eta, w, h, d0, d1 = f[:6]
    beyond = x.abs() > settings.bound
    grad = (grad_y * (2 * settings.bound)).masked_fill_(beyond, 0.0)  # of the value in the unit square
    grad_l = grad_l.masked_fill(beyond, 0.0)
    slope, t, turn = h / w, xi * eta, eta - xi
    xi2, eta2 = xi * xi, eta * eta
    over_d = 1 / torch.addcmul(slope * (xi2 + eta2), d0 + d1, t)
    steepness = (d1 * xi2).addcmul_(slope, t, value=2).addcmul_(d0, eta2)
    over_n = 1 / steepness
    climbed = (slope * xi2).addcmul_(d0, t).mul_(over_d)
    along = slope * steepness * over_d * over_d  # σ_ξ
    bend = (d1 * xi).addcmul_(slope, turn).addcmul_(d0, eta, value=-1).mul_(over_n)
    bend = bend.sub_((d0 + d1).sub_(slope, alpha=2).mul_(turn).mul_(over_d)).mul_(2)  # L_ξ
    if inverse:
        a_x, grad_l = grad, -grad_l
        grad_x = torch.addcmul(grad * w, grad_l, bend).div_(h * along)
        a_y = -grad_x
    else:
        a_y = grad
        grad_x = torch.addcmul(grad * h * along, grad_l, bend).div_(w)
        a_x = -grad_x
    on_share = a_y * h
    twice = 2 * t * over_d
    on_slope = on_share * t * (d1 * xi2 - d0 * eta2) * over_d * over_d
    on_slope += grad_l * (2 / slope - 2 * (xi2 + eta2) * over_d + 2 * t * over_n)
    on_share = on_share * t * over_d
    on_d0 = torch.addcmul(on_share * (1 - climbed), grad_l, eta2 * over_n - twice)
    on_d1 = torch.addcmul(grad_l * (xi2 * over_n - twice), on_share, climbed, value=-1)
    on_slope = on_slope / w
    b = torch.stack((a_x * xi - on_slope * slope, a_y * climbed + on_slope))
    grad_params = _to_parameters(f, torch.stack((a_x, a_y)), b, torch.stack((on_d0, on_d1)), settings)
    return grad_x.div_(2 * settings.bound) + grad_y * beyond, grad_params


def _to_parameters(f: _Found, a: Tensor, b: Tensor, on_slopes: Tensor, settings: Settings) -> Tensor:
    """Gradients of the widths, heights and slopes of all bins, (P, *s), from those at the corners of one, (2, *s)."""
    k, bins = f.bin, len(f.shares)
    at = torch.arange(bins, device=k.device).view(-1, *(1,) * k.ndim)
    here, below = (at == k).to(a.dtype), (at < k).to(a.dtype)
    grad_params = a.new_empty(3 * bins - 1, *k.shape)
    total = 1 - bins * settings.min_bin
    mean = torch.sub(f.corner, k, alpha=settings.min_bin).mul_(a)
    mean.addcmul_(torch.stack((f.width, f.height)).sub_(settings.min_bin), b).div_(total)
    logits = grad_params[: 2 * bins].unflatten(0, (2, bins)).movedim(1, 0)
    torch.mul(below[:, None], a, out=logits)
    logits.addcmul_(here[:, None], b).sub_(mean).mul_(f.shares).mul_(total / f.shares.sum(0))
    on_raw = on_slopes * f.raw_slopes.sigmoid()
    torch.mul(here[:-1], on_raw[1], out=grad_params[2 * bins :])
    grad_params[2 * bins :].addcmul_(here[1:], on_raw[0])
    return grad_params
