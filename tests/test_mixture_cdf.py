"""Mixture-CDF bijections against mixtures of torch and tails of scipy; the contract itself is in test_transforms.py."""

import math

import pytest
import scipy.special
import scipy.stats
import torch
from torch.distributions import Categorical, MixtureSameFamily, Normal

from labkit.flows.coupling import Elementwise
from labkit.flows.mixture import MixtureCDF, _gaussian_tail

kinds = pytest.mark.parametrize("kind", ["logistic", "gaussian"])
precisions = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
directions = pytest.mark.parametrize("direction", ["forward", "inverse"])


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def random_params(components, *maps, size=1.0, dtype=torch.float64, seed=1):
    params = size * torch.randn(3 * components, *maps, generator=generator(seed), dtype=torch.float64)
    return params.to(dtype)


def parts(mixture, params):
    """π, m and s of the documented parametrisation, computed on their own."""
    logits, locs, log_scales = params.split(mixture.components)
    k = mixture.components
    gains = torch.tensor([0.5 + (j + 0.5) / k for j in range(k)], dtype=params.dtype)
    gains = gains.reshape(-1, *(1,) * (params.ndim - 1))
    bound = mixture.max_log_scale
    return logits.softmax(0), gains * locs, (bound * torch.tanh(gains.flip(0) * log_scales / bound)).exp()


def log_density(kind, x):
    """log g, of the standard logistic or normal."""
    x = torch.as_tensor(x)
    return Normal(0.0, 1.0).log_prob(x) if kind == "gaussian" else -x - 2 * torch.log1p(torch.exp(-x))


@kinds
def test_it_is_the_formula_where_the_formula_is_safe(kind):
    mixture, params = MixtureCDF(5, kind), random_params(5, 200)
    z = torch.linspace(-4, 4, 200, dtype=torch.float64)
    weights, locs, scales = parts(mixture, params)
    x = (z - locs) / scales
    cdf, quantile = (torch.special.ndtr, torch.special.ndtri) if kind == "gaussian" else (torch.sigmoid, torch.logit)
    u, log_slope = mixture.inverse(z, params)
    expected = quantile((weights * cdf(x)).sum(0))
    density = (weights * log_density(kind, x).exp() / scales).sum(0)
    torch.testing.assert_close(u, expected, atol=1e-9, rtol=1e-9)
    torch.testing.assert_close(log_slope, density.log() - log_density(kind, u), atol=1e-9, rtol=1e-9)


def test_a_normal_base_becomes_the_mixture_itself():
    mixture, params = MixtureCDF(4, "gaussian"), random_params(4, 1, size=1.5)
    weights, locs, scales = parts(mixture, params[:, 0])
    truth = MixtureSameFamily(Categorical(weights), Normal(locs, scales))
    z = torch.linspace(-40, 40, 4001, dtype=torch.float64)
    u, log_slope = mixture.inverse(z, params)
    log_prob = Normal(0.0, 1.0).log_prob(u) + log_slope
    torch.testing.assert_close(log_prob, truth.log_prob(z), atol=1e-9, rtol=1e-11)
    assert torch.trapezoid(log_prob.exp(), z).item() == pytest.approx(1, abs=1e-8)


@kinds
def test_draws_follow_the_mixture(kind):
    mixture, params = MixtureCDF(3, kind), random_params(3, size=2.0)
    uniform = torch.rand(4000, generator=generator(), dtype=torch.float64)
    u = torch.logit(uniform) if kind == "logistic" else torch.special.ndtri(uniform)
    z, _ = mixture.forward(u, params)
    weights, locs, scales = (part.numpy() for part in parts(mixture, params))
    family = scipy.stats.logistic if kind == "logistic" else scipy.stats.norm

    def cdf(points):
        return (weights * family.cdf((points[:, None] - locs) / scales)).sum(-1)

    assert scipy.stats.kstest(z.numpy(), cdf).pvalue > 1e-3  # one test, seed fixed: 0.1 % false alarms


@kinds
@precisions
@directions
def test_zero_parameters_are_the_identity_however_far(kind, dtype, direction):
    places = torch.tensor([-1e6, -300, -40, -4, -1e-3, 0, 0.5, 9, 77, 1e6], dtype=dtype)
    value, log_slope = getattr(MixtureCDF(8, kind), direction)(places, torch.zeros(24, 10, dtype=dtype))
    eps = torch.finfo(dtype).eps
    torch.testing.assert_close(value, places, atol=8 * eps, rtol=8 * eps)
    torch.testing.assert_close(log_slope, torch.zeros_like(places), atol=50 * eps, rtol=0)


@kinds
@precisions
def test_far_out_the_widest_component_sets_the_slope(kind, dtype):
    mixture, params = MixtureCDF(6, kind), random_params(6, 30, dtype=dtype)
    _, _, scales = parts(mixture, params)
    for place in (-1e6, 1e6):
        z = torch.full((30,), place, dtype=dtype)
        u, log_slope = mixture.inverse(z, params)
        torch.testing.assert_close(log_slope, -scales.amax(0).log(), atol=1e-3, rtol=0)
        torch.testing.assert_close(u, z / scales.amax(0), atol=0, rtol=1e-4)


@kinds
@directions
def test_float32_agrees_with_float64_into_the_tails(kind, direction):
    mixture, params = MixtureCDF(4, kind), random_params(4, 13, dtype=torch.float32)
    places = torch.tensor([-1e6, -1e4, -200, -30, -6, -1, 0, 2, 8, 25, 100, 1e3, 1e6])
    value, log_slope = getattr(mixture, direction)(places, params)
    exact, exact_log_slope = getattr(mixture, direction)(places.double(), params.double())
    torch.testing.assert_close(value.double(), exact, atol=1e-5, rtol=1e-5)
    torch.testing.assert_close(log_slope.double(), exact_log_slope, atol=1e-3, rtol=1e-3)


@kinds
@precisions
@directions
@pytest.mark.parametrize("size", [3.0, 30.0, 1000.0])
def test_extreme_parameters_leave_values_and_gradients_finite(kind, dtype, direction, size):
    params = random_params(5, 200, size=size, dtype=dtype).requires_grad_()
    places = torch.linspace(-5, 5, 193, dtype=dtype)
    places = torch.cat((places, torch.tensor([-1e6, -1e3, -60, 60, 1e3, 1e6, 0], dtype=dtype)))
    places.requires_grad_()
    value, log_slope = getattr(MixtureCDF(5, kind), direction)(places, params)
    value.sum().backward(retain_graph=True)
    log_slope.sum().backward()
    for number in (value, log_slope, places.grad, params.grad):
        assert number.isfinite().all()


@kinds
@directions
def test_it_increases(kind, direction):
    places = torch.linspace(-12, 12, 1001, dtype=torch.float64)[:, None]
    value, _ = getattr(MixtureCDF(5, kind), direction)(places, random_params(5, 40, size=2.0))
    assert (value.diff(dim=0) > -1e-12).all()


@kinds
@precisions
@pytest.mark.parametrize(("size", "steps"), [(1.0, 24), (3.0, 24), (30.0, 32)])
def test_the_root_is_found(kind, dtype, size, steps):
    mixture, params = MixtureCDF(8, kind, steps=steps), random_params(8, 3000, size=size, dtype=dtype)
    u = 2 * torch.randn(3000, generator=generator(), dtype=dtype)
    z, log_slope = mixture.forward(u, params)
    back, _ = mixture.inverse(z, params)
    # One unit of rounding in z is exp(−log f′) units in u; then there is the rounding of log S.
    scale = 1 + u.abs() + z.abs() * torch.exp(-log_slope)
    assert ((back - u).abs() / scale).max() < 30 * torch.finfo(dtype).eps


@kinds
def test_the_root_stays_in_its_bracket_in_a_gap_too_wide_for_floats(kind):
    params = torch.tensor([0.0, 0.0, -4000.0, 4000.0, -7.0, -7.0])[:, None]  # two spikes, nothing between
    z, _ = MixtureCDF(2, kind).forward(torch.tensor([-1.0, 0.0, 1.0]), params)
    torch.testing.assert_close(z[[0, 2]], torch.tensor([-3000.0, 5000.0]), atol=1.0, rtol=0)
    assert -3001 <= z[1] <= 5001


@kinds
@directions
@pytest.mark.filterwarnings("ignore:.*torch.jit.script:DeprecationWarning")  # torch's own forward derivatives use it
def test_gradients_agree_with_finite_differences(kind, direction):
    params = random_params(2, 3).requires_grad_()
    places = torch.tensor([-8.0, -0.1, 1.5], dtype=torch.float64, requires_grad=True)
    apply = getattr(MixtureCDF(2, kind, steps=12), direction)
    assert torch.autograd.gradcheck(apply, (places, params), check_forward_ad=True)


@kinds
def test_second_derivatives_of_a_log_density(kind):
    params = random_params(3, 4).requires_grad_()
    z = torch.tensor([-5.0, -0.3, 0.8, 3.0], dtype=torch.float64, requires_grad=True)
    assert torch.autograd.gradgradcheck(MixtureCDF(3, kind).inverse, (z, params))
    assert torch.autograd.gradgradcheck(MixtureCDF(3, kind).forward, (z, params))


@precisions
def test_normal_tails_and_their_slopes(dtype):
    x = torch.tensor([-30.0, -8, -1, -1e-3, 0, 1e-3, 1, 8, 49.9, 50.1, 1e3, 1e8], dtype=dtype, requires_grad=True)
    log_survival, log_hazard = _gaussian_tail(x)
    exact = x.detach().double().numpy()
    eps = torch.finfo(dtype).eps
    truth = torch.as_tensor(scipy.special.log_ndtr(-exact))
    torch.testing.assert_close(log_survival.detach().double(), truth, atol=8 * eps, rtol=8 * eps)
    (slope,) = torch.autograd.grad(log_survival.sum(), x, retain_graph=True)
    hazard = math.sqrt(2 / math.pi) / scipy.special.erfcx(exact / math.sqrt(2))
    torch.testing.assert_close(slope.double(), -torch.as_tensor(hazard), atol=8 * eps, rtol=8 * eps)
    # (log h)′ = h − x, which is 1/x − 2/x³ + … far out, where the difference itself has no digits left
    (slope,) = torch.autograd.grad(log_hazard.sum(), x)
    x = torch.as_tensor(exact)
    series = 1 / x - 2 / x**3 + 10 / x**5 - 74 / x**7
    torch.testing.assert_close(
        slope.double(), torch.where(x > 30, series, torch.as_tensor(hazard) - x), atol=1e4 * eps, rtol=1e4 * eps
    )


def test_one_step_takes_the_components_apart():
    """Equal components would have proportional gradients for ever; a step of Adam is the same for all of them."""
    mixture = MixtureCDF(4, "gaussian")
    transform = Elementwise(mixture, 1)
    optimiser = torch.optim.Adam(transform.parameters(), lr=0.1)
    u, log_det = transform.inverse_and_log_det(torch.tensor([[1.5], [2.5]]))
    (0.5 * u.square().sum(-1) - log_det).sum().backward()
    optimiser.step()
    reached = mixture._mixture(transform.constants.detach()[:, None], 1)
    for values in (reached.locs, reached.log_scales):
        assert values[:, 0].sort()[0].diff().min() > 0.01


def test_training_separates_two_humps_from_a_fresh_start():
    """½N(−2, .5²) + ½N(2, .5²) has entropy 1.418 nats; the best single normal, which starts the saddle, 2.14."""
    sign = torch.where(torch.rand(2000, generator=generator()) < 0.5, -1.0, 1.0)
    z = (2 * sign + 0.5 * torch.randn(2000, generator=generator(1)))[:, None]
    transform = Elementwise(MixtureCDF(4, "gaussian"), 1)
    optimiser = torch.optim.Adam(transform.parameters(), lr=0.05)
    for _ in range(300):
        u, log_det = transform.inverse_and_log_det(z)
        loss = -(Normal(0.0, 1.0).log_prob(u).sum(-1) + log_det).mean()
        optimiser.zero_grad()
        loss.backward()
        optimiser.step()
    assert loss.item() == pytest.approx(1.418, abs=0.05)  # standard error of 2,000 points: 0.016


ERRORS = {
    "no components": (lambda: MixtureCDF(0), "components >= 1 .*got components=0"),
    "no steps": (lambda: MixtureCDF(steps=0), "steps >= 1; .*steps=0"),
    "another kind": (
        lambda: MixtureCDF(kind="cauchy"),
        r"kind to be one of \['gaussian', 'logistic'\]; got kind='cauchy'",
    ),
    "parameter count": (
        lambda: MixtureCDF(4).inverse(torch.zeros(5), torch.zeros(13, 5)),
        r"\(3 \* components, \.\.\.\) = \(12, \.\.\.\); got shape \(13, 5\)",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
