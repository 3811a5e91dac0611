"""Vectors of a pretrained encoder and densities over them, with a small encoder made here and no network."""

import json
import sys

import numpy as np
import pytest
import torch
from sense_files import SIDES, sentences
from sklearn.metrics import adjusted_rand_score

from labkit.embeddings import pretrained
from labkit.embeddings.base import NotFittedError
from labkit.embeddings.contextual import ContextualDensity, ContextualEmbedding, ContextualMeans
from labkit.embeddings.pretrained import PIECES, Encoder, locate_model, missing
from labkit.embeddings.views import Components, compact_and_agreed, views_agree
from labkit.evaluate.systems import SYSTEMS, left_out
from labkit.text.occurrences import Occurrences

transformers = pytest.importorskip("transformers", reason="no transformers: pip install 'labkit[pretrained]'")

WORDS = sorted({word for side in SIDES.values() for word in side} | set("we saw it there bank ##s and they".split()))


@pytest.fixture(scope="module")
def model(tmp_path_factory):
    """A folder with a BERT of random weights, two layers of width 32, and a vocabulary of a few words."""
    folder = tmp_path_factory.mktemp("encoder")
    vocabulary = ["[PAD]", "[UNK]", "[CLS]", "[SEP]", "[MASK]", *WORDS]
    (folder / "vocab.txt").write_text("\n".join(vocabulary))
    transformers.BertTokenizerFast(vocab=str(folder / "vocab.txt")).save_pretrained(folder)
    config = transformers.BertConfig(
        vocab_size=len(vocabulary), hidden_size=32, num_hidden_layers=2, num_attention_heads=2, intermediate_size=64
    )
    with torch.random.fork_rng():
        torch.manual_seed(0)
        transformers.BertModel(config).save_pretrained(folder)
    return folder


@pytest.fixture
def encoder(model, tmp_path):
    return Encoder(model, tmp_path / "cache")


def occurrences(n: int = 60, seed: int = 0) -> Occurrences:
    lines, labels = sentences("bank", n, seed)
    places, texts = zip(*(line.split("\t") for line in lines))
    return Occurrences.of("bank", [text.split() for text in texts], [int(place) for place in places], labels)


# --- the encoder ------------------------------------------------------------------------------------------------------


def test_a_vector_does_not_depend_on_the_sentences_beside_it(encoder):
    seen = occurrences(7).join(Occurrences.of("bank", [["bank"], ["river"] * 30 + ["bank"]], [0, 30]))
    together = encoder.encode(seen)
    alone = np.concatenate([encoder.encode(seen.select([i])) for i in range(len(seen))])
    assert together.shape == (9, 4, 32) and together.dtype == np.float32
    assert np.allclose(together, alone, atol=1e-5)


def test_the_parts_are_means_of_the_model_s_own_layers(encoder):
    tokens = ["river", "banks", "loan"]  # river bank ##s loan
    with torch.inference_mode():
        batch = encoder.tokenizer(tokens, is_split_into_words=True, return_tensors="pt")
        layers = encoder.model(**batch, output_hidden_states=True).hidden_states
    assert batch["input_ids"].shape == (1, 6)
    last = layers[-1][0]
    upper = sum(torch.nn.functional.normalize(layer[0], dim=-1) for layer in layers[1:])
    expected = upper[2:4].mean(0), last[2:4].mean(0), last.mean(0), (last[1] + last[4]) / 2
    assert np.allclose(encoder.encode(Occurrences.of("bank", [tokens], [1]))[0], torch.stack(expected), atol=1e-5)


def test_the_target_is_one_place_not_every_mention(encoder):
    twice = ["bank", "river", "bank", "loan"]
    first, second = encoder.encode(Occurrences.of("bank", [twice, twice], [0, 2]))
    assert not np.allclose(first[1], second[1], atol=1e-3) and np.allclose(first[2], second[2], atol=1e-5)


@pytest.mark.parametrize("at", [0, 150, 399])
def test_of_a_long_sentence_the_words_around_the_target_are_read(encoder, at):
    tokens = ["river"] * 400
    tokens[at] = "bank"
    cropped, place, pieces = encoder._crop(tokens, at)
    assert cropped[place] == "bank" and len(cropped) == pieces == PIECES - 2
    assert min(place, at) > 50 or at in (0, 399)
    assert np.isfinite(encoder.encode(Occurrences.of("bank", [tokens], [at]))).all()


def test_a_target_without_pieces_is_its_sentence(encoder):
    found = encoder.encode(Occurrences.of("bank", [["river", "\u200b", "loan"]], [1]))[0]
    assert np.allclose(found[1], found[2], atol=1e-5)


def test_vectors_are_read_from_the_disk(encoder, model, monkeypatch):
    seen = occurrences(5)
    first = encoder.vectors(seen)
    assert isinstance(first, np.memmap) and not first.flags.writeable
    again = Encoder(model, encoder.cache)
    monkeypatch.setattr(again, "encode", lambda *_: pytest.fail("read again"))
    assert np.array_equal(again.vectors(seen), first)
    assert sorted(path.suffix for path in encoder.cache.iterdir()) == [".json", ".npy"]


def test_other_inputs_and_other_models_are_kept_apart(encoder):
    seen = occurrences(5)
    first = np.array(encoder.vectors(seen))
    moved = Occurrences(seen.words, seen.sentences, (seen.places + 1) % 10)
    assert not np.allclose(encoder.vectors(moved)[:, 1], first[:, 1], atol=1e-3)
    encoder.fingerprint = "another"
    encoder.vectors(seen)
    assert len(list(encoder.cache.glob("*.npy"))) == 3


@pytest.mark.parametrize("harm", ["no note", "half a note", "another shape", "no file"])
def test_what_an_interruption_leaves_is_made_anew(encoder, harm):
    seen = occurrences(5)
    expected = np.array(encoder.vectors(seen))
    file, note = next(encoder.cache.glob("*.npy")), next(encoder.cache.glob("*.json"))
    if harm == "no note":
        note.unlink()
        file.write_bytes(b"half")
    elif harm == "half a note":
        note.write_text(note.read_text()[:20])
    elif harm == "another shape":
        note.write_text(json.dumps(json.loads(note.read_text()) | {"shape": [1, 4, 32]}))
    else:
        file.unlink()
    assert np.allclose(encoder.vectors(seen), expected)
    assert not list(encoder.cache.glob("*.part"))


def test_what_is_missing_is_said_with_the_line_that_mends_it(monkeypatch, tmp_path, model):
    monkeypatch.setattr(pretrained, "SHORT", {"tiny": ("no_such_wheel", "pip install no-such-wheel")})
    with pytest.raises(ImportError, match="'tiny' comes in a wheel that is not installed: pip install no-such-wheel"):
        locate_model("tiny")
    assert "pip install no-such-wheel" in missing("tiny") and missing(model) is None
    monkeypatch.setitem(sys.modules, "transformers", None)
    with pytest.raises(ImportError, match=r"needs transformers: pip install 'labkit\[pretrained\]'"):
        Encoder(model, tmp_path)


def test_tables_do_without_what_cannot_run(monkeypatch):
    names = {name for name in SYSTEMS if name.startswith("contextual")}
    monkeypatch.setattr("labkit.evaluate.systems.missing", lambda: "a reason")
    assert len(names) == 5 and left_out() == dict.fromkeys(names, "a reason")
    monkeypatch.setattr("labkit.evaluate.systems.missing", lambda: None)
    assert left_out() == {}


def test_a_folder_without_a_model(tmp_path):
    with pytest.raises(ValueError, match="no encoder could be read from .* expected a folder with config.json"):
        Encoder(tmp_path)


# --- views ------------------------------------------------------------------------------------------------------------


def two_views(gold: np.ndarray, noise: float, seed: int) -> tuple[np.ndarray, np.ndarray]:
    """A corner of a simplex for each group, seen twice with independent noise, and ten dimensions that say nothing."""
    rng = np.random.default_rng(seed)
    views = []
    for _ in range(2):
        corners = 4 * np.eye(gold.max() + 1)[gold]
        silent = 0.5 * rng.normal(size=(len(gold), 10))
        views.append(np.hstack([corners + noise * rng.normal(size=corners.shape), silent]))
    return tuple(views)


@pytest.mark.parametrize("sizes", [(150, 150), (240, 60), (100, 100, 100), (150, 80, 40, 40)])
def test_as_many_groups_as_there_are(sizes, seed):
    gold = np.repeat(np.arange(len(sizes)), sizes)
    first, second = two_views(gold, 0.5, seed)
    groups, scores = compact_and_agreed(np.hstack([first, second]), first, second, seed=seed)
    assert groups.max() + 1 == len(sizes) == max(scores, key=scores.get)
    assert adjusted_rand_score(gold, groups) > 0.95


def test_views_that_share_nothing_do_not_agree(seed):
    rng = np.random.default_rng(seed)
    groups = rng.integers(2, size=3000)
    assert views_agree(groups, *rng.normal(size=(2, 3000, 3))) < 0.02  # a standard deviation is about 1/3000


@pytest.mark.parametrize("power", [0.0, 0.5, 1.0])
def test_components_have_the_spread_that_their_power_says(power, seed):
    x = np.random.default_rng(seed).normal(size=(500, 6)) * [9, 4, 2, 1, 0.5, 0.1] + 3
    components = Components.of(x, 4, power)
    plain = np.linalg.svd(x - x.mean(0), compute_uv=False)[:4] / np.sqrt(500)
    assert np.allclose(components.points.std(0), plain ** (1 - power))
    assert np.allclose((x - x.mean(0)) @ components.basis, components.points)


def test_one_cloud_is_one_group(seed):
    first, second = two_views(np.zeros(400, int), 0.5, seed)
    groups, scores = compact_and_agreed(np.hstack([first, second]), first, second, seed=seed)
    assert set(groups) == {0} and max(scores.values()) < 0.19


def test_points_that_are_all_alike_are_one_group():
    same = np.ones((30, 5))
    groups, scores = compact_and_agreed(same, same, same)
    assert groups.tolist() == [0] * 30 and scores == {} and np.isfinite(Components.of(same).points).all()


# --- words ------------------------------------------------------------------------------------------------------------


def vectors_of(gold: np.ndarray, seed: int, apart: float = 1.0) -> np.ndarray:
    """What an encoder might give: all four parts differ by sense, (n, 4, 24)."""
    rng = np.random.default_rng(seed)
    centres = rng.normal(size=(gold.max() + 1, 1, 24)) * apart
    return (3 + centres[gold] + 0.4 * rng.normal(size=(len(gold), 4, 24))).astype(np.float32)


@pytest.mark.parametrize("sizes", [(200, 100), (260, 40), (100, 100, 100)])
def test_modes_are_senses(sizes, seed):
    gold = np.repeat(np.arange(len(sizes)), sizes)
    density = ContextualDensity(ContextualEmbedding(steps=120), "bank", vectors_of(gold, seed))
    assert len(density.modes()) == len(sizes) and density.event_shape == (len(sizes) - 1,)
    assert adjusted_rand_score(gold, density.basin_of_occurrences) > 0.9
    masses = np.sort([mode.mass for mode in density.modes()])
    assert np.allclose(masses, np.sort(np.array(sizes)) / 300, atol=0.06)


def test_a_word_with_one_sense_has_one_mode(seed):
    density = ContextualDensity(ContextualEmbedding(steps=120), "tuesday", vectors_of(np.zeros(300, int), seed))
    assert len(density.modes()) == 1 and set(density.basin_of_occurrences) == {0}


def test_a_density_is_a_distribution(seed):
    gold = np.repeat(np.arange(3), 60)
    vectors = vectors_of(gold, seed)
    density = ContextualDensity(ContextualEmbedding(steps=20), "bank", vectors)
    assert density.sample((5, 2)).shape == (5, 2, 2) and density.log_prob(density.sample((5,))).shape == (5,)
    draws = [density.sample((3,), torch.Generator().manual_seed(1)) for _ in range(2)]
    assert torch.equal(*draws)
    points = vectors[:, 1] / np.linalg.norm(vectors[:, 1], axis=1, keepdims=True)
    assert torch.allclose(density.place(points), density.places, atol=1e-4)
    assert repr(density) == "ContextualDensity('bank'; 180 occurrences, 2 dimensions)"


@pytest.fixture(scope="module")
def fitted(model, tmp_path_factory):
    folder = tmp_path_factory.mktemp("vectors")
    given = dict(model=model, cache=folder)
    return ContextualEmbedding(steps=20, **given).fit(None), ContextualMeans(**given).fit(None)


def test_from_sentences_to_senses(fitted):
    seen = occurrences()
    embedding, means = fitted
    assert embedding.assign("bank", seen).shape == (60,) and means.assign("bank", seen, 2).max() == 1
    assert np.array_equal(embedding.assign("bank", seen), embedding.assign("bank", seen.unlabelled()))
    x = embedding.transform("bank", seen)
    assert np.array_equal(x, means.transform("bank", seen))  # the very vectors
    assert np.allclose(np.linalg.norm(x, axis=1), 1) and np.allclose(x.mean(0), embedding.density("bank", seen).centre)
    both = ContextualMeans(**means.get_params()).set_params(parts="both").fit()
    assert both.transform("bank", seen).shape == (60, 64)


def test_what_cannot_be_answered(fitted, model):
    embedding, means = fitted
    few = occurrences(19)
    assert embedding.assign("bank", few).tolist() == [0] * 19
    with pytest.raises(ValueError, match="'bank' has 19 occurrences; expected at least 20"):
        embedding.density("bank", few)
    with pytest.raises(NotFittedError, match="not fitted"):
        ContextualEmbedding(model).assign("bank", few)
    with pytest.raises(ValueError, match="n_senses is missing"):
        means.assign("bank", few)
    with pytest.raises(ValueError, match="parts is 'all'; expected one of 'token', 'last'"):
        ContextualEmbedding(model, parts="all").fit()
    with pytest.raises(ValueError, match="number is 'some'; expected one of 'given', 'silhouette'"):
        ContextualMeans(model, number="some").fit()
    with pytest.raises(ValueError, match="most is 1; expected a whole number of at least 2"):
        ContextualEmbedding(model, most=1).fit()
