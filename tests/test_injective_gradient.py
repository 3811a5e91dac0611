"""Training on surfaces: a gradient without a value, the objective, what training finds, and how many dimensions."""

import math

import numpy as np
import pytest
import torch
from scipy.special import i0

from labkit.flows import Compose, Coupling, Elementwise, ElementwiseAffine, RationalQuadraticSpline, neural_spline_flow
from labkit.flows.injective import InjectiveFlow, InjectiveMap
from labkit.flows.injective_gradient import RelevantDimensions, log_det_surrogate, rectangular_loss, solve_gram
from labkit.training import Optimizers, learning_rate_factor

CONTEXT, DOUBLE = 3, torch.float64
AFFINE, SPLINE = ElementwiseAffine(), RationalQuadraticSpline(bins=5, bound=3.0)


def couplings(bijection, features, context=0, layers=2, hidden=(16,)):
    return Compose([Coupling(bijection, features, context, hidden, swap=i % 2 == 1) for i in range(layers)])


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


# --- a gradient without a value ---------------------------------------------------------------------------------

FOUR = InjectiveMap(4, couplings(AFFINE, 8), basis=True)


@pytest.fixture(scope="module")
def four():
    """A map from 4 to 8, 256 points, its weights, and the exact gradient of the mean of ½ log det JᵀJ."""
    embed = perturbed(lambda: FOUR)
    z = torch.randn(256, 4, generator=generator(), dtype=DOUBLE)
    weights = list(embed.parameters())
    return embed, z, weights, flat(torch.autograd.grad(embed.log_volume(z).mean(), weights))


def flat(gradients):
    return torch.cat([g.flatten() for g in gradients])


def surrogate_gradient(four, seed, **options):
    embed, z, weights, _ = four
    value = log_det_surrogate(embed, z, generator=generator(seed), **options).mean()
    return flat(torch.autograd.grad(value, weights))


def test_the_surrogates_value_is_no_log_determinant():
    make = InjectiveMap(4, Compose([couplings(AFFINE, 8), Elementwise(AFFINE, 8)]))
    embed, z = perturbed(lambda: make), torch.randn(20, 4, generator=generator(), dtype=DOUBLE)
    before, value = embed.log_volume(z), log_det_surrogate(embed, z, probes=3, tolerance=1e-10, generator=generator())
    with torch.no_grad():
        embed.transforms[0].transforms[-1].constants[-8:] += 2.0  # everything about e² times as large
    after, again = embed.log_volume(z), log_det_surrogate(embed, z, probes=3, tolerance=1e-10, generator=generator())
    assert (after - before).min() > 7  # nats: about 4 × 2
    two = torch.full((20,), 2.0, dtype=DOUBLE)  # k/2, whatever the map
    torch.testing.assert_close(value, two, atol=1e-6, rtol=0)
    torch.testing.assert_close(again, two, atol=1e-6, rtol=0)


def test_the_surrogates_gradient_is_unbiased(four):
    exact = four[3]
    picks = torch.linspace(0, len(exact) - 1, 400).long()
    picks = picks[exact[picks].abs().argsort(descending=True)[:12]]  # a dozen components that are not just zero
    draws = torch.stack([surrogate_gradient(four, seed, tolerance=1e-8)[picks] for seed in range(36)])
    error = draws.std(0) / 6
    assert (error > 0).all()
    assert ((draws.mean(0) - exact[picks]).abs() < 3 * error).all()


def test_sixteen_probes_point_along_the_exact_gradient(four):
    cosine = torch.cosine_similarity(surrogate_gradient(four, 0, probes=16), four[3], 0)
    assert cosine > 0.99


def test_a_loose_tolerance_biases_the_gradient(four):
    exact = four[3]
    tight, loose = (
        torch.stack([surrogate_gradient(four, seed, probes=16, tolerance=t) for seed in range(6)]).mean(0)
        for t in (1e-3, 1.0)
    )
    away = [((g - exact).norm() / exact.norm()).item() for g in (tight, loose)]
    assert away[0] < 0.05 and away[1] > 4 * away[0]  # more probes do not mend it


def test_one_dimension_needs_one_probe():
    embed = perturbed(lambda: InjectiveMap(1, couplings(SPLINE, 3)))
    z, weights = torch.randn(9, 1, generator=generator(), dtype=DOUBLE), list(embed.parameters())
    pairs = [torch.autograd.grad(f.sum(), weights, allow_unused=True) for f in
             (embed.log_volume(z), log_det_surrogate(embed, z, generator=generator()))]  # fmt: skip
    for exact, estimate in zip(*pairs):
        assert (exact is None) == (estimate is None)
        if exact is not None:
            torch.testing.assert_close(estimate, exact, atol=1e-8, rtol=1e-8)


def test_conjugate_gradients_solve_every_system_by_itself(four):
    embed, z = four[:2]
    right = torch.randn(3, 256, 4, generator=generator(), dtype=DOUBLE)
    J = embed.jacobian(z)
    torch.testing.assert_close(
        solve_gram(embed, z, right, 1e-12), torch.linalg.solve(J.mT @ J, right[..., None])[..., 0],
        atol=1e-6, rtol=1e-6,
    )  # fmt: skip
    for tolerance in (0.3, 1e-2):
        v = solve_gram(embed, z, right, tolerance)
        residual = right - (J.mT @ (J @ v[..., None]))[..., 0]
        assert (residual.norm(dim=-1) <= tolerance * right.norm(dim=-1)).all()
        alone = solve_gram(embed, z[7:8], right[:, 7:8], tolerance)
        torch.testing.assert_close(alone, v[:, 7:8], atol=1e-10, rtol=1e-10)
    assert torch.equal(solve_gram(embed, z, 0 * right), 0 * right)


def test_a_shared_point_has_a_system_for_every_context():
    embed = perturbed(lambda: InjectiveMap(2, couplings(AFFINE, 4, CONTEXT)))
    z = torch.randn(5, 1, 2, generator=generator(), dtype=DOUBLE)
    context = torch.randn(3, CONTEXT, generator=generator(), dtype=DOUBLE)
    value = log_det_surrogate(embed, z, context, tolerance=1e-10, generator=generator())
    torch.testing.assert_close(value, torch.ones(5, 3, dtype=DOUBLE), atol=1e-6, rtol=0)


def test_the_objective_reports_what_is_exact():
    flow = perturbed(lambda: InjectiveFlow(neural_spline_flow(2, hidden=(8,)), couplings(SPLINE, 4, CONTEXT)))
    x = torch.randn(7, 4, generator=generator(), dtype=DOUBLE)
    context = torch.randn(7, CONTEXT, generator=generator(), dtype=DOUBLE)
    p = flow(context)
    exact = rectangular_loss(flow, x, context, reconstruction_weight=3.0)
    rough = rectangular_loss(flow, x, context, reconstruction_weight=3.0, probes=2, generator=generator())
    unseen = rectangular_loss(flow, x, context, probes=1, report=False, generator=generator())
    for got in (exact, rough):
        torch.testing.assert_close(got.nll, -p.log_prob(x).mean().detach())
        torch.testing.assert_close(got.error, p.reconstruction_error(x).mean().detach())
    torch.testing.assert_close(exact.loss, exact.nll + 3 * exact.error)
    assert (rough.loss - exact.loss).abs() > 0.1 and unseen.nll is None
    assert exact.loss.requires_grad and not exact.nll.requires_grad


# --- what training finds ----------------------------------------------------------------------------------------


def fit(module, loss_of, steps, learning_rate):
    """`labkit.training`'s steps on any loss."""
    optimizers = Optimizers(module, learning_rate)
    for step in range(steps):
        optimizers.step(loss_of(), learning_rate_factor(step / steps, steps))


def test_training_finds_the_von_mises_on_the_circle():
    torch.manual_seed(0)
    flow, g = InjectiveFlow(neural_spline_flow(1, layers=1), couplings(AFFINE, 2, layers=4, hidden=(32,))), generator()
    angle = torch.as_tensor(np.random.default_rng(0).vonmises(0, 1, 6000), dtype=torch.float32)
    x = torch.stack((angle.sin(), angle.cos()), -1)
    fit(flow, lambda: rectangular_loss(flow, x[torch.randint(5000, (256,), generator=g)]).loss, 200, 1.2e-2)
    with torch.no_grad():
        p, held_out, angle = flow(), x[5000:], angle[5000:]
        turn = torch.linspace(-math.pi, math.pi, 2000)
        z = p.coordinates(torch.stack((turn.sin(), turn.cos()), -1))[:, 0]
        seam = turn[z.diff().abs().argmax()]  # a line has two ends, a circle none: there z runs back
        away = (torch.remainder(angle - seam + math.pi, 2 * math.pi) - math.pi).abs() > 0.3
        gap = (angle.cos() - math.log(2 * math.pi * i0(1)) - p.log_prob(held_out))[away]
        error = p.reconstruction_error(held_out)
    assert away.float().mean() > 0.9
    assert gap.mean().abs() < 0.05  # nats over the optimum, held out
    assert error[away].mean().sqrt() < 0.06  # of radius 1
    assert error[~away].mean() > 10 * error[away].mean()  # one chart leaves a gap


def planted(rank, features=8, points=1000):
    """Points of a curved surface of this rank that fills more flat dimensions than it has, with noise of 0.05."""
    g = generator(rank)
    t = torch.randn(points, rank, generator=g)
    bends = 0.5 * torch.sin(t @ torch.randn(rank, features - rank, generator=g) * rank**-0.5)
    turn = torch.linalg.qr(torch.randn(features, features, generator=g))[0]
    return torch.cat([t, bends], 1) @ turn.T + 0.05 * torch.randn(points, features, generator=g)


@pytest.mark.parametrize("rank", [1, 3])
def test_a_planted_rank_is_found(rank):
    torch.manual_seed(0)
    x, g = planted(rank), generator()
    x = x - x.mean(0)
    _, values, axes = torch.linalg.svd(x, full_matrices=False)
    spread = values / len(x) ** 0.5
    embed = InjectiveMap(6, couplings(AFFINE, 8, layers=4, hidden=(32,)), basis=True)
    embed.pads[0].start_at(axes[:6].T)
    model = RelevantDimensions(embed, spread[:6])
    fit(model, lambda: model.loss(x[torch.randint(1000, (250,), generator=g)], 1000, g), 320, 1e-2)
    assert abs(model.count().item() - rank) <= 1
    assert model.relevance().sort(descending=True).values[-2:].max() < 0.1  # idle ones are shut, not merely small
    flat_rank = (spread > 2 * 0.05).sum().item()
    assert flat_rank > rank  # principal components alone would say more


def test_relevance_of_a_plane_is_that_of_its_channels():
    embed = InjectiveMap(3, couplings(AFFINE, 5))  # fresh: [z ; 0]
    model = RelevantDimensions(embed, torch.tensor([2.0, 1.0, 1e-3]), noise=0.5).double()
    torch.testing.assert_close(model.relevance()[:2], 0.5 * torch.tensor([17.0, 5.0], dtype=DOUBLE).log())
    assert model.count() == 2
    # In this case q is the posterior and the bound is the density itself: a normal of variances a² + σ² and σ².
    x = torch.randn(4, 5, generator=generator(), dtype=DOUBLE)
    variance = torch.tensor([4.25, 1.25, 0.25 + 1e-6, 0.25, 0.25], dtype=DOUBLE)
    exact = -0.5 * (x.square() / variance + (2 * math.pi * variance).log()).sum(-1)
    draws = torch.stack([model.bound(x, generator(seed)) for seed in range(200)])
    torch.testing.assert_close(draws.mean(0), exact, atol=4 * draws.std(0).max().item() / 200**0.5, rtol=0)


EMBED = InjectiveMap(2, couplings(AFFINE, 4))
CURVE = InjectiveFlow(neural_spline_flow(1), couplings(AFFINE, 2))
ERRORS = {
    "no probes": (lambda: log_det_surrogate(EMBED, torch.zeros(3, 2), probes=0), "at least one probe; got probes=0"),
    "no tolerance": (lambda: log_det_surrogate(EMBED, torch.zeros(3, 2), tolerance=0.0), "0 < tolerance <= 1.*got 0.0"),
    "tolerance above 1": (lambda: solve_gram(EMBED, torch.zeros(3, 2), torch.ones(1, 3, 2), 2.0), "got 2.0"),
    "weight": (lambda: rectangular_loss(CURVE, torch.zeros(3, 2), reconstruction_weight=0.0), "_weight > 0; got 0.0"),
    "too few scales": (lambda: RelevantDimensions(EMBED, torch.ones(3)), r"2 positive scales.*got \[1.0, 1.0, 1.0\]"),
    "a scale of zero": (lambda: RelevantDimensions(EMBED, torch.zeros(2)), r"positive scales.*got \[0.0, 0.0\]"),
    "no noise": (lambda: RelevantDimensions(EMBED, torch.ones(2), noise=0.0), "noise > 0; got .* and 0.0"),
}


@pytest.mark.parametrize(("act", "message"), ERRORS.values(), ids=ERRORS.keys())
def test_errors_say_what_was_got_and_what_was_expected(act, message):
    with pytest.raises(ValueError, match=message):
        act()
