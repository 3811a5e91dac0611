"""Densities on surfaces: known ones, total mass, samples."""

import math

import numpy as np
import pytest
import torch
from scipy.special import i0, i1
from scipy.stats import kstest
from torch import nn
from torch.distributions import Independent, MultivariateNormal, VonMises

from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    ElementwiseAffine,
    RationalQuadraticSpline,
    StandardNormal,
    Transform,
    neural_spline_flow,
)
from labkit.flows.injective import InjectiveFlow

CONTEXT, DOUBLE = 3, torch.float64
AFFINE, SPLINE = ElementwiseAffine(), RationalQuadraticSpline(bins=5, bound=3.0)
VON_MISES = math.log(2 * math.pi * i0(1)) - i1(1) / i0(1)  # nats: 1.6274, the entropy at κ = 1


def couplings(bijection, features, context=0, layers=2, hidden=(16,)):
    return Compose([Coupling(bijection, features, context, hidden, swap=i % 2 == 1) for i in range(layers)])


FLOWS = {
    "curve in the plane, affine": lambda: InjectiveFlow(neural_spline_flow(1, hidden=(8,)), couplings(AFFINE, 2)),
    "curve in 4-d, spline, basis": lambda: InjectiveFlow(neural_spline_flow(1), couplings(SPLINE, 4), basis=True),
    "curve in 3-d, conditional": lambda: InjectiveFlow(neural_spline_flow(1, CONTEXT), couplings(AFFINE, 3, CONTEXT)),
    "curve in two stages": lambda: InjectiveFlow(
        neural_spline_flow(1), [couplings(AFFINE, 2), couplings(SPLINE, 5)], basis=True
    ),
    "surface in 3-d, only the low flow conditional": lambda: InjectiveFlow(
        neural_spline_flow(2, CONTEXT, layers=2, hidden=(8,)), couplings(AFFINE, 3)
    ),
    "surface in 4-d, only the map conditional": lambda: InjectiveFlow(
        neural_spline_flow(2, hidden=(8,)), couplings(SPLINE, 4, CONTEXT)
    ),
}
CURVES = {name: make for name, make in FLOWS.items() if name.startswith("curve")}
SURFACES = {name: make for name, make in FLOWS.items() if name.startswith("surface")}


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(make, spread=0.5, dtype=DOUBLE):
    """The module away from the plain state in which it starts, the same in both precisions."""
    module, g = make().to(dtype), generator(1)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            by = spread * weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.2
            start = torch.eye(*weight.shape) if name.endswith("free") else 0.0
            weight.copy_(start + by * torch.randn(weight.shape, generator=g, dtype=DOUBLE))
    return module


def density(make, *batch, dtype=DOUBLE):
    flow = perturbed(make, dtype=dtype)
    if not flow.context_features:
        return flow().expand(batch)
    return flow(torch.randn(*batch, CONTEXT, generator=generator(2), dtype=DOUBLE).to(dtype))


# --- known surfaces ---------------------------------------------------------------------------------------------


class Polar(Transform):
    """(θ, r) -> ((R + r) cos θ, (R + r) sin θ): what is padded with zeros is bent into a circle of radius R."""

    def __init__(self, radius: float):
        super().__init__(2)
        self.radius = radius

    def forward_and_log_det(self, u, context=None):
        r = self.radius + u[..., 1]
        return torch.stack((r * u[..., 0].cos(), r * u[..., 0].sin()), -1), r.abs().log()

    def inverse_and_log_det(self, z, context=None):
        r = z.norm(dim=-1)
        return torch.stack((torch.atan2(z[..., 1], z[..., 0]), r - self.radius), -1), -r.log()


class Low(nn.Module):
    """Any torch distribution in the place of p_low."""

    context_features = 0

    def __init__(self, distribution):
        super().__init__()
        self.distribution, self.features = distribution, distribution.event_shape[0]

    def forward(self, context=None):
        return self.distribution


@pytest.mark.parametrize("radius", [1.0, 3.0])
def test_von_mises_on_a_circle(radius):
    one = torch.ones(1, dtype=DOUBLE)
    flow = InjectiveFlow(Low(Independent(VonMises(0 * one, one), 1)), Polar(radius))
    angle = torch.arange(2000, dtype=DOUBLE) * (2 * math.pi / 2000) - math.pi
    x = radius * torch.stack((angle.cos(), angle.sin()), -1)
    log_prob = flow().log_prob(x)
    step = 2 * math.pi * radius / 2000
    assert (log_prob.exp().sum() * step).item() == pytest.approx(1.0, abs=1e-6)  # torch's own Bessel function
    nll = -(log_prob * log_prob.exp()).sum() * step
    assert nll.item() == pytest.approx(VON_MISES + math.log(radius), abs=1e-6)  # spread over a longer line
    off = flow().reconstruction_error(1.5 * x)  # half a radius away from the circle
    torch.testing.assert_close(off, torch.full_like(off, (radius / 2) ** 2))


def test_a_normal_on_a_tilted_plane():
    flow = InjectiveFlow(Low(StandardNormal(2).double()()), Elementwise(AFFINE, 4), basis=True)
    flow = perturbed(lambda: flow)
    embed = flow.embed
    origin = embed(torch.zeros(2, dtype=DOUBLE))
    A = torch.stack([embed(e) - origin for e in torch.eye(2, dtype=DOUBLE)], -1)  # (4, 2)
    axes = torch.linalg.qr(A)[0]  # an orthonormal basis of the plane, in which the density is an ordinary one
    within = MultivariateNormal(axes.T @ origin, axes.T @ A @ A.T @ axes)
    x = flow().sample((50,), generator=generator())
    torch.testing.assert_close(flow().log_prob(x), within.log_prob(x @ axes), atol=1e-8, rtol=1e-8)


def along(p, points=20_001, reach=9.0):
    """A fine line of points on a curve, the middle of each piece, and its length, taken with a ruler."""
    z = torch.linspace(-reach, reach, 2 * points - 1, dtype=DOUBLE)[:, None]
    x = p.embed(z, p.context)
    return z[1::2], x[1::2], (x[2::2] - x[:-2:2]).norm(dim=-1)


@over(CURVES)
@torch.no_grad()
def test_mass_along_a_curve_is_one(make):
    p = density(make)
    _, x, length = along(p)
    assert (p.log_prob(x).exp() * length).sum().item() == pytest.approx(1.0, abs=1e-3)


@over(SURFACES)
@torch.no_grad()
def test_mass_over_a_surface_is_one(make):
    p = density(make)
    draws = p.low.sample((4000,), generator=generator())
    low, high = draws.amin(0) - draws.std(0), draws.amax(0) + draws.std(0)
    sides = [torch.linspace(a, b, 301, dtype=DOUBLE) for a, b in zip(low.tolist(), high.tolist())]
    x = p.embed(torch.cartesian_prod(*sides), p.context).reshape(301, 301, -1)
    a, b = x[1:, 1:] - x[:-1, :-1], x[:-1, 1:] - x[1:, :-1]  # the two diagonals of every patch
    area = 0.5 * (a.square().sum(-1) * b.square().sum(-1) - (a * b).sum(-1) ** 2).clamp_min(0).sqrt()
    middle = torch.cartesian_prod(*((side[1:] + side[:-1]) / 2 for side in sides))
    log_prob = p.log_prob_at(middle).reshape(300, 300)
    assert (log_prob.exp() * area).sum().item() == pytest.approx(1.0, abs=2e-3)


@over(CURVES)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@torch.no_grad()
def test_samples_follow_the_density_along_the_curve(make, dtype):
    p = density(make)
    x = density(make, dtype=dtype).sample((4000,), generator=generator(3)).double()
    z, line, length = along(p)
    cdf = (p.log_prob(line).exp() * length).cumsum(0)
    # 8 tests at 0.01 / 8 each: a right sampler passes them all with probability 0.99.
    result = kstest(p.coordinates(x)[:, 0].numpy(), lambda at: np.interp(at, z[:, 0].numpy(), cdf.numpy()))
    assert result.pvalue > 0.01 / 8
    assert p.reconstruction_error(x).max() < (1e-16 if dtype == DOUBLE else 1e-6)


@over(FLOWS)
def test_draws_come_with_their_own_log_density(make):
    p = density(make, 4)
    x, log_prob = p.rsample_and_log_prob((20,), generator=generator())
    assert x.shape == (20, 4, *p.event_shape) and log_prob.shape == (20, 4)
    torch.testing.assert_close(log_prob, p.log_prob(x), atol=1e-7, rtol=1e-7)
    assert torch.equal(x, p.rsample((20,), generator=generator()))
    assert not p.sample((3,)).requires_grad and p.project(x).shape == x.shape


@over(FLOWS)
def test_gradients_reach_every_weight(make):
    flow = perturbed(make)
    context = torch.randn(6, CONTEXT, generator=generator(), dtype=DOUBLE) if flow.context_features else None
    x = torch.randn(6, flow.features, generator=generator(), dtype=DOUBLE)
    flow(context).log_prob(x).sum().backward()
    # What moves the surface but not the density along it (a shift at the very end) is left to the other term.
    flow(context).reconstruction_error(x).sum().backward()
    assert all(w.grad is not None and w.grad.isfinite().all() for w in flow.parameters())
    reached = [w.grad.abs().sum() > 0 for w in flow.parameters()]
    assert all(reached)
