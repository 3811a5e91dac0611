"""What every embedding promises, whatever it makes of a word: one suite, run over all classes."""

import inspect

import numpy as np
import pytest
import torch

from labkit import NotFittedError
from labkit.embeddings import Embedding
from labkit.embeddings.saving import REGISTRY
from labkit.text import Corpus
from tests.test_embeddings_models import MODELS, corpus, fitted, log_prob


@pytest.fixture(scope="module")
def models():
    """Each model trained once, for questions that change nothing."""
    trained = {}

    def get(name: str) -> Embedding:
        if name not in trained:
            trained[name] = fitted(name)
        return trained[name]

    return get


@pytest.fixture(params=MODELS)
def name(request) -> str:
    return request.param


def test_every_registered_class_is_tried():
    assert {type(make()) for make in MODELS.values()} >= set(REGISTRY.values())


def test_hyper_parameters_are_those_of_init(name):
    model = MODELS[name]()
    assert list(model.get_params()) == list(inspect.signature(type(model).__init__).parameters)[1:]
    assert model.set_params(steps=7) is model and model.get_params()["steps"] == 7


def test_a_clone_has_the_same_hyper_parameters(name):
    model = MODELS[name](steps=7)
    assert type(model)(**model.get_params()).get_params() == model.get_params()


def test_scikit_learn_can_clone_it(name):
    from sklearn.base import clone

    model = MODELS[name](seed=3)
    assert clone(model).get_params() == model.get_params()


def test_set_params_names_what_there_is(name):
    with pytest.raises(ValueError, match="no parameter 'stepz'; expected one of .*steps"):
        MODELS[name]().set_params(stepz=1)


def test_before_fit(name):
    model = MODELS[name]()
    for ask in (lambda: model["bank"], lambda: model.words, lambda: model.save("nowhere"), lambda: model.words_,
                lambda: model.encode_context("river", "bank"), lambda: model.n_parameters_,
                lambda: model.vocabulary_):  # fmt: skip
        with pytest.raises(NotFittedError, match="not fitted"):
            ask()
    assert "bank" not in model


def test_fit_returns_the_model_and_leaves_its_attributes(name):
    model = MODELS[name]()
    assert model.fit(corpus(), progress=False) is model
    assert model.words_ == model.words and set(model.words_) == {"bank", "spring"}
    assert model.counts_[model.row("bank")] == 12 and len(model.losses_) == 8 and model.seconds_ > 0
    assert not model.training and model.n_parameters_ == sum(p.numel() for p in model.parameters())
    assert model.count_parameters(2, len(model.vocabulary_)) == model.n_parameters_


def test_training_lowers_the_loss(name):
    losses = fitted(name, steps=40, negatives=0, learning_rate=0.1).losses_
    assert np.mean(losses[-5:]) < np.mean(losses[:5]) - 0.1


def test_every_word_is_a_centre_without_marks(name):
    model = fitted(name, marked=False)
    assert set(model.words_) == set(model.vocabulary_.words)


def test_an_unknown_word_brings_the_nearest_spellings(models, name):
    with pytest.raises(KeyError, match="'bnak' is not in the vocabulary .* nearest: 'bank'"):
        models(name)["bnak"]


def test_a_word_of_contexts_alone_says_so(models, name):
    with pytest.raises(KeyError, match="'river' occurs in this corpus only around other words"):
        models(name)["river"]
    assert "river" not in models(name) and "bank" in models(name)


def test_a_context_without_a_known_word(models, name):
    for context in ("xylophone zebra", [], "bank"):
        with pytest.raises(ValueError, match="no word of the context is known"):
            models(name)["bank"].given(context)


def test_a_context_may_be_a_sentence_or_words(models, name):
    density = models(name)["bank"]
    assert density.given("The RIVER, by the bank").event_shape == density.given(["river", "by"]).event_shape


def test_evidence_is_normalised_over_single_words(models, name):
    if name == "flow in space":
        pytest.skip("modes in space take seconds to find; see test_embeddings_word.py")
    model = models(name)
    every_word = np.arange(len(model.vocabulary_))[:, None]
    evidence = model["bank"].evidence(every_word)
    assert float(evidence.log_prob.exp().sum()) == pytest.approx(1, abs=1e-4)
    assert torch.allclose(evidence.mode_mass.sum(1), torch.ones(len(every_word)), atol=1e-4)


@pytest.mark.parametrize("initial", ["spectral", None])
def test_the_same_seed_gives_the_same_bits(name, initial):
    first, second = (fitted(name, seed=5, init=initial) for _ in range(2))
    assert first.losses_ == second.losses_
    weights, others = first.state_dict(), second.state_dict()
    assert all(torch.equal(weights[key], others[key]) for key in weights)
    assert torch.equal(log_prob(first), log_prob(second))
    assert fitted(name, seed=6, init=initial).losses_ != first.losses_


def test_a_second_fit_starts_anew(name):
    model = fitted(name)
    assert model.fit(corpus(), progress=False).losses_ == fitted(name).losses_


def test_fitting_leaves_the_random_state_of_torch_alone(name):
    before = torch.get_rng_state()
    fitted(name)
    assert torch.equal(torch.get_rng_state(), before)


BAD = {
    "dim": (0, -1, 1.5, "two", True, float("nan")), "vector_dim": (0,), "word_dim": (0,), "samples": (0,),
    "steps": (0,), "batch_size": (0,), "window": (0,), "negatives": (-1,), "components": (0,), "k": (0, 6, 1.5),
    "seed": (-1, None), "hidden": ((), (0,), 8), "learning_rate": (-0.1, 0, float("nan"), "fast"),
}  # fmt: skip


@pytest.mark.parametrize("parameter", BAD)
def test_a_bad_hyper_parameter_is_named_in_fit(name, parameter):
    model = MODELS[name]()
    if parameter not in model.get_params():
        pytest.skip(f"{type(model).__name__} has no {parameter}")
    for value in BAD[parameter]:
        with pytest.raises(ValueError, match=f"{parameter} is .*; expected"):
            MODELS[name](**{parameter: value}).fit(corpus(), progress=False)


def test_an_unknown_decoder_leaves_the_model_unfitted():
    model = fitted("flow")
    with pytest.raises(ValueError, match="decoder is 'cubic'; expected 'nonlinear' or 'affine'"):
        model.set_params(decoder="cubic").fit(corpus(), progress=False)
    with pytest.raises(NotFittedError):
        model["bank"]


@pytest.mark.skipif(torch.cuda.is_available(), reason="there is a GPU here")
def test_a_gpu_where_there_is_none(name):
    with pytest.raises(ValueError, match="no GPU here; expected 'cpu' or 'auto'"):
        MODELS[name](device="cuda").fit(corpus(), progress=False)


@pytest.mark.parametrize("device", ["gpu", "meta"])
def test_a_device_that_is_none(device):
    with pytest.raises(ValueError, match=f"device is '{device}'; expected 'auto'"):
        MODELS["point"](device=device).fit(corpus(), progress=False)


def test_a_corpus_of_one_distinct_word(name):
    with pytest.raises(ValueError, match="only one distinct word, 'bank'"):
        MODELS[name]().fit(Corpus.from_sentences(["bank bank bank"], min_count=1), progress=False)


def test_a_corpus_of_two_words(name):
    pair = Corpus.from_sentences(["river bank"] * 8, min_count=1)
    model = MODELS[name](steps=30, learning_rate=0.1).fit(pair, progress=False)
    context = torch.tensor([[model.vocabulary_["river"]], [model.vocabulary_["bank"]]])
    is_point = name == "point"
    likelihood = model["bank"].evidence(context)[0] if is_point else model.bound("bank", context, context >= 0)
    assert likelihood[0] > likelihood[1]
