"""What every embedding promises, whatever it makes of a word: one suite, run over all classes."""

import inspect
import json

import numpy as np
import pytest
import torch

from labkit import CheckpointError, NotFittedError, load
from labkit.embeddings import (
    Embedding,
    GaussianEmbedding,
    MixtureEmbedding,
    PointEmbedding,
    StochasticEmbedding,
    TruncatedEmbedding,
)
from labkit.embeddings.saving import REGISTRY
from labkit.text import Corpus, Tokenizer

QUICK = dict(vector_dim=12, negatives=8, steps=8, batch_size=16, learning_rate=0.02)
LATENT = QUICK | dict(word_dim=6, hidden=(8,), samples=2)
MODELS = {
    "point": lambda **new: PointEmbedding(**QUICK | new),
    "gaussian": lambda **new: GaussianEmbedding(**LATENT | new),
    "mixture": lambda **new: MixtureEmbedding(**LATENT | {"components": 2} | new),
    "flow": lambda **new: StochasticEmbedding(**LATENT | new),
    "flow on a line": lambda **new: StochasticEmbedding(**LATENT | {"dim": 1} | new),
    "flow in space": lambda **new: StochasticEmbedding(**LATENT | {"dim": 3} | new),
    "affine decoder": lambda **new: StochasticEmbedding(**LATENT | {"decoder": "affine"} | new),
    "truncated": lambda **new: TruncatedEmbedding(**LATENT | {"dim": 5, "k": 2} | new),
    "all of D": lambda **new: TruncatedEmbedding(**LATENT | {"dim": 2, "k": 2} | new),
}
SENTENCES = [
    ("we sat on the grassy bank by the river", "bank"),
    ("the bank raised the interest on my loan", "bank"),
    ("the muddy bank of the river gave way", "bank"),
    ("a bank keeps money safe for a fee", "bank"),
    ("tulips bloom in spring near the river", "spring"),
    ("a metal spring broke in the clock", "spring"),
] * 3


def corpus(marked=True) -> Corpus:
    texts, words = zip(*SENTENCES)
    return Corpus.from_sentences(texts, targets=words if marked else None, min_count=1)


def fitted(name: str, marked=True, **settings) -> Embedding:
    return MODELS[name](**settings).fit(corpus(marked), progress=False)


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


def log_prob(model, word="bank"):
    """log p(c∣w) of a window; for k = 3 by the bound, since modes in space take seconds to find."""
    context = torch.tensor([[model.vocabulary_["river"], model.vocabulary_["the"], -1]])
    if getattr(model, "latent_dim", 0) > 2:
        return model.bound(word, context, context >= 0)
    return model[word].evidence(context).log_prob


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


def test_save_and_load(models, name, tmp_path):
    model = models(name)
    model.save(tmp_path / "model")
    again = load(tmp_path / "model")
    assert type(again) is type(model) and again.get_params() == model.get_params()
    assert again.words_ == model.words_ and again.seconds_ == model.seconds_
    assert torch.equal(log_prob(again), log_prob(model))
    if name not in ("point", "flow in space"):
        z = torch.randn(5, model.latent_dim, generator=torch.Generator().manual_seed(0))
        assert torch.equal(again["bank"].log_prob(z), model["bank"].log_prob(z))
        assert again["bank"].modes()[0].sentences == ()  # its corpus has no name to find it by
    assert {file.suffix for file in (tmp_path / "model").iterdir()} == {".json", ".safetensors"}


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
    "dim": (0, -1, 1.5, "two", True, float("nan")), "vector_dim": (0,), "word_dim": (0,), "samples": (0,), "steps": (0,),
    "batch_size": (0,), "window": (0,), "negatives": (-1,), "components": (0,), "k": (0, 6, 1.5), "seed": (-1, None),
    "hidden": ((), (0,), 8), "learning_rate": (-0.1, 0, float("nan"), "fast"),
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
    likelihood = model["bank"].evidence(context).log_prob if name == "point" else model.bound("bank", context, context >= 0)
    assert likelihood[0] > likelihood[1]


VECTORS = {
    "word2vec": "2 12\nbank {a}\nriver {b}\n",
    "GloVe": "bank {a}\nriver {b}\n",
    "blanks in words": "bank {a}\n. . . {b}\nriver {b}\n",
}


@pytest.mark.parametrize("name", ["point", "flow"])
@pytest.mark.parametrize("layout", VECTORS)
def test_vectors_from_a_text_file(name, layout, tmp_path):
    a, b = (" ".join(str(round(x, 3)) for x in np.random.default_rng(i).normal(size=12)) for i in range(2))
    path = tmp_path / "vectors.txt"
    path.write_text(VECTORS[layout].format(a=a, b=b))
    model = fitted(name, init=path)
    assert len(model.losses_) == 8 and not torch.equal(log_prob(model), log_prob(fitted(name, init=None)))
    model.save(tmp_path / "model")  # a path is plain text in JSON
    assert json.loads((tmp_path / "model" / "settings.json").read_text())["params"]["init"] == str(path)


def test_words_without_a_vector_keep_their_random_one(name, tmp_path):
    path = tmp_path / "vectors.txt"
    path.write_text("bank " + " ".join(["0.5", "-0.5"] * 6) + "\n")
    model = fitted(name, init=path, steps=1, learning_rate=1e-9)
    table = model.word_vectors.weight
    assert table[model.row("spring")].abs().min() > 0 and table[model.row("bank")].abs().std() < 1e-6


BAD_VECTORS = {
    "wrong width": ("bank 1 2 3\n", "vectors of 3 numbers, and vector_dim is 12; .* set vector_dim=3"),
    "short line": ("bank 1 2 3\nriver 1 2\n", "line 2: expected a word and 3 numbers; got 2"),
    "no number": ("bank 1 2 x\n", "line 1: could not convert"),
    "not finite": ("bank 1 2 nan\n", "NaN or infinite"),
    "no word in common": ("zebra 1 2 3\n", "shares no word"),
    "empty": ("", "shares no word"),
}


@pytest.mark.parametrize("case", BAD_VECTORS)
def test_a_bad_file_of_vectors_changes_nothing(case, tmp_path):
    content, message = BAD_VECTORS[case]
    path = tmp_path / "vectors.txt"
    path.write_text(content)
    model = fitted("point")
    before = log_prob(model)
    with pytest.raises(ValueError, match=message):
        model.set_params(init=path).fit(corpus(), progress=False)
    assert torch.equal(log_prob(model), before)


def test_a_start_that_is_neither_known_nor_a_file():
    with pytest.raises(FileNotFoundError, match="init is 'spectrl'; expected 'spectral', None or a file"):
        fitted("point", init="spectrl")


def test_a_tokenizer_of_ones_own_is_kept_by_name(tmp_path):
    cut = Corpus.from_sentences([text.upper() for text, _ in SENTENCES], tokenizer=str.split, min_count=1)
    model = MODELS["point"]().fit(cut, progress=False)
    assert len(model.encode_context("RIVER river", "BANK")) == 1  # as the function has it, capitals and all
    model.save(tmp_path / "model")
    with pytest.warns(UserWarning, match="the function 'str.split', which is not saved"):
        again = load(tmp_path / "model")
    assert isinstance(again.tokenizer_, Tokenizer)


def test_a_loaded_model_reads_another_corpus_in_its_own_ids(models, tmp_path):
    models("flow").save(tmp_path / "model")
    again = load(tmp_path / "model")
    again.corpus_ = Corpus.from_sentences(["zebra river bank", "the loan of a bank"], min_count=1)
    _, windows = again.occurrences("bank")
    known = [[again.vocabulary_.word(i) for i in row if i >= 0] for row in windows.context]
    assert known == [["river"], ["the", "loan", "of", "a"]]
    assert (windows.mask == (windows.context >= 0)).all()
    assert again.occurrences("spring") is None


def test_a_saved_model_of_other_weights_is_refused(models, tmp_path):
    from labkit.folders import read_folder, write_folder

    models("flow").save(tmp_path / "model")
    tensors, parts = read_folder(tmp_path / "model")
    parts["settings"]["params"]["bins"] = 4
    write_folder(tmp_path / "model", tensors, parts)
    with pytest.raises(CheckpointError, match="built otherwise"):
        load(tmp_path / "model")


def test_a_state_of_training_is_no_model(tmp_path):
    MODELS["point"](steps=5).fit(corpus(), progress=False, checkpoint=tmp_path / "c", callback=_stop_at(3))
    with pytest.raises(CheckpointError, match="no saved model"):
        load(tmp_path / "c")


def _stop_at(step: int):
    def callback(done, figure):
        if done == step:
            raise KeyboardInterrupt

    return callback
