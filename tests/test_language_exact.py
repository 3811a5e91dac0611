"""Language models, exactness: Mix-d, the flows of TarFlowLM, the proposition, and what is the same by construction."""

import math

import pytest
import torch

from labkit.dequantise import TruncatedDequantiser
from labkit.flows.rosenblatt import MixtureRosenblatt, gaussian_log_densities
from labkit.language import (
    Affine,
    DiscreteLM,
    GaussianCode,
    Mix1,
    MixD,
    StochasticLM,
    TarFlowLM,
)
from labkit.language.tarflow import token_order
from labkit.language.transformations import standard_normal

DOUBLE = torch.float64


def random(*shape, seed=0, dtype=DOUBLE):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=dtype)


def mixture(count, dim, scale, points=8, dtype=DOUBLE):
    """log-weights, centres and log-scales."""
    log_scales = math.log(scale) + 0.3 * random(count, dim, seed=3)
    return random(count, points, seed=1).to(dtype), random(count, dim, seed=2).to(dtype), log_scales.to(dtype)


MIXTURES = {
    "one component": (1, 2, 0.5),
    "five broad ones in 3-d": (5, 3, 0.8),
    "27 narrow ones in 4-d": (27, 4, 0.1),
    "far apart": (4, 2, 0.01),
}


# --- Mix-d --------------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("case", MIXTURES)
def test_mix_d_log_det_is_that_of_autograd(case):
    log_weights, locs, log_scales = mixture(*MIXTURES[case])
    z, _ = MixtureRosenblatt().forward(random(8, locs.shape[1]), log_weights, locs, log_scales)
    u, log_det = MixtureRosenblatt().inverse(z, log_weights, locs, log_scales)
    for i in range(3):

        def move(point, i=i):
            return MixtureRosenblatt().inverse(point[None], log_weights[:, i : i + 1], locs, log_scales)[0][0]

        jacobian = torch.autograd.functional.jacobian(move, z[i])
        assert jacobian.triu(1).abs().max() == 0
        assert abs(torch.linalg.slogdet(jacobian)[1] - log_det[i]) <= 1e-8


@pytest.mark.parametrize("case", MIXTURES)
@pytest.mark.parametrize(("dtype", "tolerance"), [(DOUBLE, 1e-10), (torch.float32, 5e-5)], ids=["double", "single"])
def test_mix_d_round_trip(case, dtype, tolerance):
    log_weights, locs, log_scales = mixture(*MIXTURES[case], dtype=dtype)
    u = random(8, locs.shape[1], seed=5).to(dtype)
    z, forward = MixtureRosenblatt().forward(u, log_weights, locs, log_scales)
    again, inverse = MixtureRosenblatt().inverse(z, log_weights, locs, log_scales)
    assert (again - u).abs().max() <= tolerance and (forward + inverse).abs().max() <= tolerance
    assert z.dtype == again.dtype == dtype


@pytest.mark.parametrize("case", MIXTURES)
def test_mix_d_carries_the_mixture_to_a_standard_normal(case):
    log_weights, locs, log_scales = mixture(*MIXTURES[case])
    z, _ = MixtureRosenblatt().forward(random(8, locs.shape[1], seed=6), log_weights, locs, log_scales)
    u, log_det = MixtureRosenblatt().inverse(z, log_weights, locs, log_scales)
    density = MixtureRosenblatt().log_prob(z, log_weights, locs, log_scales)
    assert torch.allclose(density, log_det + standard_normal(u[:, None]), atol=1e-9)
    reference = torch.distributions.MixtureSameFamily(
        torch.distributions.Categorical(logits=log_weights.T),
        torch.distributions.Independent(torch.distributions.Normal(locs, log_scales.exp()), 1),
    )
    assert torch.allclose(density, reference.log_prob(z), atol=1e-9)


def test_mix_d_far_in_the_tails():
    """Where densities are e^(−10¹²): round trip, finite gradients, and float32 as exact as it can be."""
    log_weights, locs, log_scales = mixture(5, 2, 0.3, points=5)
    far = torch.tensor([[50.0, 0.0], [0.0, -50.0], [1e3, 1e3], [-1e4, 2.0], [1e6, -1e6]], dtype=DOUBLE)
    far.requires_grad_()
    u, log_det = MixtureRosenblatt().inverse(far, log_weights, locs, log_scales)
    again, _ = MixtureRosenblatt().forward(u.detach(), log_weights, locs, log_scales)
    assert torch.allclose(again, far, rtol=1e-9)
    gradient = torch.autograd.grad(u.sum() + log_det.sum(), far)[0]
    assert gradient.isfinite().all()
    single = [part.detach().float() for part in (far, log_weights, locs, log_scales)]
    u32, log_det32 = MixtureRosenblatt().inverse(*single)
    assert torch.allclose(u32.double(), u, rtol=1e-5) and torch.allclose(log_det32.double(), log_det, atol=1e-4)


def test_mix_d_gradients_of_draws():
    """dz/du and dz/dα by the implicit function theorem, against finite differences."""
    log_weights, locs, log_scales = mixture(3, 2, 0.6, points=2)
    u = random(2, 2, seed=7)
    inputs = [part.requires_grad_() for part in (u, log_weights, locs)]
    forward = MixtureRosenblatt().forward
    assert torch.autograd.gradcheck(lambda *given: forward(*given, log_scales)[0], inputs, atol=1e-5)


def test_mix_d_refuses_what_does_not_fit():
    log_weights, locs, log_scales = mixture(5, 2, 0.3)
    with pytest.raises(ValueError, match=r"expected points \(\.\.\., 2\), log-weights \(5, \.\.\.\)"):
        MixtureRosenblatt().inverse(random(8, 3), log_weights, locs, log_scales)
    with pytest.raises(ValueError, match="expected as many weights as points"):
        MixtureRosenblatt().inverse(random(7, 2), log_weights, locs, log_scales)
    with pytest.raises(ValueError, match="expected steps >= 1; got steps=0"):
        MixtureRosenblatt(steps=0)


# --- the proposition ----------------------------------------------------------------------------------------------

CLASSES = torch.tensor([0.3, 0.25, 0.2, 0.15, 0.1], dtype=DOUBLE)
CODEBOOK = torch.tensor([[0.0, 0.0], [1.5, 0.0], [0.0, 1.5], [-1.5, 0.0], [0.0, -1.5]], dtype=DOUBLE)
ENTROPY = 2.2282  # bits


def toy(sigma: float) -> TarFlowLM:
    """One token, one flow of Mix-d with exactly the right weights: no transformer has anything to say."""
    model = TarFlowLM(5, 1, dim=2, blocks=(1,), width=8, heads=2, code=GaussianCode(5, 2, sigma=sigma)).double()
    weights = model.flows[0].transformation.to_weights
    with torch.no_grad():
        model.code.loc.copy_(CODEBOOK)
        weights.weight.zero_()
        weights.bias.copy_(torch.cat((CLASSES.log(), torch.tensor([-1e4], dtype=DOUBLE))))
    return model


def test_the_proposition_a_narrow_codebook_gives_the_cross_entropy():
    """Bits fall to H as σ -> 0, and are never below: over classes exactly, over noise by 4,096 draws a class."""
    found = []
    for sigma in (1.0, 0.5, 0.2, 0.05):
        tokens = torch.arange(5).repeat_interleave(4096)[:, None]
        generator = torch.Generator().manual_seed(0)
        with torch.no_grad():
            nats = -toy(sigma).bound(tokens, generator=generator).reshape(5, -1)
        bits = (CLASSES @ nats.mean(1)).item() / math.log(2)
        error = math.sqrt((CLASSES.square() @ nats.var(1) / 4096).item()) / math.log(2)
        assert bits >= ENTROPY - 4 * error - 1e-4  # the last for the rounding of H
        found.append(bits)
    assert all(before > after for before, after in zip(found, found[1:])) and found[0] > ENTROPY + 0.05
    assert abs(found[-1] - ENTROPY) < 5e-4


# --- flows of TarFlowLM -------------------------------------------------------------------------------------------

TRANSFORMATIONS = {"affine": Affine, "mix-1": Mix1, "mix-d": MixD}


def tarflow(transformation=MixD, patch=1, blocks=(1, 1), context=4, noise=0.2, **more) -> TarFlowLM:
    """Small, in float64, and away from the start, where most maps are the identity."""
    torch.manual_seed(0)
    model = TarFlowLM(5, context, 2, transformation, blocks, width=8, heads=2, patch=patch, **more).double()
    with torch.no_grad():
        for weight in model.parameters():
            weight.add_(noise * torch.randn_like(weight))
    return model


@pytest.mark.parametrize("patch", [1, 2])
@pytest.mark.parametrize("name", TRANSFORMATIONS)
def test_flows_are_inverted_cached_or_not_and_their_log_det_is_autograds(name, patch):
    model = tarflow(TRANSFORMATIONS[name], patch)
    z = random(2, 4, 2, seed=4)
    with torch.no_grad():
        for flow in model.flows:
            u, log_det = flow.to_base(z, model.code)
            for cached in (True, False):
                assert (flow.to_data(u, model.code, cached=cached) - z).abs().max() <= 1e-10
            jacobian = torch.autograd.functional.jacobian(
                lambda point, flow=flow: flow.to_base(point[None], model.code)[0].flatten(), z[0]
            ).reshape(8, 8)
            assert abs(torch.linalg.slogdet(jacobian)[1] - log_det[0]) <= 1e-8
            assert torch.allclose(flow.log_prob(z, model.code), log_det + standard_normal(u), atol=1e-9)


@pytest.mark.parametrize("number", [0, 1])
def test_a_flow_reads_what_it_has_decided_and_nothing_else(number):
    """Flow 0 from the left, flow 1 from the right; with Mix-d the tokens of a patch do not see each other."""
    flow, code = tarflow(patch=2, blocks=(1, 1), context=6).flows[number], GaussianCode(5, 2).double()
    order = flow.order(6).tolist()
    jacobian = torch.autograd.functional.jacobian(lambda z: flow.to_base(z, code)[0], random(1, 6, 2, seed=8))
    reached = jacobian.reshape(6, 2, 6, 2).abs().amax((1, 3)) > 0
    for place in range(6):
        patch = order.index(place) // 2
        assert set(reached[place].nonzero().flatten().tolist()) == {place, *order[: 2 * patch]}


def test_orders_alternate_and_mix():
    assert token_order(6, 2, 0, True).tolist() == [0, 1, 2, 3, 4, 5]
    assert token_order(6, 2, 1, False).tolist() == [5, 4, 3, 2, 1, 0]
    for number in (1, 3):
        order = token_order(8, 4, number, True)
        assert sorted(order.tolist()) == list(range(8))
        patches = {frozenset(patch.tolist()) for patch in order.reshape(-1, 4)}
        assert frozenset(range(4)) not in patches  # what was one patch is no longer


def test_levels_end_where_the_density_says():
    model = tarflow()
    z = random(3, 4, 2, seed=9)
    with torch.no_grad():
        levels = model.levels(z)
        back = levels[-1]
        for flow in reversed(model.flows):
            back = flow.to_data(back, model.code)
    assert len(levels) == 3 and torch.allclose(back, z, atol=1e-9)


def test_bits_do_not_depend_on_what_the_other_sequences_are():
    model = tarflow(MixD, patch=2)
    tokens = torch.randint(5, (4, 4), generator=torch.Generator().manual_seed(0))
    z, _ = model.code.encode(tokens, torch.Generator().manual_seed(0))
    with torch.no_grad():
        together = model.log_prior(z)
        alone = torch.cat([model.log_prior(row[None]) for row in z])
    assert torch.allclose(together, alone, atol=1e-10)


def test_any_dequantiser_is_a_code():
    """TRUFL in the place of the Gaussians: bounds are finite, draws are tokens, soft edges only in the loss."""
    torch.manual_seed(0)
    code = TruncatedDequantiser(5, 2)
    model = TarFlowLM(5, 4, 2, MixD, (1,), width=8, heads=2, code=code, edge=0.05)
    tokens = torch.randint(5, (6, 4), generator=torch.Generator().manual_seed(0))
    bound = model.bound(tokens, generator=torch.Generator().manual_seed(0))
    bound.sum().backward()
    assert bound.isfinite().all() and code.raw_width.grad.isfinite().all() and code.raw_width.grad.abs().sum() > 0
    assert model.generate(3, generator=torch.Generator().manual_seed(0)).shape == (3, 4)


# --- what is the same by construction ------------------------------------------------------------------------------


def test_no_stochastic_coordinates_are_the_baseline_to_the_bit():
    torch.manual_seed(0)
    discrete = DiscreteLM(5, 8, width=16, blocks=2, heads=2)
    none = StochasticLM(5, 8, k=0, width=16, blocks=2, heads=2)
    none.trunk.load_state_dict(discrete.state_dict())
    tokens = torch.randint(5, (3, 8), generator=torch.Generator().manual_seed(0))
    assert torch.equal(none.bound(tokens, samples=4), discrete.bound(tokens))
    assert none.bound_kind(4) == discrete.bound_kind() == "exact"
    assert sum(w.numel() for w in none.parameters()) == sum(w.numel() for w in discrete.parameters())
    draws = [model.generate(3, generator=torch.Generator().manual_seed(1)) for model in (none, discrete)]
    assert torch.equal(*draws)


def test_a_codebook_density_is_a_gaussian():
    z, locs, log_scales = random(4, 3), random(5, 3, seed=1), random(5, 3, seed=2)
    expected = torch.distributions.Normal(locs[:, None], log_scales[:, None].exp()).log_prob(z).sum(-1)
    assert torch.allclose(gaussian_log_densities(z, locs, log_scales), expected, atol=1e-12)
