"""Sigmoid, Logit, Softplus and Inverse: transforms whose domain or range is not all of R^d."""

import math

import pytest
import scipy.stats
import torch
from torch.distributions import Uniform
from torch.func import jacrev, vmap

from labkit.flows.base import StandardNormal
from labkit.flows.coupling import Coupling
from labkit.flows.flow import Flow
from labkit.flows.spline import RationalQuadraticSpline
from labkit.flows.squash import Inverse, Logit, Sigmoid, Softplus
from labkit.flows.transforms import Compose

SQUASHES = {
    "sigmoid": lambda: Sigmoid(2),
    "sigmoid onto a box": lambda: Sigmoid(2, low=-3.0, high=5.0),
    "softplus": lambda: Softplus(2),
}
squashes = pytest.mark.parametrize("make", SQUASHES.values(), ids=SQUASHES.keys())
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def points(*batch, dtype=torch.float64, scale=2.0, seed=0):
    generator = torch.Generator().manual_seed(seed)
    return (scale * torch.randn(*batch, 2, generator=generator, dtype=torch.float64)).to(dtype)


@squashes
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 2e-4)], ids=["float64", "float32"]
)
def test_round_trip(make, dtype, tolerance):
    transform, u = make(), points(500, dtype=dtype)
    z, log_det = transform.forward_and_log_det(u)
    back, inverse_log_det = transform.inverse_and_log_det(z)
    assert z.dtype == log_det.dtype == dtype and log_det.shape == (500,)
    torch.testing.assert_close(back, u, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(inverse_log_det, -log_det, atol=tolerance, rtol=tolerance)


@squashes
def test_log_det_is_that_of_the_jacobian(make):
    transform, u = make(), points(40)
    z, log_det = transform.forward_and_log_det(u)
    for place, apply, got in (
        (u, transform.forward_and_log_det, log_det),
        (z, transform.inverse_and_log_det, transform.inverse_and_log_det(z)[1]),
    ):
        jacobian = vmap(jacrev(lambda point, apply=apply: apply(point)[0]))(place)
        torch.testing.assert_close(got, torch.linalg.slogdet(jacobian).logabsdet, atol=1e-8, rtol=0)


@squashes
@precisions
def test_far_tails_stay_inside_and_come_back_finite(make, dtype):
    transform = make()
    places = torch.tensor([-1e6, -800, -120, -95, -40, -18, 0, 18, 40, 95, 120, 800, 1e6], dtype=dtype)
    u = places[:, None].repeat(1, 2).requires_grad_()
    z, log_det = transform.forward_and_log_det(u)
    low, high = getattr(transform, "low", 0.0), getattr(transform, "high", math.inf)
    assert (z > low).all() and (z < high).all()
    torch.testing.assert_close(z[6], transform.forward_and_log_det(torch.zeros(2, dtype=dtype))[0])
    (z.sum() + log_det.sum()).backward()
    inside = z.detach().requires_grad_()
    back, inverse_log_det = transform.inverse_and_log_det(inside)
    (back.sum() + inverse_log_det.sum()).backward()
    for number in (log_det, u.grad, back, inverse_log_det, inside.grad):
        assert number.isfinite().all()


@precisions
def test_sigmoid_knows_its_slope_where_its_value_has_no_digits_left(dtype):
    u = torch.tensor([[-1000.0], [30.0], [1000.0]], dtype=dtype)
    log_det = Sigmoid(1, high=2.0).forward_and_log_det(u)[1]
    # log 2 + log σ + log(1 − σ) = log 2 − |u| up to 2 e^(−30)
    torch.testing.assert_close(log_det, math.log(2) - u.abs()[:, 0])


def test_a_wall_at_zero_costs_no_digits():
    u = torch.tensor([[-60.0], [60.0]], dtype=torch.float64)
    for box, places in ((Sigmoid(1, 0.0, 1.0), u[:1]), (Sigmoid(1, -1.0, 0.0), u[1:])):
        z, log_det = box.forward_and_log_det(places)
        torch.testing.assert_close(z.abs().log(), torch.full_like(z, -60.0))
        torch.testing.assert_close(box.inverse_and_log_det(z), (places, -log_det))


def test_logit_is_exact_next_to_zero():
    z = torch.tensor([[1e-300], [1e-30], [1e-8]], dtype=torch.float64)
    u, log_det = Logit(1).forward_and_log_det(z)
    torch.testing.assert_close(u, z.log() - (1 - z).log(), atol=0, rtol=1e-14)
    torch.testing.assert_close(log_det, (-z.log() - (1 - z).log())[:, 0], atol=0, rtol=1e-14)


def test_softplus_is_exact_for_tiny_and_for_large_values():
    z = torch.tensor([[1e-300], [1e-12], [30.0], [1e6]], dtype=torch.float64)
    u, log_det = Softplus(1).inverse_and_log_det(z)
    # log(e^z − 1) = log z + z/2 + O(z²) for small z, z − e^(−z) + … for large ones
    expected = torch.cat((z[:2].log() + z[:2] / 2, z[2:] - (-z[2:]).exp()))
    torch.testing.assert_close(u, expected, atol=0, rtol=1e-15)
    slopes = torch.cat((-z[:2].log() + z[:2] / 2, (-z[2:]).exp()))[:, 0]
    torch.testing.assert_close(log_det, slopes, atol=1e-15, rtol=1e-13)


def test_softplus_beyond_twenty_is_not_yet_linear():
    z = Softplus(1)(torch.tensor([22.0], dtype=torch.float64))
    torch.testing.assert_close(z - 22, torch.tensor([math.exp(-22.0)], dtype=torch.float64), atol=4e-15, rtol=0)


OUTSIDE = {
    "below the box": (Sigmoid(2, -1.0, 1.0), -1.5),
    "on its edge": (Sigmoid(2, -1.0, 1.0), 1.0),
    "far above": (Sigmoid(2, -1.0, 1.0), math.inf),
    "negative": (Softplus(2), -0.5),
    "zero": (Softplus(2), 0.0),
}


@pytest.mark.parametrize(("transform", "place"), OUTSIDE.values(), ids=OUTSIDE.keys())
@precisions
def test_outside_the_range_the_density_is_zero_and_nothing_else_breaks(transform, place, dtype):
    z = torch.tensor([[place, 0.5], [0.5, 0.5]], dtype=dtype, requires_grad=True)
    u, log_det = transform.inverse_and_log_det(z)
    assert log_det[0] == -math.inf and log_det[1].isfinite()
    assert u.isfinite().all()
    (u.sum() + log_det[1]).backward()
    assert z.grad.isfinite().all()
    flow = Flow(transform, StandardNormal(2).to(dtype))
    assert flow().log_prob(z)[0] == -math.inf


@squashes
def test_nan_is_not_taken_for_a_point(make):
    u, log_det = make().inverse_and_log_det(torch.tensor([math.nan, 0.5]))
    assert u[0].isnan() and log_det.isnan()


@squashes
def test_mass_is_one(make):
    transform = make()
    low, high = getattr(transform, "low", 0.0), getattr(transform, "high", 40.0)
    flow = Flow(type(transform)(1, low, high) if hasattr(transform, "low") else Softplus(1), StandardNormal(1)).double()
    edges = torch.linspace(low, high, 200_001, dtype=torch.float64)
    middle = (edges[1:] + edges[:-1]) / 2
    mass = flow().log_prob(middle[:, None]).exp().mean() * (high - low)
    assert mass.item() == pytest.approx(1, abs=1e-6)


@precisions
def test_a_sigmoid_of_logistic_noise_is_uniform(dtype):
    uniform = torch.rand(4000, 1, generator=torch.Generator().manual_seed(0), dtype=torch.float64)
    u = torch.logit(uniform).to(dtype)
    z, log_det = Sigmoid(1, 2.0, 5.0).forward_and_log_det(u)
    assert scipy.stats.kstest(z[:, 0].double().numpy(), "uniform", args=(2, 3)).pvalue > 1e-3
    logistic = -u - 2 * torch.log1p(torch.exp(-u))
    torch.testing.assert_close(logistic[:, 0] - log_det, Uniform(2.0, 5.0).log_prob(z[:, 0]).to(dtype))


def test_logit_and_inverse_turn_a_transform_round():
    z = torch.rand(7, 3, 2, generator=torch.Generator().manual_seed(0))
    for turned in (Logit(2, -1.0, 2.0), Inverse(Sigmoid(2, -1.0, 2.0))):
        for got, expected in (
            (turned.forward_and_log_det(z), Sigmoid(2, -1.0, 2.0).inverse_and_log_det(z)),
            (turned.inverse_and_log_det(z), Sigmoid(2, -1.0, 2.0).forward_and_log_det(z)),
        ):
            torch.testing.assert_close(got, expected, atol=0, rtol=0)


def test_inverse_hands_on_context_and_weights():
    coupling = Coupling(RationalQuadraticSpline(bins=4), 2, 3, (8,))
    turned = Inverse(coupling)
    assert (turned.features, turned.context_features) == (2, 3)
    assert {id(weight) for weight in turned.parameters()} == {id(weight) for weight in coupling.parameters()}
    with pytest.raises(ValueError, match="expected a context"):
        turned(torch.zeros(5, 2))


def test_a_flow_on_a_box_gives_its_own_draws_a_finite_density():
    layers = Compose([Coupling(RationalQuadraticSpline(bins=4), 2, 0, (8,)), Sigmoid(2)])
    density = Flow(layers, StandardNormal(2))()
    draws, log_prob = density.rsample_and_log_prob((1000,), generator=torch.Generator().manual_seed(0))
    assert ((draws > 0) & (draws < 1)).all()
    torch.testing.assert_close(density.log_prob(draws), log_prob, atol=1e-3, rtol=1e-4)


def test_batches_of_none_and_a_context_that_is_not_looked_at():
    for transform in (Sigmoid(2), Softplus(2), Logit(2)):
        z, log_det = transform.forward_and_log_det(torch.full((0, 2), 0.5), torch.zeros(0, 9))
        assert z.shape == (0, 2) and log_det.shape == (0,)


ERRORS = {
    "no room": (lambda: Sigmoid(2, 1.0, 1.0), "finite low < high; got low=1.0, high=1.0"),
    "no end": (lambda: Logit(2, 0.0, math.inf), "finite low < high; got low=0.0, high=inf"),
    "points' width": (lambda: Softplus(2)(torch.zeros(5, 3)), r"\(\.\.\., 2\); got shape \(5, 3\)"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
