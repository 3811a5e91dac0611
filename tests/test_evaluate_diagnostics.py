"""Diagnostics: what is used is counted, what is collapsed is called so, and an encoder that matches has no mismatch."""

import numpy as np
import pytest
import torch
from torch import nn
from torch.distributions import Independent, Normal

import labkit as lk
from labkit.evaluate.diagnostics import diagnose
from labkit.evaluate.proposals import weigh
from labkit.evaluate.windows import LabelledWindows

SMALL = dict(vector_dim=8, word_dim=6, hidden=(8,), steps=1, batch_size=64, init=None)
WORDS = [f"word{i}" for i in range(6)]
AROUND = [f"around{i:02d}" for i in range(40)]


def little_corpus(seed: int, n: int = 300) -> lk.Corpus:
    """Words in sentences of words that do not depend on them."""
    rng = np.random.default_rng(seed)
    rows = [[str(rng.choice(WORDS)), *rng.choice(AROUND, 5).tolist()] for _ in range(n)]
    return lk.Corpus.from_sentences(rows, targets=[0] * n, min_count=1)


def windows_of(model, per_word: int, seed: int, width: int = 5) -> list[LabelledWindows]:
    rng = np.random.default_rng(seed)
    ids = model.vocabulary_.encode(AROUND)
    return [LabelledWindows(word, rng.choice(ids, (per_word, width)), np.full(per_word, "")) for word in WORDS]


class StandardPrior(nn.Module):
    """N(0, I) for every word."""

    def __init__(self, dim: int):
        super().__init__()
        self.dim = dim

    def forward(self, word):
        zeros = torch.zeros(*word.shape[:-1], self.dim)
        return Independent(Normal(zeros, torch.ones_like(zeros)), 1)


class PlantedEncoder(nn.Module):
    """q(z∣w,c) = N(m(c), s²) whose means, over contexts, are N(shift, 1 − s²): with shift 0 they fill N(0, I)."""

    def __init__(self, dim: int, scale: float, shift: float = 0.0):
        super().__init__()
        self.dim, self.scale, self.shift = dim, scale, shift

    def forward(self, context, mask, word):
        means = [torch.randn(self.dim, generator=torch.Generator().manual_seed(hash(tuple(c)) % 2**31))
                 for c in context.tolist()]  # fmt: skip
        mean = self.shift + (1 - self.scale**2) ** 0.5 * torch.stack(means)
        return Independent(Normal(mean, torch.full_like(mean, self.scale)), 1)


def planted(dim: int, rank: int, seed: int, gain: float = 2.0) -> lk.GaussianEmbedding:
    """A model with an affine decoder that sees `rank` directions of z, none of them a coordinate."""
    model = lk.GaussianEmbedding(dim=dim, decoder="affine", seed=seed, **SMALL)
    model.fit(little_corpus(seed), progress=False)
    generator = torch.Generator().manual_seed(seed)
    rotation = torch.linalg.qr(torch.randn(dim, dim, generator=generator))[0][:rank]
    with torch.no_grad():
        model.output.vectors.weight.normal_(generator=generator)
        model.decode.of_place.weight.copy_(gain * torch.randn(8, rank, generator=generator) @ rotation)
    model.prior = StandardPrior(dim)
    return model


@pytest.mark.parametrize("rank", [0, 1, 2, 3, 5])
def test_planted_directions_are_counted_although_no_coordinate_is_one(rank, seed):
    model = planted(6, rank, seed)
    found = diagnose(model, windows_of(model, 20, seed), samples=8)
    assert found.effective_dimensions == rank
    assert found.collapsed == (rank == 0)
    assert f"{rank} of 6 coordinates are used" in found.verdict and found.verdict.startswith("Collapsed") == (rank == 0)
    assert (found.coordinates.information > 0).sum() == (6 if rank else 0)


def test_a_decoder_that_hardly_sees_z_uses_nothing(seed):
    model = planted(4, 2, seed, gain=0.01)
    assert diagnose(model, windows_of(model, 20, seed), samples=8).effective_dimensions == 0


def test_an_encoder_that_fills_the_prior_has_no_mismatch(seed):
    model = planted(2, 2, seed)
    model.encoder = PlantedEncoder(2, 0.4)
    found = diagnose(model, windows_of(model, 200, seed), samples=8)
    assert abs(found.encoder_mismatch) < 0.02
    assert "the encoder agrees with the prior" in found.verdict
    assert found.coordinates.active.to_numpy() == pytest.approx(1 - 0.4**2, abs=0.15)
    expected = 0.5 * (0.4**2 + (1 - 0.4**2) - 1) - np.log(0.4)
    assert found.coordinates.kl.mean() == pytest.approx(expected, rel=0.1)
    assert found.kl == pytest.approx(2 * expected, rel=0.1)


@pytest.mark.parametrize(
    "planted_encoder", [dict(scale=0.4, shift=1.5), dict(scale=0.99999), dict(scale=0.2, shift=1.0)]
)
def test_an_encoder_elsewhere_is_told(planted_encoder, seed):
    model = planted(2, 2, seed)
    model.encoder = PlantedEncoder(2, **planted_encoder)
    found = diagnose(model, windows_of(model, 200, seed), samples=8)
    if planted_encoder.get("shift"):
        assert found.encoder_mismatch > 0.1 and "misses the prior" in found.verdict
    else:  # the prior itself, whatever the context: no mismatch, and nothing active
        assert found.encoder_mismatch < 0.02 and found.coordinates.collapsed.all() and found.collapsed
        assert found.active_units == 0


def test_a_heavy_kl_weight_collapses_the_posterior(seed):
    settings = SMALL | dict(steps=250, learning_rate=0.02)
    rng = np.random.default_rng(seed)
    halves = [AROUND[:20], AROUND[20:]]
    rows = [[str(rng.choice(WORDS)), *rng.choice(halves[int(rng.integers(2))], 5).tolist()] for _ in range(1500)]
    corpus = lk.Corpus.from_sentences(rows, targets=[0] * 1500, min_count=1)

    class Heavy(lk.GaussianEmbedding):
        beta = 100.0

        def kl_weight_at(self, share):
            return self.beta

    free = lk.GaussianEmbedding(dim=2, seed=seed, **settings)
    heavy = Heavy(dim=2, seed=seed, samples=1, **settings)  # with more samples β above 1 rewards a distant proposal
    verdicts = [diagnose(model.fit(corpus, progress=False), samples=16) for model in (free, heavy)]
    assert not verdicts[0].collapsed and verdicts[0].kl > 0.3
    assert verdicts[1].collapsed and verdicts[1].kl < 0.05 and verdicts[1].verdict.startswith("Collapsed")


def test_exact_weights_make_every_sample_count(seed):
    """With a decoder that is blind and q = p all weights are the same."""
    model = planted(3, 0, seed)
    model.encoder = PlantedEncoder(3, 1.0)
    drawn = weigh(model, windows_of(model, 5, seed), samples=16)
    assert drawn.effective_sample_size.numpy() == pytest.approx(16, rel=1e-4)
    assert drawn.log_ratio.abs().max() < 1e-5


def test_the_bound_is_that_of_the_model(seed):
    model = lk.StochasticEmbedding(dim=2, seed=seed, **SMALL).fit(little_corpus(seed), progress=False)
    model.encoder = PlantedEncoder(2, 0.95)  # so wide that no weight is large
    windows = windows_of(model, 10, seed)
    drawn = weigh(model, windows, samples=1000)
    context = torch.as_tensor(windows[0].context)
    expected = model.bound(windows[0].word, context, context >= 0, samples=1000)
    assert drawn.bound[:10].numpy() == pytest.approx(expected.numpy(), abs=0.15)


def test_windows_come_from_the_corpus_of_the_model(seed):
    model = lk.GaussianEmbedding(dim=2, seed=seed, **SMALL).fit(little_corpus(seed), progress=False)
    found = diagnose(model, samples=4, per_word=10)
    assert (found.words, found.windows) == (6, 60)
    model.corpus_ = None
    with pytest.raises(ValueError, match="the model knows no corpus; expected model.corpus_ = corpus, or windows"):
        diagnose(model)


def test_bad_windows(seed):
    model = lk.GaussianEmbedding(dim=2, seed=seed, **SMALL).fit(little_corpus(seed), progress=False)
    with pytest.raises(ValueError, match="no word with two windows"):
        diagnose(model, windows_of(model, 1, seed))
    empty = [LabelledWindows(WORDS[0], np.full((3, 4), -1), np.full(3, ""))]
    with pytest.raises(ValueError, match="at least one word in each"):
        diagnose(model, empty)


def test_a_model_that_is_not_fitted():
    with pytest.raises(lk.embeddings.base.NotFittedError):
        diagnose(lk.GaussianEmbedding(dim=2))
