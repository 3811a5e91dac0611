"""Words as tokens, the density of a word after a text, and language models as folders."""

import json
import math

import numpy as np
import pytest
import torch

from labkit.dequantise import TruncatedDequantiser
from labkit.dequantise.tasks import TokenBatch
from labkit.folders import CheckpointError
from labkit.language import (
    Affine,
    Alphabet,
    DiscreteLM,
    GaussianCode,
    MixD,
    StochasticLM,
    TarFlowLM,
    Words,
    load_language_model,
    save_language_model,
)
from labkit.text import Corpus, Vocabulary
from labkit.text.vocabulary import UnknownWord

SIZES = dict(width=8, heads=2)
LINES = ["We sat on the bank.", "", "The bank lends money.", "!!", "A bank of the river."]


@pytest.fixture(scope="module")
def corpus():
    return Corpus.from_sentences(LINES, min_count=1)


@pytest.fixture(scope="module")
def words(corpus):
    return Words.of(corpus)


def generator(seed=0):
    return torch.Generator().manual_seed(seed)


# --- words as tokens ----------------------------------------------------------------------------------------------


def test_a_stream_holds_every_sentence_between_stops_and_reads_back(corpus, words):
    stream = words.stream(corpus)
    assert words.decode(stream) == "· we sat on the bank · the bank lends money · a bank of the river ·"
    assert len(stream) == corpus.n_tokens + 3 + 1 and stream.dtype == np.int32  # two sentences are empty
    assert words.encode(words.decode(stream)).tolist() == stream.tolist()
    assert max(stream) == words.stop == len(words) - 1 == len(corpus.vocabulary)


def test_words_of_a_text_a_list_and_an_unknown_one(words):
    assert words.decode(words.encode("The BANK, lends")) == "the bank lends"
    assert words.encode(["·", "bank"]).tolist() == [words.stop, words.vocabulary["bank"]]
    assert words.encode("").tolist() == [] and words.encode("·").tolist() == [words.stop]
    with pytest.raises(UnknownWord, match="'bnak' is not in the vocabulary of 10 words; nearest: 'bank'"):
        words.encode("the bnak")
    with pytest.raises(ValueError, match="there is no word with id -1"):
        words.decode([-1])


def test_a_corpus_of_other_words_is_refused(words):
    other = Corpus.from_sentences(["Another bank."], min_count=1)
    with pytest.raises(ValueError, match=r"expected a corpus with this vocabulary of 10 words; got one of 2"):
        words.stream(other)


# --- the density of a word where it stands -------------------------------------------------------------------------


@pytest.fixture(scope="module")
def model():
    torch.manual_seed(0)
    model = StochasticLM(5, 8, k=2, blocks=1, bottleneck=True, **SIZES).double()
    with torch.no_grad():  # away from the start, where the flow is the identity and z says little
        for weight in model.parameters():
            weight.add_(0.1 * torch.randn_like(weight))
        model.decoder.last.weight.mul_(5)
    return model


def test_the_density_after_a_text_is_that_of_its_last_token(model):
    text = torch.tensor([0, 3, 1])
    z = torch.randn(7, 2, dtype=torch.float64, generator=generator())
    alone, whole = model.density(text), model.embedding(torch.tensor([[0, 3, 1, 4]]))
    assert alone.batch_shape == () and torch.allclose(alone.log_prob(z), whole.log_prob(z[:, None, None])[:, 0, 2])
    assert not torch.allclose(alone.log_prob(z), model.density(text[1:]).log_prob(z))


def test_bayes_rule_over_z_is_the_predictive_distribution(model):
    """Σ_x p(x∣text) = 1 by the evidences of all tokens, and each is that of many draws."""
    text = torch.tensor([0, 3, 1])
    posteriors = [model.given_next(text, token) for token in range(5)]
    evidence = torch.tensor([posterior.log_evidence.value for posterior in posteriors])
    assert abs(evidence.exp().sum().item() - 1) < 2e-3
    drawn = model.next_log_probs(torch.cat((text, text[:1]))[None], 4096, generator())[0, -1].float()
    assert torch.allclose(evidence.float(), drawn, atol=0.05)
    mean = sum(e.exp() * posterior.mean for e, posterior in zip(evidence, posteriors))  # the tower rule
    draws = model.density(text).sample((4000,), generator=generator())
    assert torch.allclose(mean, draws.mean(0), atol=0.1)
    weights = model.next_given(text, draws)[:, 3].softmax(0)  # Bayes' rule by importance, of one token
    assert torch.allclose(posteriors[3].mean, weights @ draws, atol=0.1)
    assert (posteriors[3].mean - posteriors[1].mean).abs().max() > 0.1  # tokens differ in where they pull
    with pytest.raises(ValueError, match="token 5 is outside the vocabulary"):
        model.given_next(text, 5)


def test_through_a_bottleneck_a_place_means_the_same_after_every_text(model):
    places = torch.tensor([[0.5, -1.0], [-2.0, 0.3]], dtype=torch.float64)
    free = StochasticLM(5, 8, k=2, blocks=1, **SIZES).double()
    for one, same in ((model, True), (free, False)):
        here, there = (one.next_given(torch.tensor(text), places) for text in ([0, 3, 1], [2, 4]))
        assert torch.allclose(here, there) == same
    with pytest.raises(ValueError, match="k=0 coordinates let nothing through; expected k >= 1 for a bottleneck"):
        StochasticLM(5, 8, k=0, bottleneck=True, blocks=1, **SIZES)


def test_behind_a_bottleneck_a_fresh_density_is_narrow_and_speaks_of_the_text():
    torch.manual_seed(0)
    fresh = StochasticLM(5, 8, k=2, blocks=1, bottleneck=True, **SIZES)
    texts = torch.cartesian_prod(torch.arange(5), torch.arange(5))
    draws = fresh.embedding(texts).sample((2000,), generator=generator())[..., 1, :]  # after the second token
    assert draws.std(0).mean() == pytest.approx(math.exp(-1), abs=0.02)
    means = draws.mean(0).reshape(5, 5, 2)
    assert means.std(0).mean() > 0.05  # over the token before, with the same newest one


def test_the_rate_is_a_divergence_and_its_price_comes_in_the_second_half():
    """Of sequences of one token, before which stands the same start: one Gaussian, whose divergence is known."""
    torch.manual_seed(0)
    model = StochasticLM(5, 8, k=2, layers=0, blocks=1, bottleneck=True, rate_weight=0.5, **SIZES).double()
    tokens = torch.zeros(20_000, 1, dtype=torch.long)
    rows, h = model._read(tokens[:1])
    z = model.prior(model.prior_context(h, rows)[0, 0]).sample((20_000,), generator=generator())
    exact = 0.5 * (z.mean(0).square() + z.var(0) - 1 - z.var(0).log()).sum().item()
    assert model.usage(tokens, generator()).rate == pytest.approx(exact, rel=0.03)
    for share, weight in ((0.0, 0.0), (0.5, 0.0), (0.75, 0.25)):
        loss, nats = model.loss(TokenBatch(tokens), generator(), share)
        assert (loss - nats).item() == pytest.approx(weight * exact, rel=0.03)
    free = StochasticLM(5, 8, k=2, blocks=1, **SIZES)
    assert free.usage(tokens[:9], generator()).rate == pytest.approx(0, abs=1e-6)  # fresh, it is the standard normal


# --- folders ------------------------------------------------------------------------------------------------------

MODELS = {
    "discrete": lambda: DiscreteLM(5, 8, blocks=2, **SIZES),
    "stochastic": lambda: StochasticLM(5, 8, k=1, layers=1, blocks=1, bottleneck=True, rate_weight=0.1, **SIZES),
    "no z": lambda: StochasticLM(5, 8, k=0, blocks=1, **SIZES),
    "affine": lambda: TarFlowLM(5, 8, 2, Affine, (2, 1), patch=2, mixing=False, **SIZES),
    "mix-d": lambda: TarFlowLM(5, 8, 2, MixD, (1,), code=GaussianCode(5, 2, (0.9, 0.1), 0.7), **SIZES),
}


@pytest.mark.parametrize("name", MODELS)
def test_a_saved_model_is_the_same_to_the_bit(name, tmp_path):
    torch.manual_seed(0)
    model, alphabet = MODELS[name](), Alphabet("abcde")
    if hasattr(model, "code"):
        model.code.anneal(0.4)  # where the schedule stands is kept
    save_language_model(model, tmp_path / "m", alphabet, steps=7)
    again, letters = load_language_model(tmp_path / "m")
    tokens = torch.randint(5, (3, 8), generator=generator())
    assert torch.equal(model.bound(tokens, 2, generator()), again.bound(tokens, 2, generator()))
    assert torch.equal(model.generate(2, generator=generator()), again.generate(2, generator=generator()))
    assert letters.letters == "abcde" and not again.training
    assert json.loads((tmp_path / "m" / "settings.json").read_text())["notes"] == {"steps": 7}


def test_words_are_saved_with_the_model(words, tmp_path):
    save_language_model(DiscreteLM(len(words), 8, blocks=1, **SIZES), tmp_path / "m", words)
    again = load_language_model(tmp_path / "m")[1]
    assert (
        again.vocabulary == words.vocabulary
        and again.encode("· The bank").tolist() == words.encode(["·", "the", "bank"]).tolist()
    )


def test_what_cannot_be_saved_or_read(words, tmp_path):
    model = MODELS["discrete"]()
    with pytest.raises(ValueError, match="expected tokens of 5 kinds, as the model has; got 27"):
        save_language_model(model, tmp_path / "m", Alphabet())
    trufl = TarFlowLM(5, 8, 2, MixD, (1,), code=TruncatedDequantiser(5, 2), **SIZES)
    with pytest.raises(ValueError, match="expected a GaussianCode .* got TruncatedDequantiser and MixD"):
        save_language_model(trufl, tmp_path / "m", Alphabet("abcde"))
    mine = Words(Vocabulary(["a", "b", "c", "d"], [1] * 4), str.split)
    with pytest.raises(ValueError, match="expected a Tokenizer, which can be saved; got <method 'split'"):
        save_language_model(model, tmp_path / "m", mine)
    assert not (tmp_path / "m").exists()
    with pytest.raises(FileNotFoundError, match="nowhere is no labkit checkpoint"):
        load_language_model("nowhere")
    with pytest.raises(CheckpointError, match="quickstart holds no language model of format 1"):
        load_language_model("quickstart")
    save_language_model(model, tmp_path / "m", Alphabet("abcde"))
    (tmp_path / "m" / "tokens.json").write_text("{}")
    with pytest.raises(CheckpointError, match="is truncated or was changed"):
        load_language_model(tmp_path / "m")
