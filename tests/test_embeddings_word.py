"""The density of a word: its total mass, evidence, and Bayes' rule."""

import math

import numpy as np
import pytest
import torch
from torch.distributions import Independent, Normal

import labkit.embeddings.word as word_module
from labkit import load_corpus
from labkit.density import Grid, draw
from labkit.embeddings import PointEmbedding, StochasticEmbedding, WordDensity
from labkit.text import Corpus
from tests.test_embeddings_models import SMALL, TRAINED, WORDS, trained

ON_A_GRID = [name for name in TRAINED if name != "flow in space"]
RIVER = "we sat on the grassy bank of the river"


@pytest.fixture(scope="module")
def model():
    """Models by name, each trained once on a few words of the built-in corpus."""
    return trained


def fine_grid(density, cells: int, room: float = 1.5) -> Grid:
    """A grid with the whole of a density on it, and room around."""
    k = density.event_shape[0]
    samples = draw(density, 4000)
    pad = room * (samples.amax(0) - samples.amin(0))
    return Grid(samples.amin(0) - pad, samples.amax(0) + pad, (cells,) * k)


@torch.no_grad()
def log_joint(model, word: str, contexts, points):
    """log p(z∣w) + Σ_j log p(c_j∣z,w) at places (N, k) for n contexts, written out: (n, N)."""
    hidden = model.decode(points, model.word_vector(word))
    scores = hidden @ model.output.vectors.weight.T + model.output.bias.weight.squeeze(-1)
    log_prob, log_prior = scores.log_softmax(-1), model.prior_of(word).log_prob(points)
    return torch.stack([log_prior + log_prob[:, [i for i in c if i >= 0]].sum(1) for c in contexts])


# --- densities ----------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_A_GRID)
@pytest.mark.parametrize("word", ["bank", "tuesday"])
def test_total_mass_is_one(model, name, word):
    density = model(name)[word]
    grid = fine_grid(density, 4001 if density.event_shape[0] == 1 else 401)
    assert float(grid.integrate(density.log_prob(grid.points).exp())) == pytest.approx(1, abs=1e-3)


def test_total_mass_is_one_in_space(model):
    """By importance sampling from a wide normal: its standard error is given, five of them allowed."""
    density = model("flow in space")["bank"]
    samples = draw(density, 4000)
    wide = Independent(Normal(samples.mean(0), 1.7 * samples.std(0)), 1)
    z = draw(wide, 60_000)
    weights = (density.log_prob(z) - wide.log_prob(z)).exp()
    assert abs(weights.mean() - 1) < 5 * weights.std() / math.sqrt(len(weights)) < 0.1


@pytest.mark.parametrize("name", TRAINED)
def test_sampling_is_reproducible_with_a_generator(model, name):
    density = model(name)["bank"]
    first, second = (density.sample((3, 4), torch.Generator().manual_seed(1)) for _ in range(2))
    assert torch.equal(first, second) and first.shape == (3, 4, *density.event_shape)
    assert density.sample().shape == density.event_shape and density.log_prob(first).shape == (3, 4)


@pytest.mark.parametrize("name", TRAINED)
def test_gradients_are_there_where_they_are_asked_for(model, name):
    density = model(name)["bank"]
    z = density.sample((5,))
    assert not density.log_prob(z).requires_grad
    (gradient,) = torch.autograd.grad(density.log_prob(z.requires_grad_()).sum(), z)
    assert gradient.isfinite().all() and gradient.abs().sum() > 0


def test_a_mixture_has_no_differentiable_samples(model):
    assert model("flow")["bank"].has_rsample and model("flow")["bank"].rsample((2,)).requires_grad
    assert not model("mixture")["bank"].has_rsample


def test_a_point_is_a_distribution_too():
    point = PointEmbedding(vector_dim=4, steps=2, batch_size=64).fit(load_corpus("senses", per_word=5), progress=False)
    bank = point["bank"]
    assert torch.equal(bank.sample((2,))[1], bank.location) and repr(bank) == "WordPoint('bank'; 4 dimensions)"
    assert bank.log_prob(torch.stack([bank.location, bank.location + 1])).tolist() == [math.inf, -math.inf]
    assert bank.given(RIVER) is bank
    with pytest.raises(ValueError, match="a point has one sense; expected 0 or None"):
        point.most_similar("bank", sense=1)
    assert len(point.most_similar("bank", n=3)) == 3


def test_a_gaussian_is_gaussian(model):
    """log p of the affine flow is a quadratic: third differences vanish."""
    density = model("gaussian")["bank"]
    line = torch.linspace(-3, 3, 9)[:, None] * torch.tensor([[0.6, -0.8]])
    third = density.log_prob(line).double().diff(n=3)
    assert third.abs().max() < 1e-3


# --- evidence -----------------------------------------------------------------------------------------------------


@pytest.fixture(scope="module")
def windows(model):
    """A few windows of each word, (n, M)."""
    return {word: model("flow").occurrences(word)[1].context[:12] for word in WORDS}


@pytest.mark.parametrize("name", ON_A_GRID)
@pytest.mark.parametrize("word", ["bank", "tuesday"])
def test_evidence_is_the_integral(model, windows, name, word):
    trained = model(name)
    grid = fine_grid(trained[word], 2001 if trained.latent_dim == 1 else 101, room=0.3)
    found = trained[word].evidence(windows[word][:6]).log_prob
    brute = log_joint(trained, word, windows[word][:6], grid.points).logsumexp(1) + math.log(grid.cell_volume)
    assert torch.allclose(found, brute, rtol=0, atol=1e-2)  # of about −35 nats


@pytest.mark.parametrize("name", ["flow", "mixture", "truncated"])
def test_evidence_does_not_depend_on_the_grid(model, windows, name, monkeypatch):
    values = {}
    for resolution, reach in ((91, 14.0), (181, 14.0), (91, 40.0)):
        monkeypatch.setattr(word_module, "RESOLUTION", resolution)
        monkeypatch.setattr(word_module, "REACH", reach)
        density = WordDensity(model(name), "bank")  # the model keeps its own, on the usual grid
        values[resolution, reach] = density.evidence(windows["bank"]).log_prob
    usual = values.pop((91, 14.0))
    assert all((usual - other).abs().max() < 1e-3 for other in values.values())  # nats a window


@pytest.mark.parametrize("name", ["flow", "mixture", "flow in space"])
def test_the_bound_is_below_the_evidence_and_rises(model, windows, name):
    trained, context = model(name), torch.as_tensor(windows["bank"])
    bounds = torch.stack([
        torch.stack([trained.bound("bank", context, context >= 0, samples, seed) for seed in range(8)]).mean(0)
        for samples in (1, 4, 16)
    ]).mean(1)  # fmt: skip
    assert bounds[0] < bounds[1] < bounds[2]
    if trained.latent_dim < 3:
        evidence = trained["bank"].evidence(context)
        assert bounds[2] < evidence.log_prob.mean() + 0.02 and bounds[2] > evidence.log_prob.mean() - 1


def test_evidence_of_a_repeated_and_of_no_word(model):
    trained = model("flow")
    river = trained.vocabulary_["river"]
    evidence = trained["bank"].evidence(np.array([[river, river], [river, -1], [-1, river], [-1, -1]])).log_prob
    assert evidence[1] == evidence[2] and float(evidence[3]) == pytest.approx(0, abs=1e-5)
    assert 2 * evidence[1] <= evidence[0] + 1e-4 < evidence[1]  # E[p²] ≥ E[p]²


# --- Bayes' rule --------------------------------------------------------------------------------------------------


@pytest.mark.parametrize("name", ON_A_GRID)
def test_given_is_prior_times_likelihood(model, name):
    trained = model(name)
    moved = trained["bank"].given(RIVER)
    ids = trained.encode_context(RIVER, "bank")
    grid = fine_grid(moved, 2001 if trained.latent_dim == 1 else 101, room=0.3)
    joint = log_joint(trained, "bank", [ids], grid.points)[0]
    log_evidence = grid.log_mass(joint).logsumexp(0)
    assert moved.log_evidence.value == pytest.approx(float(log_evidence), abs=2e-2)
    likely = joint > joint.max() - 8
    assert torch.allclose(moved.log_prob(grid.points)[likely], (joint - log_evidence)[likely], atol=5e-2)
    assert moved.effective_sample_size is None
    assert repr(moved).endswith(f"given {RIVER!r}; {trained.latent_dim} dimensions)")


def test_given_in_space_agrees_with_a_grid(model):
    trained = model("flow in space")
    moved = trained["bank"].given(RIVER)
    samples = draw(trained.prior_of("bank"), 4000)
    pad = 0.3 * (samples.amax(0) - samples.amin(0))
    lower, step = samples.amin(0) - pad, (samples.amax(0) - samples.amin(0) + 2 * pad) / 31
    points = lower + step * (torch.cartesian_prod(*3 * [torch.arange(31)]) + 0.5)
    log_mass = torch.cat([
        log_joint(trained, "bank", [trained.encode_context(RIVER, "bank")], part)[0] for part in points.split(8192)
    ]) + step.log().sum()  # fmt: skip
    weights = log_mass.softmax(0)
    mean = weights @ points
    spread = (weights @ (points - mean).square()).sqrt()
    error = spread / math.sqrt(moved.effective_sample_size)
    assert moved.effective_sample_size > 100
    assert ((moved.prior.mean - mean).abs() < 5 * error + 0.02 * spread).all()
    value, stderr = moved.log_evidence
    assert value == pytest.approx(float(log_mass.logsumexp(0)), abs=5 * stderr + 0.02)


def test_the_posterior_in_space_has_the_slope_of_its_likelihood(model):
    """Ascent to the modes of a moved density climbs prior *and* likelihood."""
    trained = model("flow in space")
    moved = trained["bank"].given(RIVER)
    z = moved.sample((4,)).requires_grad_()
    (slope,) = torch.autograd.grad(moved.log_prob(z).sum(), z)
    (of_prior,) = torch.autograd.grad(trained.prior_of("bank").log_prob(z).sum(), z)
    step = 1e-2 * torch.eye(3)
    numeric = torch.stack([(moved.log_prob(z + s) - moved.log_prob(z - s)) / 2e-2 for s in step], -1)
    assert torch.allclose(slope, numeric, rtol=0.1, atol=0.1) and (slope - of_prior).abs().max() > 0.1


def test_a_context_moves_the_density_towards_its_sense():
    """A corpus of two plain senses: what is given decides where the mass goes."""
    texts = ["river boat water bank", "money loan cheque bank"] * 30
    corpus = Corpus.from_sentences(texts, targets=["bank"] * 60, min_count=1)
    trained = StochasticEmbedding(**SMALL | {"steps": 150, "samples": 3, "batch_size": 20}).fit(corpus, progress=False)
    bank = trained["bank"]
    river, money = (bank.given(words).sample((500,), torch.Generator().manual_seed(0)) for words in ("river", "money"))
    apart = (river.mean(0) - money.mean(0)).norm()
    assert apart > 1.5 * (river.std(0) + money.std(0)).norm() / 2


def test_given_twice_is_given_both(model):
    bank = model("flow")["bank"]
    ids = model("flow").vocabulary_
    both = bank.given(["river", "loan"]).log_evidence.value
    first = bank.given(["river"])
    assert first.log_evidence.value + first.given(["loan"]).log_evidence.value == pytest.approx(both, abs=2e-2)
    assert "river" in ids and "loan" in ids
