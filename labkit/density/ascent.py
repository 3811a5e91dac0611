"""Climbing a log-density and crossing its passes, for dimensions in which no grid can be laid out."""

import torch
from jaxtyping import Float, Int
from torch import Tensor
from torch.distributions import Distribution
from torch.nn import functional

from labkit.density.grid import in_support, log_prob_on

SMALLEST_STEP = 1e-4  # in standard deviations: far below what tells two modes apart, far above rounding


def value_and_grad(
    density: Distribution, z: Float[Tensor, "*n k"]
) -> tuple[Float[Tensor, "*n"], Float[Tensor, "*n k"]]:
    """log p (...) and its gradient (..., k) at z (..., k); -inf and 0 outside the support."""
    inside = in_support(density, z)
    with torch.enable_grad():
        place = (z if inside.all() else z[inside]).detach().requires_grad_()
        log_prob = density.log_prob(place)
        if log_prob.requires_grad:
            (gradient,) = torch.autograd.grad(log_prob.sum(), place)
        else:
            gradient = torch.zeros_like(place)  # a uniform density
    if place.shape == z.shape:
        return log_prob.detach(), gradient
    everywhere, slope = z.new_full(z.shape[:-1], -torch.inf), torch.zeros_like(z)
    everywhere[inside], slope[inside] = log_prob.detach(), gradient
    return everywhere, slope


def ascend(
    density: Distribution,
    starts: Float[Tensor, "n k"],
    scale: Float[Tensor, "k"],
    steps: int = 80,
    reach: float = 0.1,
) -> tuple[Float[Tensor, "n k"], Float[Tensor, "n"]]:
    """Follow log p uphill from many places at once; returns where it ends (N, k) and log p there (N,).

    Batched BFGS in the coordinates z / scale: each place keeps its own model of the curvature, so that it
    moves along a curved ridge without zigzag, and its own longest step, widened after a rise and shortened
    after a refused one, so that log p never falls. Bounded steps (at most `reach`) keep a climb inside the
    basin it began in. A kink of log p, as at the bin edge of a spline, costs refused steps, no more: BFGS
    converges on functions smooth almost everywhere.

    References:
        Lewis & Overton, Nonsmooth Optimization via Quasi-Newton Methods (2013).
    """
    n, k = starts.shape
    eye = torch.eye(k, dtype=starts.dtype, device=starts.device)
    y, inverse = starts / scale, reach * eye.expand(n, k, k).clone()
    radius = starts.new_full((n, 1), reach)
    value, slope = value_and_grad(density, starts)
    slope = slope * scale
    for _ in range(steps):
        step = (inverse @ slope.unsqueeze(-1)).squeeze(-1)
        step = step * (radius / step.norm(dim=-1, keepdim=True).clamp_min(1e-30)).clamp_max(1.0)
        if step.norm(dim=-1).max() < SMALLEST_STEP:
            break
        new_value, new_slope = value_and_grad(density, (y + step) * scale)
        new_slope = new_slope * scale
        rises = (new_value >= value) & new_slope.isfinite().all(-1)
        moved = new_value.isfinite() & (step.norm(dim=-1) > SMALLEST_STEP)
        inverse = _bfgs(inverse, step, slope - new_slope, eye, where=moved)
        up = rises.unsqueeze(-1)
        radius = torch.where(up, (radius * 1.5).clamp_max(reach), 0.3 * step.norm(dim=-1, keepdim=True))
        y, slope = torch.where(up, y + step, y), torch.where(up, new_slope, slope)
        value = torch.where(rises, new_value, value)
    return y * scale, value


def _bfgs(inverse: Tensor, step: Tensor, change: Tensor, eye: Tensor, where: Tensor) -> Tensor:
    """The inverse-Hessian update of -log p, skipped where the curvature along the step is not positive."""
    curvature = (step * change).sum(-1)
    usable = where & (curvature > 1e-8 * step.norm(dim=-1) * change.norm(dim=-1))
    rho = torch.where(usable, 1 / curvature, 0.0)[:, None, None]
    change = torch.where(usable[:, None], change, 0.0)
    left = eye - rho * step[:, :, None] * change[:, None, :]
    return left @ inverse @ left.mT + rho * step[:, :, None] * step[:, None, :]


def distinct_ends(
    ends: Float[Tensor, "n k"], log_prob: Float[Tensor, "n"], radius: float, most: int = 64
) -> tuple[Int[Tensor, "leaders"], Int[Tensor, "n"]]:
    """One representative for each cluster of ends (N, k): their indices (C,) and each end's cluster (N,).

    The highest end not yet spoken for speaks for all within `radius`; after `most` of them, whatever is
    left goes to the nearest.
    """
    order = log_prob.argsort(descending=True, stable=True)
    free = torch.ones(len(ends), dtype=torch.bool, device=ends.device)
    leaders: list[int] = []
    for i in order.tolist():
        if free[i]:
            leaders.append(i)
            free &= (ends - ends[i]).norm(dim=-1) > radius
            if len(leaders) == most or not free.any():
                break
    leaders = torch.tensor(leaders, device=ends.device)
    return leaders, torch.cdist(ends, ends[leaders]).argmin(-1)


def saddle_heights(
    density: Distribution,
    a: Float[Tensor, "pairs k"],
    b: Float[Tensor, "pairs k"],
    scale: Float[Tensor, "k"],
    images: int = 25,
    steps: int = 60,
) -> Float[Tensor, "pairs"]:
    """Height (E,) of the pass between a (E, k) and b (E, k): the best minimum of log p on any path.

    A string of `images` points, straight at first, is pulled uphill and spread out evenly again, step by
    step and less and less, until it lies on the ridge that joins its ends. The better of its minimum and
    the straight line's is returned. Every path bounds the pass from below, so an error here makes a drop
    too large.

    References:
        E, Ren & Vanden-Eijnden, Simplified and Improved String Method (2007).
    """
    if len(a) == 0:
        return a.new_empty(0)
    a, b = a / scale, b / scale
    share = torch.linspace(0, 1, images, dtype=a.dtype, device=a.device)[:, None]
    path = a[:, None] + share * (b - a)[:, None]  # (E, images, k)
    straight = _lowest(density, path * scale)
    for step in range(steps):
        slope = value_and_grad(density, path * scale)[1][:, 1:-1] * scale
        tangent = functional.normalize(path[:, 2:] - path[:, :-2], dim=-1)
        across = slope - (slope * tangent).sum(-1, keepdim=True) * tangent
        length = (path[:, 1:] - path[:, :-1]).norm(dim=-1).sum(-1)[:, None, None]
        # normalised steps need no guess of the curvature; their sum lets the string bend by its own length
        stride = length / 15 * 0.005 ** (step / (steps - 1))
        size = across.norm(dim=-1, keepdim=True).clamp_min(1e-30)
        path = path.clone()
        path[:, 1:-1] += torch.where(across.isfinite(), across / size, 0.0) * torch.minimum(stride, size)
        path = _evenly_spaced(path)
    return torch.maximum(straight, _lowest(density, path * scale))


def _lowest(density: Distribution, path: Tensor, finer: int = 8) -> Tensor:
    """The least log p along broken lines (E, P, k) -> (E,), looked up at `finer` places on each segment."""
    count = (path.shape[1] - 1) * finer + 1
    dense = functional.interpolate(path.mT, size=count, mode="linear", align_corners=True)
    points = dense.mT.reshape(-1, path.shape[-1])
    return log_prob_on(density, points).reshape(len(path), -1).amin(-1)


def _evenly_spaced(path: Tensor) -> Tensor:
    """The same broken lines (E, P, k) with their points at equal arc length."""
    count = path.shape[1]
    segment = (path[:, 1:] - path[:, :-1]).norm(dim=-1)
    arc = torch.cat([torch.zeros_like(segment[:, :1]), segment.cumsum(-1)], dim=-1)
    arc = arc / arc[:, -1:].clamp_min(1e-30)
    wanted = torch.linspace(0, 1, count, dtype=path.dtype, device=path.device).expand(len(path), -1)
    right = torch.searchsorted(arc.contiguous(), wanted.contiguous()).clamp(1, count - 1)
    low, high = arc.gather(1, right - 1), arc.gather(1, right)
    share = ((wanted - low) / (high - low).clamp_min(1e-30)).clamp(0, 1)[..., None]
    pick = right[..., None].expand(-1, -1, path.shape[-1])
    return path.gather(1, pick - 1) * (1 - share) + path.gather(1, pick) * share
