"""Flows as densities: total mass, samples against the density, and the habits of a torch Distribution."""

import numpy as np
import pytest
import torch
from scipy.stats import kstest
from torch.distributions import Independent, Normal

from labkit.flows import Compose, Flow, Reverse, StandardNormal, masked_autoregressive_flow, neural_spline_flow

CONTEXT = 3
FLOWS = {
    "1-d": lambda: neural_spline_flow(1, hidden=(16,)),
    "1-d conditional": lambda: neural_spline_flow(1, CONTEXT, hidden=(16,)),
    "2-d": lambda: neural_spline_flow(2, hidden=(16,)),
    "2-d conditional": lambda: neural_spline_flow(2, CONTEXT, hidden=(16,)),
    "2-d conditional, no affine layer": lambda: neural_spline_flow(2, CONTEXT, hidden=(16,), affine=False),
    "3-d conditional": lambda: neural_spline_flow(3, CONTEXT, hidden=(16,)),
}
PLANE = {name: make for name, make in FLOWS.items() if not name.startswith("3")}


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(make, dtype=torch.float64):
    """The flow away from the normal as which it starts, the same in both precisions."""
    flow, g = make().to(dtype), generator(1)
    with torch.no_grad():
        for weight in flow.parameters():
            spread = 0.5 * weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.2
            weight.copy_(spread * torch.randn(weight.shape, generator=g, dtype=torch.float64))
    return flow


def density(make, *batch, dtype=torch.float64):
    """The flow's distribution under random contexts of the given batch shape."""
    flow = perturbed(make, dtype)
    if not flow.context_features:
        return flow().expand(batch)
    return flow(torch.randn(*batch, CONTEXT, generator=generator(2), dtype=torch.float64).to(dtype))


@torch.no_grad()
def mass_on_grid(p, points, half_width):
    """The midpoints of a grid along each axis and the mass of each cell by the midpoint rule."""
    (d,) = p.event_shape
    step = 2 * half_width / points
    axis = torch.arange(points, dtype=torch.float64) * step + step / 2 - half_width
    grid = torch.cartesian_prod(*[axis] * d).reshape(-1, d)
    return axis, (p.log_prob(grid).exp() * step**d).reshape([points] * d)


@over(PLANE)
def test_total_mass_is_one(make):
    p = density(make)
    points = 20_000 if p.event_shape == (1,) else 600
    _, mass = mass_on_grid(p, points, half_width=9.0)
    assert mass.sum().item() == pytest.approx(1.0, abs=1e-3)


@over(PLANE)
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_samples_follow_the_density(make, dtype):
    p = density(make)
    draws = density(make, dtype=dtype).sample((4000,), generator=generator(3)).double()
    points = 20_000 if p.event_shape == (1,) else 600
    axis, mass = mass_on_grid(p, points, half_width=9.0)
    edges = (axis + (axis[1] - axis[0]) / 2).numpy()
    for i in range(draws.shape[-1]):
        others = [j for j in range(mass.ndim) if j != i]
        cdf = (mass.sum(others) if others else mass).cumsum(0).numpy()
        # 16 marginals at 0.01 / 16 each: a right sampler passes them all with probability 0.99.
        result = kstest(draws[:, i].numpy(), lambda x, cdf=cdf: np.interp(x, edges, cdf))
        assert result.pvalue > 0.01 / 16


@over(FLOWS)
def test_draws_come_with_their_own_log_density(make):
    p = density(make, 4)
    z, log_prob = p.rsample_and_log_prob((50,), generator=generator())
    assert z.shape == (50, 4, *p.event_shape) and log_prob.shape == (50, 4)
    torch.testing.assert_close(log_prob, p.log_prob(z), atol=1e-8, rtol=1e-8)


@over(FLOWS)
def test_fresh_flow_is_standard_normal(make):
    flow = make()
    context = torch.randn(5, CONTEXT, generator=generator()) if flow.context_features else None
    p, normal = flow(context), Independent(Normal(torch.zeros(flow.features), 1.0), 1)
    z = 3 * torch.randn(5, flow.features, generator=generator())
    torch.testing.assert_close(p.log_prob(z), normal.log_prob(z), atol=1e-4, rtol=1e-5)


def test_shapes_are_those_of_a_distribution():
    flow = perturbed(FLOWS["2-d conditional"])
    p = flow(torch.zeros(5, CONTEXT, dtype=torch.float64))
    assert (p.batch_shape, p.event_shape, p.has_rsample) == ((5,), (2,), True)
    assert p.sample().shape == (5, 2) and p.sample((7, 3)).shape == (7, 3, 5, 2)
    assert p.log_prob(torch.zeros(2, dtype=torch.float64)).shape == (5,)
    assert p.log_prob(torch.zeros(7, 1, 2, dtype=torch.float64)).shape == (7, 5)
    assert p.support.check(p.sample()).all()
    assert flow(torch.zeros(CONTEXT, dtype=torch.float64)).batch_shape == ()
    assert "FlowDistribution" in repr(p)


def test_expand_repeats_without_copying_the_context():
    p = density(FLOWS["2-d conditional"], 5)
    wide = p.expand((4, 5))
    assert wide.batch_shape == (4, 5) and wide.context is p.context
    z = wide.sample((3,), generator=generator())
    assert z.shape == (3, 4, 5, 2)
    torch.testing.assert_close(wide.log_prob(z), p.log_prob(z))
    assert wide.log_prob(z[0, 0, 0]).shape == (4, 5)
    unconditional = density(FLOWS["2-d"]).expand((6,))
    assert unconditional.sample().shape == (6, 2)
    assert unconditional.log_prob(torch.zeros(2, dtype=torch.float64)).shape == (6,)


def test_the_same_generator_gives_the_same_draws():
    p = density(FLOWS["2-d conditional"])
    a, b, other = (p.sample((9,), generator=generator(seed)) for seed in (5, 5, 6))
    assert torch.equal(a, b) and not torch.equal(a, other)
    assert torch.equal(a, p.rsample((9,), generator=generator(5)))


def test_gradients_reach_weights_and_context_through_draws_only_where_asked():
    flow = perturbed(FLOWS["2-d conditional"])
    context = torch.randn(5, CONTEXT, generator=generator(), dtype=torch.float64, requires_grad=True)
    p = flow(context)
    assert not p.sample((3,)).requires_grad
    p.rsample((3,), generator=generator()).square().sum().backward()
    assert context.grad.abs().sum() > 0
    assert all(weight.grad is not None for weight in flow.parameters())


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=["float32", "float64"])
def test_precision_follows_the_module(dtype):
    p = neural_spline_flow(2).to(dtype)()
    assert p.sample().dtype == p.log_prob(torch.zeros(2, dtype=dtype)).dtype == dtype


def test_fitting_recovers_location_and_scale_per_context():
    g = generator()
    context = torch.eye(2)
    target = Normal(torch.tensor([[4.0, 0.0], [-4.0, 2.0]]), torch.tensor([[0.5, 1.0], [1.0, 0.5]]))
    flow = neural_spline_flow(2, 2, layers=2, hidden=(16,))
    optimiser = torch.optim.Adam(flow.parameters(), lr=0.03)
    for _ in range(150):
        noise = torch.randn(128, 2, 2, generator=g)
        z = target.loc + target.scale * noise
        loss = -flow(context).log_prob(z).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() == pytest.approx(target.entropy().sum(-1).mean().item(), abs=0.15)


CONDITIONAL, FREE = neural_spline_flow(2, CONTEXT), neural_spline_flow(2)
ERRORS = {
    "no context": (lambda: CONDITIONAL(), r"context of shape \(\.\.\., 3\); got None"),
    "context's width": (lambda: CONDITIONAL(torch.zeros(5, 4)), r"\(\.\.\., 3\); got shape \(5, 4\)"),
    "fewer layers than none": (lambda: neural_spline_flow(2, layers=-1), "layers >= 0; got layers=-1"),
    "no layers": (lambda: masked_autoregressive_flow(2, layers=0), "layers >= 1; got layers=0"),
    "needless context": (lambda: FREE(torch.zeros(5, 3)), r"expected no context; got shape \(5, 3\)"),
    "context that is not a number": (lambda: CONDITIONAL(torch.full((3,), torch.nan)), "context"),
    "points' width": (lambda: FREE().log_prob(torch.zeros(5, 3)), r"\(\.\.\., 2\); got shape \(5, 3\)"),
    "base's width": (
        lambda: Flow(Compose([Reverse(3)]), StandardNormal(2)),
        "as wide as the transform, 3; got 2",
    ),
    "base of no features": (lambda: StandardNormal(0), "features >= 1; got 0"),
    "shape that does not expand": (
        lambda: CONDITIONAL(torch.zeros(5, 3)).expand((4,)),
        r"to which \(5,\) expands; got \(4,\)",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_data_meet_the_affine_layer_first_and_the_splines_standardised():
    flow = neural_spline_flow(2, CONTEXT, layers=2, hidden=(8,)).double()
    with torch.no_grad():  # location 100 and scale e²: far outside the splines' square unless undone before them
        flow.transform.transforms[-1].conditioner.last.bias.copy_(torch.tensor([100.0, 100.0, 2.0, 2.0]))
        flow.transform.transforms[0].conditioner.last.bias.normal_(generator=generator())
    context, z = torch.zeros(CONTEXT).double(), torch.full((1, 2), 100.0).double()
    u, _ = flow.transform.inverse_and_log_det(z, context)
    assert u[0, 0].abs() < 1e-3 and 1e-3 < u[0, 1].abs() < 5  # the first is standardised, the second bent as well


def test_every_second_autoregressive_layer_takes_the_features_in_reverse():
    flow = perturbed(lambda: masked_autoregressive_flow(3, layers=2, hidden=(8,)))
    z = torch.randn(3, generator=generator(), dtype=torch.float64)
    jacobian = torch.func.jacrev(lambda z: flow.transform.inverse_and_log_det(z)[0])(z)
    assert (jacobian.abs() > 1e-9).all()  # one order alone leaves a triangle of zeros
