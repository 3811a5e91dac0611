"""A dequantiser and a prior together: probabilities that sum to Z, no bound below the entropy, training, drawing."""

import itertools
import math

import pytest
import torch
from dequantise_cases import BAYES, CELLS, EVERY, V, build

from labkit.dequantise import (
    CategoricalDequantiser,
    DequantisedDensity,
    MarkovLanguage,
    SetShuffling,
    SetSummation,
    TaskBatches,
    TokenBatch,
    TruncatedDequantiser,
    autoregressive_flow,
    coupling_flow,
    decoder_weight,
)
from labkit.flows import Elementwise, ElementwiseAffine, Flow, StandardLogistic, neural_spline_flow
from labkit.training import train

SMALL = {"width": 8, "heads": 2, "bins": 6}
over_every = pytest.mark.parametrize("make", EVERY.values(), ids=EVERY.keys())


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


def model_of(code, positions, kind=coupling_flow, layers=2):
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        if code.dim == 1:
            kind = autoregressive_flow
        prior = kind(positions, code.dim, layers=layers, components=4, **SMALL)
    return DequantisedDensity(code, prior.to(next(code.parameters(), torch.zeros(())).dtype))


NARROW = BAYES | {name: CELLS[name] for name in ("uniform, ordinal", "uniform, digits")}  # with bounded weights below


@pytest.mark.parametrize("make", NARROW.values(), ids=NARROW.keys())
def test_probabilities_of_all_tokens_sum_to_z(make):
    """Σ_x E_q[p(x|z) p(z) / q(z|x)] = ∫_𝒮 p(z) dz: what makes −ELBO + log Z a bound on the entropy of anything.

    A bound that beat the optimum would have probabilities that sum to more than Z. The prior is narrower than q, so
    that the weights are bounded.
    """
    code = build(make, size=3, noise=0.1)
    tokens = torch.arange(3)[:, None, None].expand(3, 40_000, 1)
    with torch.no_grad():
        affine = Elementwise(ElementwiseAffine(), code.dim).double()
        centre = code.encode(tokens[0], generator(2))[0].mean((0, 1))
        affine.constants.copy_(torch.cat((centre + 0.1, torch.full_like(centre, -2.0))))
        model = DequantisedDensity(code, Flow(affine, StandardLogistic(code.dim).double()))
        z = code.in_support(model.draw_points(40_000, generator(1))).double()
        log_p, log_prior, log_q = model.terms(tokens, generator())
        weights = (log_p + log_prior - log_q).exp()
    error = ((weights.var(1).sum() + z.var()) / 40_000).sqrt()
    assert error < 0.03 and z.mean() > 0.1
    assert abs(weights.mean(1).sum() - z.mean()) < 5 * error + 1e-9


TINY = {
    "shuffling": lambda: SetShuffling(3),
    "summation": lambda: SetSummation(3, 6),
    "markov": lambda: MarkovLanguage(3, 3, successors=2),
}


@over_every
@pytest.mark.parametrize("name", TINY)
def test_no_bound_beats_the_optimum(make, name):
    """After a short training with soft edges, evaluated with hard ones; raw, and corrected by log Z."""
    task = TINY[name]()
    code = build(make, torch.float32, size=task.vocabulary_size, noise=0.0)
    model = model_of(code, task.positions, layers=1)
    optimizer = torch.optim.Adam(model.parameters(), 0.02)
    for step in range(8):
        optimizer.zero_grad()
        model.loss(TokenBatch(task.draw(64, generator(step))), generator(step), step / 8)[0].backward()
        optimizer.step()
    normaliser = model.estimate_normaliser(400, generator(5))
    bits = model.elbo(task.draw(1000, generator(100)), generator(6), normaliser)
    error = bits.raw.std() / math.sqrt(1000)
    assert bits.raw.mean() > task.optimum - 4 * error
    if not normaliser.acceptance:
        return
    error_z = normaliser.standard_error / (math.log(2) * task.positions)
    assert bits.corrected.mean() > task.optimum - 4 * (error + error_z)
    shift = -normaliser.log_z / math.log(2) / task.positions
    assert (bits.raw - bits.corrected - shift).abs().max() < 1e-4


def test_a_bound_that_cheats_would_be_noticed():
    """The test above can fail: a log q that is too low puts the figure below the optimum."""
    task = SetShuffling(3)
    model = model_of(CategoricalDequantiser(3, 2), 3)
    honest = model.elbo(task.draw(500, generator()), generator()).raw.mean()
    true_terms = model.terms
    model.terms = lambda *args, **kwargs: (lambda p, prior, q: (p, prior, q - 100.0))(*true_terms(*args, **kwargs))
    assert model.elbo(task.draw(500, generator()), generator()).raw.mean() < min(task.optimum, honest)


@over_every
def test_draws_are_tokens(make):
    model = model_of(build(make, torch.float32), 4)
    for reject in (True, False):
        drawn = model.sample(50, generator(), reject=reject, max_tries=400)
        assert drawn.tokens.shape[1] == 4 and drawn.tokens.dtype == torch.long
        assert drawn.tokens.numel() == 0 or (drawn.tokens.min() >= 0 and drawn.tokens.max() < V)
        assert 0 <= drawn.acceptance <= 1 and 50 <= drawn.tries <= 400
        if not reject:
            assert drawn.tokens.shape == (50, 4) and drawn.tries == 50
    again = model.sample(50, generator(), reject=False)
    assert torch.equal(drawn.tokens, again.tokens)


@over_every
def test_every_weight_of_the_model_is_trained(make):
    model = model_of(build(make, torch.float32), 4)
    loss, reported = model.loss(TokenBatch(torch.randint(V, (64, 4), generator=generator())), generator(), 0.0)
    loss.backward()
    assert all(weight.grad.isfinite().all() for weight in model.parameters())
    assert not reported.requires_grad
    assert loss.item() >= reported.item() * (1 - 1e-5)  # β >= 1 weighs a log p(x|z) <= 0


def test_beta_falls_from_two_to_one():
    assert decoder_weight(0) == 2 and decoder_weight(5000) == 1.5 and decoder_weight(100_000) < 1 + 1e-5
    with pytest.raises(ValueError, match="expected half_life > 0; got 0"):
        decoder_weight(1, 0)
    model = model_of(build(EVERY["categorical, mixture"], torch.float32), 4)
    batch = TokenBatch(torch.randint(V, (64, 4), generator=generator()))
    log_p, log_prior, log_q = model.terms(batch.tokens, generator())
    expected = -(1.5 * log_p + log_prior - log_q).mean() / 4
    assert model.loss(batch, generator(), 0.05)[0].item() == pytest.approx(expected.item(), rel=1e-5)
    model.half_life = 0
    loss, reported = model.loss(batch, generator(), 0.05)
    assert loss.item() == pytest.approx(reported.item(), rel=1e-6)


def test_soft_edges_are_for_the_loss_alone():
    model = model_of(build(EVERY["truncated"], torch.float32), 4)
    with torch.no_grad():
        model.dequantiser.loc.mul_(0.2)  # so that supports overlap
    tokens = torch.randint(V, (64, 4), generator=generator())
    model.half_life, model.edge = 0, 0.0
    hard = model.loss(TokenBatch(tokens), generator(), 0.0)[1].item()
    model.edge = 0.2
    assert abs(model.loss(TokenBatch(tokens), generator(), 0.0)[1].item() - hard) > 1e-3
    assert model.elbo(tokens, generator()).raw.mean().item() == pytest.approx(hard / math.log(2), rel=1e-4)


def test_the_plain_loop_trains_it_and_resumes_in_the_same_bits(tmp_path):
    task, made = SetShuffling(3), []
    for stop in (20, 10):
        torch.manual_seed(0)
        model = DequantisedDensity(TruncatedDequantiser(3, 2), coupling_flow(3, 2, layers=2, components=4, **SMALL))
        made.append(model)
        options = {"learning_rate": 0.02, "progress": False, "checkpoint": tmp_path / str(stop), "checkpoint_every": 10}
        losses = train(model, TaskBatches(task, 32), 20, callback=stopper(stop), **options)
        if stop == 10:
            losses = train(model, TaskBatches(task, 32), 20, resume=True, **options)
        assert len(losses) == 20 and sum(losses[-5:]) < sum(losses[:5])
    for first, second in zip(made[0].parameters(), made[1].parameters()):
        assert torch.equal(first, second)


def test_batches_of_another_kind_do_not_resume():
    batches = TaskBatches(SetShuffling(3), 8, seed=1)
    first, second = (batch.tokens for batch in batches.take(2))
    assert not torch.equal(first, second) and batches.state()["taken"] == 2
    again = TaskBatches(SetShuffling(3), 8, seed=1)
    again.restore({"taken": 1, "seed": 1, "size": 8})
    assert torch.equal(next(again.take(1)).tokens, second)
    with pytest.raises(ValueError, match="expected batches of 8 with seed 1, as before; got 8 with seed 2"):
        TaskBatches(SetShuffling(3), 8, seed=2).restore(batches.state())


def stopper(stop):
    def callback(step, figure):
        if step == stop and stop < 20:
            raise KeyboardInterrupt

    return callback


def test_what_does_not_fit_is_refused():
    code = CategoricalDequantiser(5, 2)
    with pytest.raises(
        ValueError, match="points of 2 coordinates at each position; got 5 features and context width 0"
    ):
        DequantisedDensity(code, neural_spline_flow(5))
    with pytest.raises(ValueError, match="expected a prior without context"):
        DequantisedDensity(code, neural_spline_flow(4, 3))
    model = DequantisedDensity(code, neural_spline_flow(8))
    with pytest.raises(ValueError, match=r"expected tokens of shape \(..., 4\); got shape \(2, 3\)"):
        model.elbo(torch.zeros(2, 3, dtype=torch.long))
    with pytest.raises(ValueError, match="expected at least one draw; got draws=0"):
        model.estimate_normaliser(0)
    with pytest.raises(ValueError, match="expected n >= 1 and max_tries >= n; got n=5 and max_tries=4"):
        model.sample(5, max_tries=4)
    with pytest.raises(ValueError, match="expected tokens as integers of shape .* got torch.float32"):
        code.check_tokens(torch.zeros(2, 4))
    with pytest.raises(
        ValueError, match="expected a flow of 2 features that looks at a context; got one of 8 features"
    ):
        CategoricalDequantiser(5, 2, model.prior.transform)


def test_every_way_through_a_small_model_is_a_bound_by_listing():
    """All 27 sequences: importance-weighted probabilities sum to Z for a prior that couples positions too."""
    model = model_of(build(EVERY["truncated"], torch.float32, size=3, noise=0.1), 3)
    tokens = torch.tensor(list(itertools.product(range(3), repeat=3)))
    with torch.no_grad():
        log_p, log_prior, log_q = model.terms(tokens[:, None].expand(-1, 2000, -1), generator())
        weights = (log_p + log_prior - log_q).exp()
    error = (weights.var(1) / 2000).sum().sqrt()
    normaliser = model.estimate_normaliser(20_000, generator(1))
    assert abs(weights.mean(1).sum() - normaliser.acceptance) < 5 * error + 0.02 and error < 0.1
