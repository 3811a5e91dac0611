"""Circular splines: everything that a bijection of the circle promises, the seam above all."""

import math

import pytest
import scipy.stats
import torch

from labkit.flows.circular import CircularSpline, wrapped
from labkit.flows.coupling import Elementwise

PI = math.pi
SPLINE = CircularSpline(bins=5)
directions = pytest.mark.parametrize("direction", ["forward", "inverse"])
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def random_params(*maps, size=1.0, dtype=torch.float64, seed=0, spline=SPLINE):
    generator = torch.Generator().manual_seed(seed)
    count = spline.parameters_per_feature
    return (size * torch.randn(count, *maps, generator=generator, dtype=torch.float64)).to(dtype)


def angles(count, dtype=torch.float64):
    """The middles of equal arcs."""
    return ((torch.arange(count, dtype=torch.float64) + 0.5) / count * 2 * PI - PI).to(dtype)


def apart(a, b):
    """The distance of two angles along the circle."""
    return wrapped(a - b).abs()


@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-12), (torch.float32, 1e-5)], ids=["float64", "float32"]
)
def test_round_trip(dtype, tolerance):
    u, params = angles(800, dtype), random_params(800, dtype=dtype)
    z, log_slope = SPLINE.forward(u, params)
    back, inverse_log_slope = SPLINE.inverse(z, params)
    assert z.dtype == log_slope.dtype == dtype
    assert ((z >= -PI) & (z < PI)).all()
    # An error of one unit of rounding in z counts as exp(−log f′) units in u.
    assert (apart(back, u) / (1 + torch.exp(-log_slope))).max() < tolerance
    torch.testing.assert_close(inverse_log_slope, -log_slope, atol=100 * tolerance, rtol=0)


@directions
def test_log_slope_is_the_derivative(direction):
    places = angles(300).requires_grad_()
    value, log_slope = getattr(SPLINE, direction)(places, random_params(300))
    (slope,) = torch.autograd.grad(value.sum(), places)
    torch.testing.assert_close(log_slope, slope.log(), atol=1e-9, rtol=0)


@directions
@precisions
def test_zero_parameters_are_the_identity(direction, dtype):
    places = torch.cat((torch.tensor([-PI], dtype=dtype), angles(99, dtype)))
    value, log_slope = getattr(SPLINE, direction)(places, torch.zeros(16, 100, dtype=dtype))
    eps = torch.finfo(dtype).eps
    assert apart(value, places).max() < 8 * eps
    torch.testing.assert_close(log_slope, torch.zeros_like(places), atol=16 * eps, rtol=0)


@directions
def test_the_seam_cannot_be_seen(direction):
    """Value and slope just before π are those just after −π: the map and its density join smoothly."""
    params = random_params(50)
    apply = getattr(SPLINE, direction)
    step = 1e-9
    before, log_before = apply(torch.full((50,), PI - step, dtype=torch.float64), params)
    at, log_at = apply(torch.full((50,), -PI, dtype=torch.float64), params)
    after, log_after = apply(torch.full((50,), -PI + step, dtype=torch.float64), params)
    for jump, slope in ((wrapped(at - before), log_at), (wrapped(after - at), log_at)):
        torch.testing.assert_close(jump / step, slope.exp(), rtol=1e-3, atol=1e-3)
    torch.testing.assert_close(log_before, log_after, atol=1e-5, rtol=0)
    assert log_at.std() > 0.1  # the slope at the seam is free, and not 1


@directions
@precisions
def test_a_full_turn_changes_nothing(direction, dtype):
    places, params = angles(40, dtype), random_params(40, dtype=dtype)
    value, log_slope = getattr(SPLINE, direction)(places, params)
    eps = torch.finfo(dtype).eps
    for turns in (-3, 1, 2):
        turned, turned_log_slope = getattr(SPLINE, direction)(places + 2 * PI * turns, params)
        assert (apart(turned, value) / (1 + log_slope.exp())).max() < 100 * eps
        torch.testing.assert_close(turned_log_slope, log_slope, atol=2e3 * eps, rtol=0)


def test_rotation_is_modulo_a_full_turn():
    u, params = angles(30), random_params(30)
    more = params.clone()
    more[-1] += 4 * PI
    assert apart(SPLINE.forward(u, more)[0], SPLINE.forward(u, params)[0]).max() < 1e-13


def test_mass_on_the_circle_is_one():
    """A uniform base has log-density −log 2π, and so the mass is the mean slope of the inverse."""
    z = angles(20_000)[:, None]
    _, log_slope = SPLINE.inverse(z, random_params(8))
    mass = (log_slope - math.log(2 * PI)).exp().mean(0) * 2 * PI
    torch.testing.assert_close(mass, torch.ones(8, dtype=torch.float64), atol=1e-5, rtol=0)


def test_draws_follow_the_density():
    params = random_params(seed=3)
    uniform = 2 * PI * torch.rand(4000, generator=torch.Generator().manual_seed(0), dtype=torch.float64) - PI
    z, _ = SPLINE.forward(uniform, params)
    grid = angles(20_000)
    _, log_slope = SPLINE.inverse(grid, params)
    cdf = log_slope.exp().cumsum(0) / 20_000

    def at(points):
        return cdf[((torch.as_tensor(points) + PI) / (2 * PI) * 20_000).long().clamp(0, 19_999)].numpy()

    assert scipy.stats.kstest(z.numpy(), at).pvalue > 1e-3  # one test, seed fixed: 0.1 % false alarms


@directions
@precisions
@pytest.mark.parametrize("size", [3.0, 30.0])
def test_extreme_parameters_and_angles_leave_everything_finite(direction, dtype, size):
    places = torch.cat((angles(196, dtype), torch.tensor([-1e6, -PI, PI, 1e6], dtype=dtype))).requires_grad_()
    params = random_params(200, size=size, dtype=dtype).requires_grad_()
    value, log_slope = getattr(SPLINE, direction)(places, params)
    (value.sum() + log_slope.sum()).backward()
    assert ((value >= -PI) & (value < PI)).all()
    for number in (value, log_slope, places.grad, params.grad):
        assert number.isfinite().all()


@directions
def test_gradients_agree_with_finite_differences(direction):
    params = random_params(6).requires_grad_()
    places = torch.tensor([-3.0, -1.3, -0.2, 0.5, 1.7, 2.9], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradcheck(getattr(SPLINE, direction), (places, params))


@precisions
def test_wrapping_returns_angles_of_the_range_as_they_are(dtype):
    eps = torch.finfo(dtype).eps
    inside = torch.cat((angles(1000, dtype), torch.tensor([-PI, PI * (1 - 2 * eps), 0.0, 1e-30, -1e-30], dtype=dtype)))
    assert torch.equal(wrapped(inside), inside)
    outside = torch.tensor([-PI * (1 + 2 * eps), PI, PI * (1 + 2 * eps), -7.0, 1e6, 3e9], dtype=dtype)
    assert ((wrapped(outside) >= -PI) & (wrapped(outside) < PI)).all()


def test_conditioned_on_a_context_it_needs_no_copies_of_it():
    transform = Elementwise(SPLINE, 2, 3, (8,)).double()
    with torch.no_grad():
        for weight in transform.parameters():
            weight.copy_(torch.randn(weight.shape, generator=torch.Generator().manual_seed(1)))
    u = angles(80).reshape(10, 4, 2)
    context = torch.randn(4, 3, generator=torch.Generator().manual_seed(2), dtype=torch.float64)
    z, log_det = transform.forward_and_log_det(u, context)
    every_z, every_log_det = transform.forward_and_log_det(u, context.expand(10, 4, 3).clone())
    torch.testing.assert_close((z, log_det), (every_z, every_log_det))
    none = transform.inverse_and_log_det(u[:0], context)
    assert none[0].shape == (0, 4, 2) and none[1].shape == (0, 4)


ERRORS = {
    "one bin": (lambda: CircularSpline(1), "at least 2 bins; got bins=1"),
    "bins too wide": (lambda: CircularSpline(8, min_bin=0.2), "do not fit; got min_bin=0.2"),
    "no slope": (lambda: CircularSpline(min_slope=0.0), "0 < min_slope < 1; got min_slope=0.0"),
    "parameter count": (
        lambda: SPLINE.forward(torch.zeros(4), torch.zeros(14, 4)),
        r"\(3 \* bins \+ 1, \.\.\.\) = \(16, \.\.\.\); got shape \(14, 4\)",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
