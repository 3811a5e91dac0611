"""Small models for the tests of embeddings; no tests."""

import functools

import numpy as np
import torch

from labkit import load_corpus
from labkit.embeddings import (
    Embedding,
    GaussianEmbedding,
    MixtureEmbedding,
    PointEmbedding,
    StochasticEmbedding,
    TruncatedEmbedding,
)
from labkit.text import Corpus

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


def log_prob(model, word="bank"):
    """log p(c∣w) of a window; for k = 3 by the bound, since modes in space take seconds to find."""
    context = torch.tensor([[model.vocabulary_["river"], model.vocabulary_["the"], -1]])
    if getattr(model, "latent_dim", 0) > 2:
        return model.bound(word, context, context >= 0)
    return model[word].evidence(context).log_prob


def stop_at(step: int):
    """A callback that acts as Ctrl-C does, after a step."""

    def callback(done, figure):
        if done == step:
            raise KeyboardInterrupt

    return callback


# --- trained on a few words of the built-in corpus ----------------------------------------------------------------

WORDS = ["bank", "spring", "bat", "tuesday"]
SMALL = dict(vector_dim=16, word_dim=8, hidden=(16,), samples=2, negatives=32, batch_size=64, steps=60,
             learning_rate=0.03)  # fmt: skip
TRAINED = {
    "flow": lambda: StochasticEmbedding(**SMALL),
    "flow on a line": lambda: StochasticEmbedding(dim=1, **SMALL),
    "flow in space": lambda: StochasticEmbedding(dim=3, **SMALL),
    "gaussian": lambda: GaussianEmbedding(**SMALL),
    "mixture": lambda: MixtureEmbedding(components=3, **SMALL),
    "truncated": lambda: TruncatedEmbedding(dim=6, k=2, **SMALL),
}


@functools.cache
def few_words() -> Corpus:
    """The sentences of four words."""
    corpus = load_corpus("senses", per_word=60)
    centres = corpus.ids[corpus.offsets[:-1] + np.maximum(corpus.targets, 0)]
    return corpus.select(np.isin(centres, [corpus.vocabulary[word] for word in WORDS]))


@functools.cache
def trained(name: str) -> Embedding:
    """A model by its name in TRAINED, trained once; not to be changed."""
    return TRAINED[name]().fit(few_words(), progress=False)
