"""Where a model starts from, and what comes back of one that was saved."""

import json

import numpy as np
import pytest
import torch

from labkit import CheckpointError, load
from labkit.embeddings import Embedding
from labkit.text import Corpus, Tokenizer
from tests.test_embeddings_models import MODELS, SENTENCES, corpus, fitted, log_prob, stop_at


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
    MODELS["point"](steps=5).fit(corpus(), progress=False, checkpoint=tmp_path / "c", callback=stop_at(3))
    with pytest.raises(CheckpointError, match="no saved model"):
        load(tmp_path / "c")
