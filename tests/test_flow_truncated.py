"""Truncated densities against the truth at 60 digits: values, ends, draws, and gradients, however far out."""

import math

import mpmath
import numpy as np
import pytest
import torch
from scipy.special import log_expit, log_ndtr
from scipy.stats import kstest
from torch.autograd import gradcheck

from labkit.flows.truncated import TruncatedLogistic, TruncatedNormal, TruncatedNormalBase

INF = float("inf")
FAMILIES = {"normal": TruncatedNormal, "logistic": TruncatedLogistic}
INTERVALS = {  # in units of scale, from loc
    "[5, 6)": (5.0, 6.0),
    "[9, 10)": (9.0, 10.0),
    "below -8": (-INF, -8.0),
    "[-6, -5)": (-6.0, -5.0),
    "above 9": (9.0, INF),
    "[100, 101)": (100.0, 101.0),
    "straddling 0": (-1.0, 2.0),
    "all but the left": (-0.125, INF),
    "wide": (-50.0, 60.0),
    "the line": (-INF, INF),
    "from the mode": (0.0, 1.0),
    "narrow, at 0": (-5e-5, 5e-5),
    "narrow, at 9": (9.0, 9.0001),
}
LOC, SCALE = 0.5, 2.0  # so that loc + scale · bound is nearly exact in float32 too
U = (1e-6, 1e-3, 0.05, 0.3, 0.5, 0.51, 0.77, 0.99, 0.9999)
PRECISIONS = {"float32": torch.float32, "float64": torch.float64}

over_families = pytest.mark.parametrize("family", FAMILIES)
over_intervals = pytest.mark.parametrize("interval", INTERVALS)
over_precisions = pytest.mark.parametrize("dtype", PRECISIONS.values(), ids=PRECISIONS.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def parameters(interval, dtype=torch.float64):
    low, high = INTERVALS[interval]
    return [torch.tensor(x, dtype=dtype) for x in (LOC, SCALE, LOC + SCALE * low, LOC + SCALE * high)]


def truncated(family, interval, dtype=torch.float64):
    return FAMILIES[family](*parameters(interval, dtype))


class Truth:
    """The same density at 60 digits, at the very numbers that the tensors hold."""

    def __init__(self, family, p):
        self.family = family
        self.loc, self.scale, self.low, self.high = (mpmath.mpf(x.item()) for x in (p.loc, p.scale, p.low, p.high))
        self.z = self.mass(self.low, self.high)

    def upper_tail(self, x):
        x = (x - self.loc) / self.scale
        if self.family == "normal":
            return mpmath.ncdf(-x)
        return 1 / (1 + mpmath.exp(x)) if x < mpmath.inf else mpmath.mpf(0)

    def mass(self, low, high):
        if high > self.loc:
            return self.upper_tail(low) - self.upper_tail(high)
        return self.upper_tail(2 * self.loc - high) - self.upper_tail(2 * self.loc - low)

    def log_prob(self, x):
        y = (x - self.loc) / self.scale
        if self.family == "normal":
            log_density = -y * y / 2 - mpmath.log(2 * mpmath.pi) / 2
        else:
            log_density = -y - 2 * mpmath.log(1 + mpmath.exp(-y))
        return log_density - mpmath.log(self.scale) - mpmath.log(self.z)

    def cdf(self, x):
        return self.mass(self.low, x) / self.z


@pytest.fixture(autouse=True)
def sixty_digits():
    with mpmath.workdps(60):
        yield


def exactly(function, points):
    return torch.tensor([float(function(mpmath.mpf(x))) for x in points.double().tolist()], dtype=torch.float64)


@over_families
@over_intervals
@over_precisions
def test_truncated_log_prob_and_normaliser_are_those_of_the_truth(family, interval, dtype):
    p = truncated(family, interval, dtype)
    truth, tolerance = Truth(family, p), 1e-5 if dtype == torch.float32 else 1e-12
    x = p.icdf(torch.tensor(U, dtype=dtype))
    x = torch.cat([x, p.low[None]]) if p.low.isfinite() else x
    x = x[x < p.high]  # a narrow interval has no float32 just below its end
    assert len(x) > 5
    # A logarithm that happens to be 0 has no relative error: absolutely a tenth of it, then.
    torch.testing.assert_close(p.log_prob(x).double(), exactly(truth.log_prob, x), rtol=tolerance, atol=tolerance / 10)
    log_z = float(mpmath.log(truth.z))
    assert p.log_normaliser.item() == pytest.approx(log_z, rel=tolerance, abs=1e-6 if dtype == torch.float32 else 1e-15)


@over_families
@over_intervals
@over_precisions
def test_truncated_cdf_and_icdf_are_exact_and_inverse(family, interval, dtype):
    p = truncated(family, interval, dtype)
    truth, u = Truth(family, p), torch.tensor(U, dtype=dtype)
    x = p.icdf(u)
    assert ((p.low <= x) & (x <= p.high)).all()
    tolerance = 1e-5 if dtype == torch.float32 else 1e-12
    torch.testing.assert_close(p.cdf(x).double(), exactly(truth.cdf, x), rtol=tolerance, atol=0)
    # A point rounded by half a unit is another point: its cdf moves by the density times that.
    inner = x.clamp(max=torch.nextafter(p.high, p.low))
    rounding = p.log_prob(inner).exp() * x.abs() * torch.finfo(dtype).eps
    assert ((p.cdf(x) - u).abs() <= tolerance * u + 2 * rounding).all()


@over_families
@over_intervals
def test_truncated_cdf_and_icdf_at_the_ends(family, interval):
    p = truncated(family, interval, torch.float32)
    ends = torch.tensor([0.0, 1.0])
    assert torch.equal(p.icdf(ends), torch.stack([p.low, p.high]))
    assert p.cdf(torch.stack([p.low, p.high])).tolist() == [0.0, 1.0]
    assert p.cdf(torch.tensor([-1e9, 1e9])).tolist() == [0.0, 1.0]


@over_families
@over_intervals
@over_precisions
def test_truncated_draws_lie_inside_and_follow_the_truth(family, interval, dtype):
    p = truncated(family, interval, dtype)
    x = p.sample((100_000 if dtype == torch.float32 else 20_000,), generator=generator(1))
    assert ((p.low <= x) & (x < p.high)).all()
    assert p.log_prob(x).isfinite().all()
    if dtype == torch.float32 and interval == "narrow, at 9":
        return  # about a hundred float32 numbers: no continuous law to test
    log_cdf = log_ndtr if family == "normal" else log_expit
    low, high = ((bound - p.loc).double().item() / SCALE for bound in (p.low, p.high))
    y = ((x - p.loc).double() / SCALE).numpy()
    if low >= 0:  # differences of cdfs are exact enough in the lower tail only
        low, high, y = -high, -low, -y
    top = log_cdf(high)
    below = np.exp(log_cdf(low) - top)
    result = kstest(y, lambda y: (np.exp(log_cdf(y) - top) - below) / (1 - below))
    # 50 tests at 0.01 / 50 each: a right sampler passes them all with probability 0.99.
    assert result.pvalue > 0.01 / 50


def differentiable(interval):
    """The parameters, those that are finite with gradients."""
    return [x.requires_grad_(bool(x.isfinite())) for x in parameters(interval)]


@over_families
@over_intervals
def test_gradients_of_truncated_densities_agree_with_finite_differences(family, interval):
    kind, values = FAMILIES[family], differentiable(interval)
    x = kind(*values).icdf(torch.tensor([0.05, 0.8], dtype=torch.float64)).detach().requires_grad_()
    # Steps of a thousandth of the narrowest thing at hand; errors are their square.
    step = {"eps": 1e-8, "atol": 1e-4, "rtol": 1e-3} if interval.startswith("narrow") else {"atol": 1e-6}

    def measures(*args):
        p = kind(*args[:4], validate_args=False)
        return p.log_prob(args[4]), p.cdf(args[4]), p.log_normaliser

    assert gradcheck(measures, (*values, x), **step)


@over_families
@over_intervals
def test_gradients_of_truncated_draws_agree_with_finite_differences(family, interval):
    kind, values = FAMILIES[family], differentiable(interval)
    u = torch.tensor([0.01, 0.4, 0.99], dtype=torch.float64, requires_grad=True)
    step = {"eps": 1e-8, "atol": 1e-4, "rtol": 1e-3} if interval.startswith("narrow") else {"atol": 1e-6}

    def draws(*args):
        return kind(*args, validate_args=False).rsample((2,), generator=generator(2))

    assert gradcheck(draws, values, **step)
    if not interval.startswith("narrow"):
        assert gradcheck(lambda *args: kind(*args[:4], validate_args=False).icdf(args[4]), (*values, u), **step)


@over_families
@over_intervals
def test_gradients_in_float32_are_those_of_float64(family, interval):
    u = torch.tensor([0.05, 0.3, 0.6, 0.95])
    gradients = []
    for dtype in (torch.float32, torch.float64):
        values = [x.to(dtype).requires_grad_() for x in parameters(interval, torch.float32)]
        p = FAMILIES[family](*values)
        # the same points for both, so that only the arithmetic differs
        x = FAMILIES[family](*parameters(interval, torch.float32)).icdf(u).to(dtype)
        gradients.append(torch.autograd.grad(p.log_prob(x).sum() + p.icdf(u.to(dtype)).sum(), values))
    for single, double in zip(*gradients):
        torch.testing.assert_close(single.double(), double, rtol=1e-4, atol=1e-5)


@over_families
def test_outside_a_truncated_support_there_is_nothing(family):
    loc, scale, low, high = differentiable("[9, 10)")
    p = FAMILIES[family](loc, scale, low, high, validate_args=False)
    x = torch.tensor([-INF, -1e9, 18.49, 20.5, 1e9, INF], dtype=torch.float64, requires_grad=True)
    log_prob = p.log_prob(x)
    assert (log_prob == -INF).all()
    torch.logaddexp(log_prob, torch.zeros(6, dtype=torch.float64)).sum().backward()
    assert all((leaf.grad == 0).all() for leaf in (x, loc, scale, low, high))
    assert p.log_prob(torch.tensor(torch.nan, dtype=torch.float64)).isnan()
    with pytest.raises(ValueError, match="support"):
        FAMILIES[family](loc, scale, low, high).log_prob(x)


@over_families
def test_truncated_shapes_are_those_of_a_distribution(family):
    loc = torch.tensor([0.0, -20.0, 20.0], dtype=torch.float64)
    p = FAMILIES[family](loc, torch.ones(2, 1, dtype=torch.float64), -1.0, 1.0)
    assert p.batch_shape == (2, 3) and p.event_shape == () and p.has_rsample
    x = p.sample((5,), generator=generator())
    assert x.shape == (5, 2, 3) and p.support.check(x).all()
    wide = p.expand((4, 2, 3))
    assert wide.batch_shape == (4, 2, 3) and type(wide) is type(p)
    torch.testing.assert_close(wide.log_prob(x[:4]), p.log_prob(x[:4]))
    assert p.log_prob(torch.zeros((), dtype=torch.float64)).shape == (2, 3)
    empty = FAMILIES[family](loc[:0], 1.0, -1.0, 1.0)
    assert empty.sample((7,)).shape == empty.log_prob(empty.sample((7,))).shape == (7, 0)
    assert torch.equal(p.sample((9,), generator=generator(5)), p.rsample((9,), generator=generator(5)))
    assert not torch.equal(p.sample((9,), generator=generator(5)), p.sample((9,), generator=generator(6)))


ERRORS = {
    "low = high": (lambda: TruncatedNormal(0.0, 1.0, 2.0, 2.0), "TruncatedNormal expected low < high; got low=2.0, hi"),
    "low > high": (lambda: TruncatedLogistic(0.0, 1.0, 3.0, 2.0), "TruncatedLogistic expected low < high; got low=3"),
    "one of many": (lambda: TruncatedNormal(0.0, 1.0, torch.tensor([0.0, 5.0]), 1.0), "got low=5.0, high=1.0"),
    "scale 0": (lambda: TruncatedNormal(0.0, 0.0, 0.0, 1.0), "expected a finite scale > 0; got scale=0.0"),
    "scale < 0": (lambda: TruncatedLogistic(0.0, -1.0, 0.0, 1.0), "expected a finite scale > 0; got scale=-1.0"),
    "scale NaN": (lambda: TruncatedNormal(0.0, math.nan, 0.0, 1.0), "got scale=nan"),
    "loc NaN": (lambda: TruncatedNormal(math.nan, 1.0, 0.0, 1.0), "expected a finite loc; got loc=nan"),
    "low NaN": (lambda: TruncatedNormal(0.0, 1.0, math.nan, 1.0), "got low=nan, high=1.0"),
    "high NaN": (lambda: TruncatedNormal(0.0, 1.0, 0.0, math.nan), "got low=0.0, high=nan"),
    "base's features": (lambda: TruncatedNormalBase(0, 0.0, 1.0), "features >= 1; got 0"),
    "base's bounds": (lambda: TruncatedNormalBase(2, 1.0, [2.0, 0.0]), r"low < high .* low=\[1.0, 1.0\]"),
    "number of bounds": (lambda: TruncatedNormalBase(3, 0.0, [1.0, 2.0]), r"one bound, or 3, .*\(\) and \(2,\)"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
