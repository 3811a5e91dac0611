"""The map of a rectangular flow: left inverse, Jacobian, volume, stages, and what is said to wrong input."""

import pytest
import torch

from labkit.flows import (
    Compose,
    Coupling,
    Elementwise,
    ElementwiseAffine,
    Flow,
    MaskedAutoregressive,
    MixtureCDF,
    Permutation,
    RationalQuadraticSpline,
    Reverse,
    neural_spline_flow,
)
from labkit.flows.injective import InjectiveFlow, InjectiveMap, Pad, half_log_det

CONTEXT = 3
AFFINE, SPLINE = ElementwiseAffine(), RationalQuadraticSpline(bins=5, bound=3.0)


def couplings(bijection, features, context=0, layers=2):
    parts = [Coupling(bijection, features, context, (16,), swap=i % 2 == 1) for i in range(layers)]
    return Compose([*parts, Elementwise(AFFINE, features, context, (16,))])


MAPS = {
    "1 to 2, affine": lambda: InjectiveMap(1, couplings(AFFINE, 2)),
    "1 to 2, spline": lambda: InjectiveMap(1, couplings(SPLINE, 2)),
    "3 to 7, affine, basis": lambda: InjectiveMap(3, couplings(AFFINE, 7), basis=True),
    "3 to 7, spline, basis": lambda: InjectiveMap(3, couplings(SPLINE, 7), basis=True),
    "2 to 5, affine, conditional": lambda: InjectiveMap(2, couplings(AFFINE, 5, CONTEXT)),
    "2 to 5, spline, conditional, basis": lambda: InjectiveMap(2, couplings(SPLINE, 5, CONTEXT), basis=True),
    "1 to 3 to 6, affine": lambda: InjectiveMap(1, [couplings(AFFINE, 3), couplings(AFFINE, 6)]),
    "2 to 3 to 6, one stage conditional": lambda: InjectiveMap(
        2, [couplings(SPLINE, 3), couplings(AFFINE, 6, CONTEXT)], basis=True
    ),
    "3 to 3": lambda: InjectiveMap(3, couplings(AFFINE, 3)),
    "1 to 2, logistic mixture-CDF": lambda: InjectiveMap(1, couplings(MixtureCDF(2), 2)),
    "1 to 2, Gaussian mixture-CDF": lambda: InjectiveMap(1, couplings(MixtureCDF(2, "gaussian"), 2)),
    "2 to 3, autoregressive": lambda: InjectiveMap(2, MaskedAutoregressive(SPLINE, 3, hidden=(8, 8))),
}
CONDITIONAL = {name: make for name, make in MAPS.items() if "conditional" in name}
EVERY_DTYPE = pytest.mark.parametrize("dtype", [torch.float64, torch.float32], ids=["float64", "float32"])


def over(cases):
    return pytest.mark.parametrize("make", cases.values(), ids=cases.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def perturbed(make, dtype=torch.float64):
    """The module away from the identity as which it starts, the same in both precisions."""
    module, g = make().to(dtype), generator(1)
    with torch.no_grad():
        for name, weight in module.named_parameters():
            spread = 0.7 * weight.shape[-1] ** -0.5 if weight.ndim == 2 else 0.3
            start = torch.eye(*weight.shape) if name.endswith("free") else 0.0
            weight.copy_(start + spread * torch.randn(weight.shape, generator=g, dtype=torch.float64))
    return module


def context_of(module, *batch, dtype=torch.float64):
    if not module.context_features:
        return None
    return torch.randn(*batch, CONTEXT, generator=generator(2), dtype=torch.float64).to(dtype)


def coordinates_of(embed, *batch, dtype=torch.float64, scale=1.5):
    z = scale * torch.randn(*batch, embed.features_in, generator=generator(3), dtype=torch.float64)
    return z.to(dtype)


@over(MAPS)
@EVERY_DTYPE
def test_left_inverse_undoes_the_map(make, dtype):
    embed = perturbed(make, dtype)
    z, context = coordinates_of(embed, 50, dtype=dtype), context_of(embed, 50, dtype=dtype)
    tolerance = 1e-9 if dtype == torch.float64 else 2e-3
    x = embed(z, context)
    assert x.shape == (50, embed.features) and x.dtype == dtype
    torch.testing.assert_close(embed.left_inverse(x, context), z, atol=tolerance, rtol=tolerance)


@over(MAPS)
def test_projecting_twice_is_projecting_once(make):
    embed = perturbed(make)
    x = torch.randn(50, embed.features, generator=generator(), dtype=torch.float64)
    context = context_of(embed, 50)
    once = embed(embed.left_inverse(x, context), context)
    torch.testing.assert_close(embed(embed.left_inverse(once, context), context), once, atol=1e-9, rtol=1e-9)
    if embed.features_in < embed.features:
        assert (once - x).square().sum(-1).min() > 1e-6  # a random point is not on the surface


@over(MAPS)
def test_jacobian_and_volume_agree_with_autograd(make):
    embed = perturbed(make)
    z, context = coordinates_of(embed, 8), context_of(embed, 8)
    J, volume = embed.jacobian(z, context), embed.log_volume(z, context)
    assert J.shape == (8, embed.features, embed.features_in) and volume.shape == (8,)
    for i in range(8):
        c = None if context is None else context[i]
        by_reverse_mode = torch.autograd.functional.jacobian(lambda point, c=c: embed(point, c), z[i])
        torch.testing.assert_close(J[i], by_reverse_mode, atol=1e-8, rtol=1e-8)
        half = 0.5 * torch.linalg.slogdet(by_reverse_mode.T @ by_reverse_mode)[1]
        torch.testing.assert_close(volume[i], half, atol=1e-8, rtol=1e-8)


@over(MAPS)
def test_gradient_of_the_volume_agrees_with_finite_differences(make):
    embed = perturbed(make)
    z, context = coordinates_of(embed, 3), context_of(embed, 3)
    weight = next(w for w in embed.transforms[-1].parameters() if w.ndim == 2)
    (gradient,) = torch.autograd.grad(embed.log_volume(z, context).sum(), weight)
    direction = torch.randn(weight.shape, generator=generator(), dtype=torch.float64)
    ends = []
    with torch.no_grad():
        for step in (1e-5, -2e-5):
            weight += step * direction
            ends.append(embed.log_volume(z, context).sum())
    torch.testing.assert_close((gradient * direction).sum(), (ends[0] - ends[1]) / 2e-5, atol=1e-6, rtol=1e-6)


def test_as_many_coordinates_as_features_is_an_ordinary_flow():
    flow = perturbed(lambda: InjectiveFlow(neural_spline_flow(3, hidden=(8,)), couplings(AFFINE, 3)))
    ordinary = Flow(Compose([flow.flow_low.transform, flow.embed.transforms[0]]), flow.flow_low.base)
    x = torch.randn(20, 3, generator=generator(), dtype=torch.float64)
    torch.testing.assert_close(flow().log_prob(x), ordinary().log_prob(x), atol=1e-8, rtol=1e-8)


def test_volumes_of_stages_do_not_add_up():
    embed = perturbed(MAPS["1 to 3 to 6, affine"])
    z = coordinates_of(embed, 100)
    stages = [InjectiveMap(d, transform) for d, transform in zip((1, 3), embed.transforms)]
    between = stages[0](z)
    summed = stages[0].log_volume(z) + stages[1].log_volume(between)
    whole = embed.log_volume(z)
    J = stages[1].jacobian(between) @ stages[0].jacobian(z)  # the chain rule, the right way
    torch.testing.assert_close(whole, half_log_det(J), atol=1e-8, rtol=1e-8)
    assert (summed - whole).abs().median() > 0.1  # nats: no matter of rounding


def test_volumes_of_square_stages_do_add_up():
    first, second = perturbed(lambda: couplings(AFFINE, 3)), perturbed(lambda: couplings(SPLINE, 3))
    z = torch.randn(20, 3, generator=generator(), dtype=torch.float64)
    summed = first.forward_and_log_det(z)[1] + second.forward_and_log_det(first(z))[1]
    torch.testing.assert_close(InjectiveMap(3, [first, second]).log_volume(z), summed, atol=1e-8, rtol=1e-8)


@over(CONDITIONAL)
def test_every_context_feature_reaches_the_surface_and_its_coordinates(make):
    embed = perturbed(make)
    z, context = coordinates_of(embed, 20, scale=0.7), context_of(embed, 20)
    x = embed(z, context).detach()
    for act, point in ((embed, z), (embed.left_inverse, x)):
        moved = torch.func.vmap(torch.func.jacrev(lambda c, p, act=act: act(p, c)))(context, point)
        assert (moved.abs().amax((0, 1)) > 1e-6).all()


@over(CONDITIONAL)
def test_a_shared_context_equals_an_expanded_one(make):
    embed = perturbed(make)
    z, context = coordinates_of(embed, 6, 1), context_of(embed, 4)
    every_z, every_context = z.expand(6, 4, -1).clone(), context.expand(6, 4, -1).clone()
    torch.testing.assert_close(embed(z, context), embed(every_z, every_context))
    assert embed.jacobian(z, context).shape == (6, 4, embed.features, embed.features_in)
    torch.testing.assert_close(embed.log_volume(z, context), embed.log_volume(every_z, every_context))


@over(MAPS)
def test_batches_of_one_and_none(make):
    embed = perturbed(make)
    for batch in ((), (1,), (1, 1), (0,)):
        z, context = coordinates_of(embed, *batch), context_of(embed, *batch)
        x, volume = embed(z, context), embed.log_volume(z, context)
        assert x.shape == (*batch, embed.features) and volume.shape == batch
        assert embed.left_inverse(x, context).shape == z.shape
        assert x.isfinite().all() and volume.isfinite().all()


@over(MAPS)
@EVERY_DTYPE
def test_volume_and_gradients_are_finite_far_out(make, dtype):
    embed = perturbed(make, dtype)
    places = torch.tensor([-1e6, -1e3, -3, 0, 3, 40, 1e6], dtype=dtype)[:, None].repeat(1, embed.features_in)
    volume = embed.log_volume(places.requires_grad_(), context_of(embed, 7, dtype=dtype))
    volume.sum().backward()
    assert volume.isfinite().all() and places.grad.isfinite().all()
    assert all(w.grad.isfinite().all() for w in embed.parameters() if w.grad is not None)


@EVERY_DTYPE
def test_a_basis_is_orthonormal_and_starts_where_it_is_told(dtype):
    pad = perturbed(lambda: Pad(3, 8, basis=True), dtype)
    identity = torch.eye(3, dtype=dtype)
    torch.testing.assert_close(pad.basis.mT @ pad.basis, identity, atol=1e-5, rtol=0)
    directions = torch.linalg.qr(torch.randn(8, 3, generator=generator(), dtype=torch.float64))[0].to(dtype)
    pad.start_at(directions)
    torch.testing.assert_close(pad.basis, directions, atol=1e-5, rtol=0)
    x = torch.randn(5, 8, generator=generator(), dtype=torch.float64).to(dtype)
    torch.testing.assert_close(pad.left_inverse(x), x @ directions, atol=1e-5, rtol=1e-5)


def test_a_fresh_basis_pads_with_zeros():
    z = torch.randn(4, 3, generator=generator())
    torch.testing.assert_close(Pad(3, 8, basis=True)(z), Pad(3, 8)(z))


def test_jitter_helps_only_where_a_factor_fails():
    J = torch.randn(4, 5, 3, generator=generator(), dtype=torch.float64)
    right = half_log_det(J)
    J[1, :, 2] = J[1, :, 1]  # rank 2 of 3
    J[2] = torch.nan
    J[3] = 0.0
    mended = half_log_det(J)
    assert torch.equal(mended[0], right[0])  # to the last bit
    assert mended[1].isfinite() and mended[1] < right[1] - 3
    assert mended[2].isnan() and mended[3].isnan()


FLOW = InjectiveFlow(neural_spline_flow(2, hidden=(8,)), couplings(AFFINE, 4))
WORDS = InjectiveFlow(neural_spline_flow(2, CONTEXT, hidden=(8,)), couplings(AFFINE, 4, CONTEXT))
ERRORS = {
    "k above D": (lambda: InjectiveFlow(neural_spline_flow(4), Reverse(3)), r"k = d0 <= d1 .*got \[4, 3\]"),
    "k above D of a padding": (lambda: Pad(4, 3), "got k=4 and D=3"),
    "stages that shrink": (lambda: InjectiveMap(1, [Reverse(5), Reverse(3)]), r"got \[1, 5, 3\]"),
    "no dimension": (lambda: InjectiveMap(0, Reverse(3)), r"1 <= k.*got \[0, 3\]"),
    "no stage": (lambda: InjectiveMap(1, []), "several of growing width; got an empty list"),
    "contexts that differ": (
        lambda: InjectiveMap(1, [couplings(AFFINE, 3, 2), couplings(AFFINE, 4, 3)]),
        r"one context width; got widths \[2, 3\]",
    ),
    "contexts of flow and transform": (
        lambda: InjectiveFlow(neural_spline_flow(1, 2), couplings(AFFINE, 3, 3)),
        r"one context width for flow and transform; got widths \[2, 3\]",
    ),
    "width of points": (
        lambda: FLOW().log_prob(torch.zeros(5, 2)),
        r"points of shape \(\.\.\., 4\); got shape \(5, 2\)",
    ),
    "width of coordinates": (
        lambda: FLOW.embed(torch.zeros(5, 4)),
        r"coordinates of shape \(\.\.\., 2\); got shape \(5, 4\)",
    ),
    "NaN": (lambda: FLOW().log_prob(torch.full((2, 4), torch.nan)), "points of 4 numbers; got 8 NaN among 8"),
    "NaN to project": (lambda: FLOW().project(torch.full((2, 4), torch.nan)), "got 8 NaN"),
    "no context": (lambda: WORDS(), r"context of shape \(\.\.\., 3\); got None"),
    "width of context": (lambda: WORDS(torch.zeros(5, 2)), r"\(\.\.\., 3\); got shape \(5, 2\)"),
    "a context too many": (lambda: FLOW(torch.zeros(3)), r"unconditional .* got shape \(3,\)"),
    "no basis": (lambda: Pad(2, 3).basis, "no basis of its own; expected basis=True"),
    "nowhere to start": (lambda: Pad(2, 3).start_at(torch.eye(3, 2)), r"shape none, without basis=True; got \(3, 2\)"),
    "directions of another shape": (
        lambda: Pad(2, 3, basis=True).start_at(torch.eye(3)),
        r"shape \(3, 2\); got \(3, 3\)",
    ),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()


def test_permuted_padding_takes_the_axes_it_is_given():
    embed = InjectiveMap(2, Permutation([2, 0, 1]))
    torch.testing.assert_close(embed(torch.tensor([1.0, 2.0])), torch.tensor([0.0, 1.0, 2.0]))
