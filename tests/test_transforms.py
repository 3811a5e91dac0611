"""Every transform, by name, against every property that the contract of labkit.flows.transforms promises."""

import pytest
import torch
from torch.func import jacrev, vmap
from transform_cases import AFFINE, CONDITIONAL, CONTEXT, EVERY, HIDDEN, LEARNED, SPLINE

from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    Permutation,
    RationalQuadraticSpline,
    Reverse,
    inverse_rational_quadratic_spline,
    rational_quadratic_spline,
)
from labkit.networks import ContextMLP


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(make, dtype=torch.float64, size=0.5, seed=1):
    """The transform away from its initial identity, so that no property holds for want of weights."""
    transform, g = make().to(dtype), generator(seed)
    with torch.no_grad():
        for weight in transform.parameters():
            spread = size / weight.shape[-1] ** 0.5 if weight.ndim == 2 else 0.3 * size
            weight.copy_(spread * torch.randn(weight.shape, generator=g, dtype=torch.float64))
    return transform


def points_and_context(transform, *batch, dtype=torch.float64, scale=2.0, seed=2):
    g = generator(seed)
    u = scale * torch.randn(*batch, transform.features, generator=g, dtype=torch.float64)
    return u.to(dtype), torch.randn(*batch, CONTEXT, generator=g, dtype=torch.float64).to(dtype)


@over(EVERY)
@pytest.mark.parametrize(
    ("dtype", "tolerance"), [(torch.float64, 1e-9), (torch.float32, 1e-4)], ids=["float64", "float32"]
)
def test_round_trip(make, dtype, tolerance):
    transform = perturbed(make, dtype)
    u, context = points_and_context(transform, 500, dtype=dtype)
    z, log_det = transform.forward_and_log_det(u, context)
    back, inverse_log_det = transform.inverse_and_log_det(z, context)
    assert z.dtype == log_det.dtype == dtype and log_det.shape == (500,)
    torch.testing.assert_close(back, u, atol=tolerance, rtol=tolerance)
    torch.testing.assert_close(inverse_log_det, -log_det, atol=20 * tolerance, rtol=tolerance)


@over(EVERY)
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
def test_log_det_is_that_of_the_jacobian(make, direction):
    transform = perturbed(make)
    u, context = points_and_context(transform, 40)
    apply = getattr(transform, direction)
    jacobian = vmap(jacrev(lambda point, c: apply(point, c)[0]))(u, context)
    expected = torch.linalg.slogdet(jacobian).logabsdet
    torch.testing.assert_close(apply(u, context)[1], expected, atol=1e-8, rtol=0)


@over({name: make for name, make in LEARNED.items() if name != "reverse, affine, coupling"})
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
def test_fresh_is_the_identity(make, direction):
    transform = make().double()
    u, context = points_and_context(transform, 50, scale=4.0)
    z, log_det = getattr(transform, direction)(u, context)
    torch.testing.assert_close(z, u, atol=1e-12, rtol=1e-12)
    torch.testing.assert_close(log_det, torch.zeros(50, dtype=torch.float64), atol=1e-12, rtol=0)


@over(CONDITIONAL)
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
def test_every_context_feature_reaches_every_output(make, direction):
    transform = perturbed(make)
    u, context = points_and_context(transform, 20, scale=1.0)
    apply = getattr(transform, direction)
    jacobian = vmap(jacrev(lambda c, point: apply(point, c)[0]))(context, u)  # (20, d, c)
    assert (jacobian.abs().amax(0) > 1e-6).all()


@over(EVERY)
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
def test_values_and_gradients_are_finite_far_in_the_tails(make, direction, dtype):
    transform = perturbed(make, dtype)
    # Far out, at the splines' bounds and next to them, and at the knots of a fresh spline.
    places = torch.tensor([-1e6, -1e3, -5, -3, -3 + 1e-6, -0.6, 0, 0.6, 3 - 1e-6, 3, 5, 40, 1e6], dtype=dtype)
    u = places[:, None].repeat(1, transform.features).requires_grad_()
    context = points_and_context(transform, len(places), dtype=dtype)[1].requires_grad_()
    z, log_det = getattr(transform, direction)(u, context)
    (z.sum() + log_det.sum()).backward()
    gradients = [u.grad, context.grad, *(weight.grad for weight in transform.parameters())]
    assert z.isfinite().all() and log_det.isfinite().all()
    assert all(g.isfinite().all() for g in gradients if g is not None)


@over(EVERY)
def test_batches_of_one_and_none(make):
    transform = perturbed(make)
    u, context = points_and_context(transform, 6)
    z, log_det = transform.forward_and_log_det(u, context)
    for batch in ((), (1,), (1, 1)):
        one = transform.forward_and_log_det(u[0].expand(*batch, -1), context[0].expand(*batch, -1))
        assert one[0].shape == (*batch, transform.features) and one[1].shape == batch
        torch.testing.assert_close(one[0], z[0].expand_as(one[0]))
        torch.testing.assert_close(one[1], log_det[0].expand_as(one[1]))
    empty = transform.forward_and_log_det(u[:0], context[:0])
    assert empty[0].shape == (0, transform.features) and empty[1].shape == (0,)


@over(CONDITIONAL)
@pytest.mark.parametrize("direction", ["forward_and_log_det", "inverse_and_log_det"])
@pytest.mark.parametrize(
    ("points", "contexts"),
    [
        ((6, 4), ()),
        ((6, 4), (1,)),
        ((6, 4), (4,)),
        ((6, 4), (6, 1)),
        ((), (4,)),
        ((6, 1), (4,)),
        ((4,), (6, 4)),
    ],
    ids=str,
)
def test_a_shared_context_equals_an_expanded_one(make, direction, points, contexts):
    transform, g = perturbed(make), generator()
    batch = torch.broadcast_shapes(points, contexts)
    u = torch.randn(*points, transform.features, generator=g, dtype=torch.float64)
    context = torch.randn(*contexts, CONTEXT, generator=g, dtype=torch.float64)
    apply = getattr(transform, direction)
    z, log_det = apply(u, context)
    every_z, every_log_det = apply(u.expand(*batch, -1).clone(), context.expand(*batch, -1).clone())
    assert z.shape == (*batch, transform.features) and log_det.shape == batch
    torch.testing.assert_close(z, every_z)
    torch.testing.assert_close(log_det, every_log_det)


def test_a_shared_context_is_computed_once():
    coupling, rows = Coupling(SPLINE, 2, CONTEXT, HIDDEN), []
    coupling.conditioner.from_context.register_forward_hook(
        lambda _, inputs, __: rows.append(inputs[0].shape)
    )
    coupling(torch.zeros(100, 4, 2), torch.zeros(4, CONTEXT))
    assert rows == [(4, CONTEXT)]


def test_outputs_first_is_forward_with_another_layout():
    mlp = ContextMLP(2, CONTEXT, (8, 8), 5)
    u, context = torch.randn(6, 4, 2, generator=generator()), torch.randn(4, CONTEXT, generator=generator())
    first = mlp.outputs_first(u, context)
    assert first.is_contiguous()
    torch.testing.assert_close(first, mlp(u, context).movedim(-1, 0))


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])
@pytest.mark.parametrize("size", [3.0, 30.0])
def test_splines_of_extreme_parameters_increase_and_stay_finite(dtype, size):
    params = size * torch.randn(23, 200, generator=generator(), dtype=dtype)
    y = torch.linspace(-5.5, 5.5, 2001, dtype=dtype)[:, None]
    for spline in (rational_quadratic_spline, inverse_rational_quadratic_spline):
        value, log_slope = spline(y, params)
        assert value.isfinite().all() and log_slope.isfinite().all()
        assert (value.diff(dim=0) >= -1e-5).all()


def test_spline_slopes_of_fresh_inverse_at_bin_centres():
    # There the two forms of the root meet, and a gradient through |q| would be wrong.
    y = torch.linspace(-4.375, 4.375, 8, dtype=torch.float64, requires_grad=True)
    x, _ = inverse_rational_quadratic_spline(y, torch.zeros(23, 8, dtype=torch.float64))
    torch.testing.assert_close(torch.autograd.grad(x.sum(), y)[0], torch.ones_like(y))


def test_gradients_of_parameters_agree_with_finite_differences():
    g = generator()
    params = torch.randn(14, 6, generator=g, dtype=torch.float64, requires_grad=True)
    x = (2 * torch.randn(6, generator=g, dtype=torch.float64)).requires_grad_()
    assert torch.autograd.gradcheck(rational_quadratic_spline, (x, params))
    assert torch.autograd.gradcheck(inverse_rational_quadratic_spline, (x, params))


def test_affine_cannot_overflow_float32():
    params = torch.tensor([[0.0, 0.0], [1e9, -1e9]])
    z, log_scale = AFFINE.forward(torch.ones(2), params)
    torch.testing.assert_close(z, torch.tensor([1e3, 1e-3]))
    torch.testing.assert_close(log_scale, z.log())


COUPLING = Coupling(SPLINE, 2, CONTEXT, HIDDEN)
ERRORS = {
    "points' width": (
        lambda: COUPLING(torch.zeros(5, 3), torch.zeros(3)),
        r"\(\.\.\., 2\); got shape \(5, 3\)",
    ),
    "permutation's width": (lambda: Reverse(4)(torch.zeros(4, 3)), r"\(\.\.\., 4\); got shape \(4, 3\)"),
    "no context": (lambda: COUPLING(torch.zeros(5, 2)), r"context of shape \(\.\.\., 3\); got None"),
    "context's width": (
        lambda: COUPLING(torch.zeros(5, 2), torch.zeros(5, 4)),
        r"context of shape \(\.\.\., 3\); got shape \(5, 4\)",
    ),
    "context's batch": (
        lambda: COUPLING(torch.zeros(5, 2), torch.zeros(4, 3)),
        r"broadcasts .* got \(4,\) against \(5,\)",
    ),
    "one feature": (lambda: Coupling(SPLINE, 1), r"features >= 2.*got features=1.*Use Elementwise"),
    "no features": (lambda: Elementwise(SPLINE, 0), "features >= 1.*got 0"),
    "nothing to compose": (lambda: Compose([]), "at least one transform.*empty"),
    "widths that differ": (
        lambda: Compose([Reverse(2), Reverse(3)]),
        r"one feature width; got widths \[2, 3\]",
    ),
    "contexts that differ": (
        lambda: Compose([Elementwise(AFFINE, 2, 3), Elementwise(AFFINE, 2, 4)]),
        r"one context width; got widths \[3, 4\]",
    ),
    "no permutation": (lambda: Permutation([0, 2]), r"each of 0 \.\.\. 1 once; got order=\[0, 2\]"),
    "one bin": (lambda: RationalQuadraticSpline(bins=1), "at least 2 bins; got bins=1"),
    "bins too wide": (lambda: RationalQuadraticSpline(bins=8, min_bin=0.2), "do not fit; got min_bin=0.2"),
    "no bound": (lambda: RationalQuadraticSpline(bound=0.0), "bound > 0.*got bound=0.0"),
    "parameter count": (
        lambda: rational_quadratic_spline(torch.zeros(4), torch.zeros(24, 4)),
        r"\(3 \* bins - 1, \.\.\.\).*got shape \(24, 4\)",
    ),
    "no hidden layer": (lambda: ContextMLP(2, 3, (), 4), r"at least one hidden width.*got hidden=\(\)"),
    "nothing to compute from": (
        lambda: ContextMLP(0, 0, (8,), 4),
        "got in_features=0 and context_features=0",
    ),
    "conditioner's points": (
        lambda: ContextMLP(2, 0, (8,), 4)(None),
        r"points of shape \(\.\.\., 2\); got None",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
