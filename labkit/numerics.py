"""Logarithms of small differences, and the tails of the normal and the logistic distribution.

A truncated density needs the mass of an interval, and that mass is a difference of two cdfs: far out in a tail
the two are equal to the last digit and their difference is 0. So nothing here subtracts cdfs. An interval is
measured from its end *nearest to the mode* (the near tail; an interval around the mode is cut there in two), by

    start >= 0   the distance of that end from the mode
    width >= 0   how far the interval reaches outwards from there, possibly ∞

in units of the scale, and a density f by its ratio to its value at the near end, e^{ℓ(t)} = f(start + t) / f(start).
The functions below come in pairs, one for the normal and one for the logistic:

    *_tail_log_density(start, t)            ℓ(t) <= 0, in nats
    *_tail_mass(start, width)               ∫₀^width e^{ℓ(t)} dt, which neither overflows nor underflows
    *_tail_icdf(start, width, u, 1 − u)     the t in [0, width] that leaves a share u of that mass nearer, 1 − u farther

`width` may be ∞; `start` and `t` are finite. All are differentiable in every argument.
"""

from functools import cache
from math import log, pi, sqrt

import torch
from jaxtyping import Float
from torch import Tensor
from torch.autograd import Function
from torch.nn.functional import logsigmoid

LOG_SQRT_2PI = log(2 * pi) / 2  # −log of the normal density at its mode, nats
NEWTON_STEPS = 6  # each about doubles the digits; the starts are within a factor of a few


def log1mexp(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """log(1 − eˣ) for x <= 0, in nats, to full relative precision at both ends.

    Near 0 as log(−expm1(x)), elsewhere as log1p(−eˣ): Mächler 2012, *Accurately computing log(1 − exp(−|a|))*, eq. 7.
    It is −∞ at 0, 0 at −∞ and NaN for x > 0.

    Example:
        >>> log1mexp(torch.tensor([-1e-20, -50.0]))
        tensor([-4.6052e+01, -1.9287e-22])
    """
    return _Log1mExp.apply(x)


class _Log1mExp(Function):
    # By hand, because `where` over two logarithms has NaN gradients at the ends.
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.where(x > -log(2), (-torch.expm1(x)).log(), torch.log1p(-torch.exp(x)))

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        return -grad / torch.expm1(-x)


def log_diff_exp(x: Float[Tensor, "*a"], y: Float[Tensor, "*b"]) -> Float[Tensor, "*s"]:
    """log(eˣ − eʸ) for x >= y, in nats: the `logsumexp` of a difference. NaN for x < y.

    y = −∞ takes nothing away; equal arguments, both −∞ included, give −∞.

    Example:
        >>> log_diff_exp(torch.tensor(1000.0), torch.tensor(999.0))  # 1000 + log(1 − 1/e)
        tensor(999.5413)
    """
    nothing = y == -torch.inf
    difference = torch.where(nothing, -1.0, y) - torch.where(nothing, 0.0, x)  # no ∞ − ∞, forward or backward
    return torch.where(nothing, x, x + log1mexp(difference))


def log_ndtr(x: Float[Tensor, "*s"]) -> Float[Tensor, "*s"]:
    """log Φ(x), the standard normal's log-cdf in nats; log_ndtr(−x) is its log-survival.

    The value is torch's own. The gradient φ(x)/Φ(x) is not: torch's is wrong by 4 % at x = −1000 in float32.

    Example:
        >>> x = torch.tensor(-1000.0, requires_grad=True)
        >>> log_ndtr(x).backward()
        >>> x.grad
        tensor(1000.00...)
    """
    return _LogNdtr.apply(x)


class _LogNdtr(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(x):
        return torch.special.log_ndtr(x)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs)

    @staticmethod
    def backward(ctx, grad):
        (x,) = ctx.saved_tensors
        below = 1 / normal_tail_mass(-x.clamp(max=0.0), torch.full_like(x, torch.inf))
        above = torch.exp(-x.square() / 2 - LOG_SQRT_2PI - torch.special.log_ndtr(x.clamp(min=0.0)))
        return grad * torch.where(x < 0, below, above)


def normal_tail_log_density(start: Float[Tensor, "*a"], t: Float[Tensor, "*b"]) -> Float[Tensor, "*s"]:
    """ℓ(t) = log φ(start + t) − log φ(start) = −t (start + t/2), in nats."""
    return -t * (start + t / 2)


def normal_tail_mass(start: Float[Tensor, "*a"], width: Float[Tensor, "*b"]) -> Float[Tensor, "*s"]:
    """∫₀^width e^{−t (start + t/2)} dt = (Φ(start + width) − Φ(start)) / φ(start), for start >= 0.

    With width = ∞ it is Mills' ratio, about 1/start far out. By Gauss–Legendre quadrature over the part of the
    interval that counts: every term is positive, so that no digits cancel however narrow or far out it is, nor
    in the derivatives, which are integrals of the same kind.

    Example:
        >>> normal_tail_mass(torch.tensor([0.0, 1e4, 9.0]), torch.tensor([torch.inf, torch.inf, 1e-4]))
        tensor([1.2533e+00, 1.0000e-04, 9.9955e-05])
    """
    return _normal_moment(start, width, 0)


def _normal_moment(start: Tensor, width: Tensor, power: int) -> Tensor:
    """∫₀^width t^power e^{−t (start + t/2)} dt."""
    return _NormalMoment.apply(*torch.broadcast_tensors(start, width), power)


class _NormalMoment(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(start, width, power):
        rule, depth = _gauss_legendre(start.dtype == torch.float64)
        # Where the exponent has fallen by `depth` nats, what is left is below rounding.
        reach = 2 * depth / (start + torch.hypot(start, torch.full_like(start, sqrt(2 * depth))))
        end = torch.minimum(width, reach)
        total = torch.zeros_like(end)
        for node, weight in rule:  # a loop and not an axis: memory stays that of the points
            t = node * end
            total = total + weight * t**power * torch.exp(normal_tail_log_density(start, t))
        return total * end

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs[:2])
        ctx.power = inputs[2]

    @staticmethod
    def backward(ctx, grad):
        start, width = ctx.saved_tensors
        by_start = by_width = None
        if ctx.needs_input_grad[0]:
            by_start = -grad * _normal_moment(start, width, ctx.power + 1)
        if ctx.needs_input_grad[1]:
            far = width == torch.inf
            edge = torch.where(far, 0.0, width)
            edge = edge**ctx.power * torch.exp(normal_tail_log_density(start, edge))
            by_width = grad * torch.where(far, 0.0, edge)
        return by_start, by_width, None


@cache
@torch.compiler.assume_constant_result
def _gauss_legendre(double: bool) -> tuple[list[tuple[float, float]], float]:
    """Nodes and weights on [0, 1], and the nats over which e^{−t} is then integrated to the last digit.

    Golub & Welsch 1969: nodes are eigenvalues of the Legendre polynomials' three-term recurrence.
    """
    points, depth = (26, 42.0) if double else (12, 20.0)
    k = torch.arange(1, points, dtype=torch.float64)
    off_diagonal = torch.diag(k / (4 * k**2 - 1).sqrt(), 1)
    nodes, vectors = torch.linalg.eigh(off_diagonal + off_diagonal.T)
    return list(zip(((1 + nodes) / 2).tolist(), vectors[0].square().tolist(), strict=True)), depth


def normal_tail_icdf(
    start: Float[Tensor, "*a"], width: Float[Tensor, "*b"], u: Float[Tensor, "*c"], complement: Float[Tensor, "*c"]
) -> Float[Tensor, "*s"]:
    """The t with normal_tail_mass(start, t) = u · normal_tail_mass(start, width), for start >= 0.

    Newton's method, on the nearer mass for u <= 1/2 (from u times the whole mass) and on the logarithm of the farther
    mass otherwise (from the quantile of the exponent −ℓ as if that were exponential). Both functions are
    concave and both starts lie on the side from which Newton's steps never cross the root, so none leaves [0, width].
    Gradients are implicit: d of the equation that t solves.

    Arguments:
        u, complement: u in [0, 1] and 1 − u, each to its own precision; u alone is used up to 1/2, 1 − u beyond.
    """
    return _NormalIcdf.apply(*torch.broadcast_tensors(start, width, u, complement))


class _NormalIcdf(Function):
    generate_vmap_rule = True

    @staticmethod
    def forward(start, width, u, complement):
        lower, share = u <= 0.5, complement.clamp(min=torch.finfo(u.dtype).tiny)
        mass = normal_tail_mass(start, width)
        whole = -normal_tail_log_density(start, width)
        drop = torch.where(whole < 1, -torch.log1p(u * torch.expm1(-whole)), -torch.log(share + u * torch.exp(-whole)))
        drop = drop.clamp(min=torch.finfo(u.dtype).tiny)
        t = torch.where(lower, u * mass, 2 * drop / (start + torch.hypot(start, (2 * drop).sqrt())))
        for _ in range(NEWTON_STEPS):
            t = torch.minimum(t, width)
            part = normal_tail_mass(torch.where(lower, start, start + t), torch.where(lower, t, width - t))
            fallen = normal_tail_log_density(start, t)
            excess = fallen + torch.log(part.clamp(min=torch.finfo(u.dtype).tiny) / mass) - share.log()
            t = (t + torch.where(lower, (u * mass - part) * torch.exp(-fallen), part * excess)).clamp(min=0.0)
        t = torch.where(u <= 0, 0.0, torch.minimum(t, width))
        return torch.where(complement <= 0, width, t)

    @staticmethod
    def setup_context(ctx, inputs, output):
        ctx.save_for_backward(*inputs, output)

    @staticmethod
    def backward(ctx, grad):
        start, width, u, complement, t = ctx.saved_tensors
        lower = u <= 0.5
        mass, first = _normal_moment(start, width, 0), _normal_moment(start, width, 1)
        near = torch.where(lower, t, 0.0)  # each side sees only what is finite for it
        rise = torch.exp(-normal_tail_log_density(start, near))
        by_start_lower = (_normal_moment(start, near, 1) - u * first) * rise
        # beyond t, in units of the density at t: nothing underflows, however far out t is
        beyond, rest = torch.where(lower, start, start + t), torch.where(lower, width, width - t)
        part = _normal_moment(beyond, rest, 0)
        by_start_upper = part * (first / mass - t) - _normal_moment(beyond, rest, 1)
        by_start = torch.where(lower, by_start_lower, by_start_upper)
        rest = torch.where(width == torch.inf, torch.inf, width - t)
        by_width = u * torch.exp(torch.where(rest == torch.inf, -torch.inf, normal_tail_log_density(start + t, rest)))
        by_u = torch.where(lower, mass * rise, 0.0)
        by_complement = torch.where(lower, 0.0, -mass * torch.exp(-normal_tail_log_density(start, t)))
        slopes = (by_start, by_width, by_u, by_complement)
        return tuple(
            grad * slope if needed else None for slope, needed in zip(slopes, ctx.needs_input_grad, strict=True)
        )


def logistic_tail_log_density(start: Float[Tensor, "*a"], t: Float[Tensor, "*b"]) -> Float[Tensor, "*s"]:
    """ℓ(t) = −t + 2 log σ(start + t) − 2 log σ(start) in nats, of f(x) = σ(x) σ(−x), the logistic density."""
    return -t + 2 * (logsigmoid(start + t) - logsigmoid(start))


def logistic_tail_mass(start: Float[Tensor, "*a"], width: Float[Tensor, "*b"]) -> Float[Tensor, "*s"]:
    """(σ(start + width) − σ(start)) / f(start) = (1 − e^{−width}) σ(start + width) / σ(start), for start >= 0.

    Example:
        >>> logistic_tail_mass(torch.tensor([0.0, 200.0]), torch.tensor([torch.inf, 1e-4]))
        tensor([2.0000e+00, 9.9995e-05])
    """
    return torch.exp(logsigmoid(start + width) - logsigmoid(start)) * -torch.expm1(-width)


def logistic_tail_icdf(
    start: Float[Tensor, "*a"], width: Float[Tensor, "*b"], u: Float[Tensor, "*c"], complement: Float[Tensor, "*c"]
) -> Float[Tensor, "*s"]:
    """The t with logistic_tail_mass(start, t) = u · logistic_tail_mass(start, width), in closed form.

    With C = σ(start + width)(1 − e^{−width}) and c = u C it is t = log(1 + c e^{−start}) − log(1 − c), where for large
    c the difference is written as a sum: 1 − c = σ(−start − width) + σ(start + width) e^{−width} + (1 − u) C.
    """
    log_cdf, log_survival = logsigmoid(start + width), logsigmoid(-start - width)
    whole = torch.exp(log_cdf) * -torch.expm1(-width)
    c = u * whole
    small = c < 0.5
    left = torch.exp(log_survival) + torch.exp(log_cdf - width) + complement * whole
    log_left = torch.where(small, torch.log1p(-torch.where(small, c, 0.0)), torch.where(left > 0, left, 1.0).log())
    t = torch.minimum(torch.log1p(c * torch.exp(-start)) - log_left, width)
    return torch.where(complement <= 0, width, torch.where(u <= 0, 0.0, t))
