"""Differences of logarithms and tails of distributions against mpmath at 60 digits, and their gradients."""

import mpmath
import pytest
import torch
from torch.autograd import gradcheck, gradgradcheck

from labkit.numerics import (
    log1mexp,
    log_diff_exp,
    log_ndtr,
    logistic_tail_icdf,
    logistic_tail_log_density,
    logistic_tail_mass,
    normal_tail_icdf,
    normal_tail_log_density,
    normal_tail_mass,
)

INF = float("inf")
TAILS = {
    "normal": (normal_tail_log_density, normal_tail_mass, normal_tail_icdf),
    "logistic": (logistic_tail_log_density, logistic_tail_mass, logistic_tail_icdf),
}
PRECISIONS = {"float32": (torch.float32, 1e-6), "float64": (torch.float64, 2e-14)}
STARTS = (0.0, 0.01, 1.0, 5.0, 9.0, 50.0, 1e4)
WIDTHS = (1e-6, 1e-4, 0.1, 1.0, 8.0, 100.0, INF)

over_tails = pytest.mark.parametrize("tail", TAILS)
over_precisions = pytest.mark.parametrize(("dtype", "tolerance"), PRECISIONS.values(), ids=PRECISIONS.keys())


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


def exactly(function, *tensors):
    """A function of mpmath numbers over the elements of tensors, each taken at the very value that it holds."""
    rows = zip(*(tensor.double().tolist() for tensor in tensors))
    return torch.tensor([float(function(*map(mpmath.mpf, row))) for row in rows], dtype=torch.float64)


def upper_tail(tail, x):
    """P(X >= x)."""
    return mpmath.ncdf(-x) if tail == "normal" else 1 / (1 + mpmath.exp(x))


def density(tail, x):
    return mpmath.npdf(x) if tail == "normal" else 1 / (mpmath.exp(x / 2) + mpmath.exp(-x / 2)) ** 2


def mass(tail, start, width):
    return (upper_tail(tail, start) - upper_tail(tail, start + width)) / density(tail, start)


def starts_and_widths(dtype):
    return torch.cartesian_prod(torch.tensor(STARTS, dtype=dtype), torch.tensor(WIDTHS, dtype=dtype)).unbind(-1)


@over_precisions
def test_log1mexp_is_exact_at_both_ends(dtype, tolerance):
    x = -torch.logspace(-30, 1.9, 60, dtype=dtype)
    truth = exactly(lambda x: mpmath.log(-mpmath.expm1(x)), x)
    torch.testing.assert_close(log1mexp(x).double(), truth, atol=0, rtol=tolerance)


@over_precisions
def test_log1mexp_at_its_limits(dtype, tolerance):
    x = torch.tensor([-INF, -200.0, -1e-30], dtype=dtype, requires_grad=True)
    log1mexp(x).sum().backward()
    assert log1mexp(x)[0] == 0 and log1mexp(torch.zeros((), dtype=dtype)) == -INF
    assert log1mexp(torch.ones((), dtype=dtype)).isnan()
    assert x.grad[0] == 0
    assert x.grad[2].item() == pytest.approx(-1e30, rel=1e-6)


def test_gradients_of_differences():
    x = torch.tensor([-30.0, -2.0, -0.7, -0.69, -1e-2], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([-31.0, -700.0, -0.8, -5.0, -3e-2], dtype=torch.float64, requires_grad=True)
    assert gradcheck(log1mexp, x) and gradgradcheck(log1mexp, x)
    assert gradcheck(log_diff_exp, (x, y))


@over_precisions
def test_log_diff_exp_needs_no_room_for_the_exponentials(dtype, tolerance):
    x = torch.tensor([1000.0, -1000.0, 3.0], dtype=dtype)
    y = torch.tensor([999.0, -1000.5, -500.0], dtype=dtype)
    truth = exactly(lambda x, y: mpmath.log(mpmath.exp(x) - mpmath.exp(y)), x, y)
    torch.testing.assert_close(log_diff_exp(x, y).double(), truth, atol=0, rtol=tolerance)


def test_log_diff_exp_at_its_limits():
    x = torch.tensor([2.0, -INF, 2.0], dtype=torch.float64, requires_grad=True)
    y = torch.tensor([-INF, -INF, 2.0], dtype=torch.float64, requires_grad=True)
    out = log_diff_exp(x, y)
    assert out.tolist() == [2.0, -INF, -INF]
    out[:2].sum().backward()
    assert x.grad[:2].tolist() == [1.0, 1.0] and y.grad[:2].tolist() == [0.0, 0.0]


@over_precisions
def test_log_ndtr_and_its_gradient_far_out(dtype, tolerance):
    x = torch.tensor([-1e4, -1000.0, -100.0, -9.0, -1.0, -1e-3, 0.0, 1e-3, 1.0, 4.0], dtype=dtype, requires_grad=True)
    value = log_ndtr(x)
    value.sum().backward()
    truth = exactly(lambda x: mpmath.log(mpmath.ncdf(x)), x.detach())
    slope = exactly(lambda x: mpmath.npdf(x) / mpmath.ncdf(x), x.detach())
    torch.testing.assert_close(value.detach().double(), truth, atol=0, rtol=5 * tolerance)
    torch.testing.assert_close(x.grad.double(), slope, atol=0, rtol=5 * tolerance)


def test_log_ndtr_is_twice_differentiable():
    x = torch.tensor([-40.0, -3.0, -0.5, 0.5, 3.0], dtype=torch.float64, requires_grad=True)
    assert gradcheck(log_ndtr, x) and gradgradcheck(log_ndtr, x)


@over_tails
@over_precisions
def test_mass_of_an_interval_is_exact_however_narrow_or_far_out(tail, dtype, tolerance):
    start, width = starts_and_widths(dtype)
    truth = exactly(lambda a, w: mass(tail, a, w), start, width)
    torch.testing.assert_close(TAILS[tail][1](start, width).double(), truth, atol=0, rtol=tolerance)


@over_precisions
def test_slopes_of_the_normal_mass_are_exact_too(dtype, tolerance):
    start, width = (x.requires_grad_() for x in starts_and_widths(dtype))
    normal_tail_mass(start, width).sum().backward()
    a, w = start.detach(), width.detach()
    # ∂/∂start of ∫₀^w e^{−t (a + t/2)} dt = a mass − 1 + e^{ℓ(w)}, in which digits cancel: 60 are enough.
    edge = {True: lambda a, w: mpmath.mpf(0), False: lambda a, w: mpmath.exp(-w * (a + w / 2))}
    by_start = exactly(lambda a, w: a * mass("normal", a, w) - 1 + edge[w == mpmath.inf](a, w), a, w)
    by_width = exactly(lambda a, w: edge[w == mpmath.inf](a, w), a, w)
    torch.testing.assert_close(start.grad.double(), by_start, atol=0, rtol=2 * tolerance)
    # 40 nats down, e^{ℓ} has 40 times the rounding of ℓ
    torch.testing.assert_close(width.grad.double(), by_width, atol=1e-15, rtol=40 * tolerance)


@over_tails
def test_gradients_of_masses(tail):
    density, mass, _ = TAILS[tail]
    start = torch.tensor([0.01, 0.3, 2.0, 9.0], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([[1e-2], [1.0], [4.0]], dtype=torch.float64, requires_grad=True)
    assert gradcheck(mass, (start, width)) and gradgradcheck(mass, (start, width))
    assert gradcheck(density, (start, width))


@over_tails
@over_precisions
@pytest.mark.parametrize("from_above", [False, True], ids=["small u", "small 1 - u"])
def test_icdf_solves_its_equation(tail, dtype, tolerance, from_above):
    ell, mass, icdf = TAILS[tail]
    start, width = starts_and_widths(dtype)
    small = torch.logspace(-7 if dtype == torch.float32 else -14, -0.31, 50, dtype=dtype)[:, None]
    u, complement = (1 - small, small) if from_above else (small, 1 - small)
    t = icdf(start, width, u, complement).double()
    a, w, density = start.double(), width.double(), torch.exp(ell(start.double(), t))
    # What is left over, as an error of t: residual / density, within a few roundings of t itself.
    if from_above:
        left = density * mass(a + t, w - t) - small.double() * mass(a, w)
    else:
        left = mass(a, t) - small.double() * mass(a, w)
    assert (t >= 0).all() and (t <= w).all()
    assert (left / density / t).abs().max() < tolerance


@over_tails
@over_precisions
def test_icdf_at_its_ends(tail, dtype, tolerance):
    start, width = starts_and_widths(dtype)
    zero, one = torch.zeros_like(start), torch.ones_like(start)
    assert (TAILS[tail][2](start, width, zero, one) == 0).all()
    assert torch.equal(TAILS[tail][2](start, width, one, zero), width)
    tiny = torch.full_like(start, torch.finfo(dtype).tiny)
    assert TAILS[tail][2](start, width, one, tiny).isfinite().all()


@over_tails
def test_gradients_of_icdf(tail):
    start = torch.tensor([0.05, 9.0], dtype=torch.float64, requires_grad=True)
    width = torch.tensor([[1e-2], [2.0]], dtype=torch.float64, requires_grad=True)
    u = torch.tensor([0.01, 0.49, 0.51, 0.999], dtype=torch.float64)[:, None, None].requires_grad_()
    assert gradcheck(lambda a, w, u: TAILS[tail][2](a, w, u, 1 - u), (start, width, u))


@over_tails
def test_infinite_widths_have_finite_gradients(tail):
    start = torch.tensor([0.0, 0.3, 9.0, 1e3], dtype=torch.float64, requires_grad=True)
    width = torch.full((4,), INF, dtype=torch.float64, requires_grad=True)
    u = torch.tensor([1e-9, 0.5, 0.6, 1 - 1e-9], dtype=torch.float64)[:, None]
    TAILS[tail][2](start, width, u, 1 - u).sum().backward()
    TAILS[tail][1](start, width).sum().backward()
    assert start.grad.isfinite().all() and (start.grad[:3] != 0).all()
    assert (width.grad == 0).all()
