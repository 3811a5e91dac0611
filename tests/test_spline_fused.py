"""The spline's closed-form backward pass against the plain version that people read: values and all derivatives."""

import pytest
import torch

from labkit.flows import RationalQuadraticSpline, inverse_rational_quadratic_spline, rational_quadratic_spline

BOUND, BINS = 3.0, 5
SPLINE = RationalQuadraticSpline(BINS, BOUND, min_bin=0.01, min_slope=0.02)
PLAIN = {
    "forward": lambda x, params: rational_quadratic_spline(x, params, BOUND, 0.01, 0.02),
    "inverse": lambda x, params: inverse_rational_quadratic_spline(x, params, BOUND, 0.01, 0.02),
}
DIRECTIONS = pytest.mark.parametrize("direction", ["forward", "inverse"])


def points_and_params(*shape, dtype=torch.float64, size=1.0, seed=0):
    g = torch.Generator().manual_seed(seed)
    x = 2 * torch.randn(shape, generator=g, dtype=torch.float64)  # some beyond the bound
    params = size * torch.randn(SPLINE.parameters_per_feature, *shape, generator=g, dtype=torch.float64)
    return x.to(dtype).requires_grad_(), params.to(dtype).requires_grad_()


def gradients(function, x, params, seed=1):
    value, log_slope = function(x, params)
    g = torch.Generator().manual_seed(seed)
    weights = torch.randn(2, *value.shape, generator=g, dtype=torch.float64).to(value.dtype)
    return torch.autograd.grad((weights[0] * value + weights[1] * log_slope).sum(), (x, params))


@DIRECTIONS
@pytest.mark.parametrize("size", [0.0, 1.0, 4.0])
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-10), (torch.float32, 2e-3)], ids=["float64", "float32"]
)
def test_values_and_gradients_are_those_of_the_plain_version(direction, size, dtype, tolerance):
    x, params = points_and_params(7, 400, dtype=dtype, size=size)
    fused, plain = getattr(SPLINE, direction), PLAIN[direction]
    for got, expected in zip(fused(x, params), plain(x, params), strict=True):
        torch.testing.assert_close(got, expected, atol=tolerance / 10, rtol=tolerance / 10)
    for got, expected in zip(gradients(fused, x, params), gradients(plain, x, params), strict=True):
        torch.testing.assert_close(got, expected, atol=tolerance * (1 + size), rtol=tolerance * (1 + size))


@DIRECTIONS
def test_the_closed_form_is_what_runs(direction):
    x, params = points_and_params(4, 10)
    value, log_slope = getattr(SPLINE, direction)(x, params)
    assert type(value.grad_fn).__name__ == type(log_slope.grad_fn).__name__ == "_SplineBackward"


@DIRECTIONS
def test_first_and_second_derivatives_against_finite_differences(direction):
    x, params = points_and_params(6)
    assert torch.autograd.gradcheck(getattr(SPLINE, direction), (x, params))
    assert torch.autograd.gradgradcheck(getattr(SPLINE, direction), (x, params))


@DIRECTIONS
@pytest.mark.parametrize("wanted", ["points", "params"])
def test_gradients_of_one_side_alone(direction, wanted):
    x, params = points_and_params(50)
    x, params = (x, params.detach()) if wanted == "points" else (x.detach(), params)
    leaf = x if wanted == "points" else params
    both = [sum(f(x, params)).sum() for f in (getattr(SPLINE, direction), PLAIN[direction])]
    got, expected = (torch.autograd.grad(total, leaf, create_graph=True)[0] for total in both)
    torch.testing.assert_close(got, expected)
    got, expected = (torch.autograd.grad(g.square().sum(), leaf)[0] for g in (got, expected))
    torch.testing.assert_close(got, expected)


@DIRECTIONS
def test_points_at_the_knots_and_the_bounds(direction):
    places = torch.linspace(-BOUND, BOUND, BINS + 1, dtype=torch.float64)  # the knots of a fresh spline
    x = torch.cat((places, places + 1e-12, places - 1e-12)).requires_grad_()
    params = torch.zeros(SPLINE.parameters_per_feature, len(x), dtype=torch.float64, requires_grad=True)
    value, log_slope = getattr(SPLINE, direction)(x, params)
    torch.testing.assert_close(value, x, atol=1e-11, rtol=0)
    torch.testing.assert_close(torch.autograd.grad(value.sum(), x)[0], torch.ones_like(x))
    assert log_slope.abs().max() < 1e-11


@DIRECTIONS
def test_transforms_of_the_program_see_the_plain_version(direction):
    x, params = points_and_params(8)
    fused, plain = getattr(SPLINE, direction), PLAIN[direction]
    x, params = x.detach(), params.detach()
    tangents = (torch.ones_like(x), torch.ones_like(params))
    got, expected = (torch.func.jvp(f, (x, params), tangents)[1] for f in (fused, plain))
    torch.testing.assert_close(got, expected)
    got, expected = (torch.func.vmap(f, (0, 1))(x, params) for f in (fused, plain))
    torch.testing.assert_close(got, expected)

    def slope_of_the_log_slope(p, f):
        return torch.func.jvp(lambda y: f(y, p), (x,), (torch.ones_like(x),))[1][1].sum()

    got, expected = (torch.func.grad(slope_of_the_log_slope)(params, f) for f in (fused, plain))
    torch.testing.assert_close(got, expected)


def test_inputs_are_left_as_they_were():
    x, params = points_and_params(30)
    before = x.detach().clone(), params.detach().clone()
    sum(SPLINE.inverse(x, params)).sum().backward()
    torch.testing.assert_close((x.detach(), params.detach()), before, atol=0, rtol=0)
