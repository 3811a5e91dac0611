"""The generative grammar of the built-in corpus: sentences with known senses and a known density.

    s ~ p(s∣w),   t ~ Beta(2, 2),   m ~ Uniform{4, …, 8},   c_j ~ p(c∣s,t) independently, j = 1..m
    p(c∣s,t) = (1 − ε) · cue(c∣s,t) + ε · noise(c)
    cue(c∣s,t) ∝ rank(c)^(−1/2) · exp(−(t − τ_c)² / 2h²),   c in the sense's cue list

t says where in its sense a sentence lies, from one facet (t = 0) to the other (t = 1): a sense is a region, not
a point. Cues of the lists *low*, *both* and *high* have their places τ_c in the first, middle and last third.
Noise is a share of everyday words and a share of strays: cues of any word at all.
"""

import json
from functools import cached_property

import numpy as np
from scipy.special import logsumexp, roots_jacobi

from labkit.text.data import data_folder

NOISE = 0.4  # ε
STRAYS = 0.3  # of the noise, the share that comes from the cue lists of all words
KERNEL_WIDTH = 0.18  # h, in units of the topic line
SHORTEST, LONGEST = 4, 8  # m, context words in a sentence
NODES = 32  # of the Gauss–Jacobi quadrature over t
FRAMES = (
    "", "", "the", "the", "a", "of the", "and", "and the", "in the", "to the", "with", "with a", "for the",
    "by the", "on the", "from the", "was", "had", "is", "her", "his", "their", "at the", "as the", "but the",
)  # fmt: skip


class SenseGrammar:
    """Draws sentences whose senses are known, and computes p(c∣w) and p(s∣w,c) exactly.

    Attributes:
        words: all words, the ambiguous ones first.
        ambiguous, controls: those with several senses, and those with one.
        senses: word -> names of its senses.
        frequencies: word -> p(s∣w), (K,).
        vocabulary: the C words a context can hold.

    Example:
        >>> grammar = SenseGrammar()
        >>> grammar.senses["bank"]
        ['bank.river', 'bank.money']
        >>> context = [grammar.context_ids(["deposit", "loan", "river"])]
        >>> grammar.sense_posterior("bank", context).shape
        (1, 2)
    """

    def __init__(self, spec: dict | None = None):
        spec = spec or json.loads((data_folder() / "senses" / "grammar.json").read_text(encoding="utf-8"))
        entries = {entry["word"]: entry["senses"] for entry in spec["words"]}
        self.words = list(entries)
        self.ambiguous = [word for word, senses in entries.items() if len(senses) > 1]
        self.controls = [word for word, senses in entries.items() if len(senses) == 1]
        self.senses = {word: [s["sense"] for s in senses] for word, senses in entries.items()}
        self.glosses = {s["sense"]: s["gloss"] for senses in entries.values() for s in senses}
        self.cues = {s["sense"]: _cue_list(s) for senses in entries.values() for s in senses}
        self.frequencies = {w: np.array([s["frequency"] for s in senses]) for w, senses in entries.items()}
        everyday = list(spec["noise"])
        self.vocabulary = list(dict.fromkeys(everyday + [c for cues in self.cues.values() for c in cues]))
        self._id = {word: i for i, word in enumerate(self.vocabulary)}
        self.noise = self._noise(everyday)

    def _noise(self, everyday: list[str]) -> np.ndarray:
        """noise(c), (C,)."""
        noise = np.zeros(len(self.vocabulary))
        noise[: len(everyday)] = (1 - STRAYS) / len(everyday)
        all_cues = [self._id[c] for cues in self.cues.values() for c in cues]
        np.add.at(noise, all_cues, STRAYS / len(all_cues))
        return noise

    @cached_property
    def _quadrature(self) -> tuple[np.ndarray, np.ndarray]:
        """Nodes (T,) in (0, 1) and weights (T,), summing to 1, for expectations over t ~ Beta(2, 2)."""
        nodes, weights = roots_jacobi(NODES, 1, 1)
        return (nodes + 1) / 2, weights / weights.sum()

    def context_ids(self, words: list[str]) -> list[int]:
        """Ids in `vocabulary` of these words; a word the grammar does not have is a KeyError that names it."""
        missing = [word for word in words if word not in self._id]
        if missing:
            raise KeyError(f"not a context word of the grammar: {', '.join(missing)}")
        return [self._id[word] for word in words]

    def cue_probabilities(self, sense: str, t: np.ndarray) -> np.ndarray:
        """cue(c∣s,t) over the sense's own cue list: (n,) topics -> (n, cues), rows summing to 1."""
        place, typicality = zip(*self.cues[sense].values(), strict=True)
        weight = np.array(typicality) * np.exp(
            -((t[:, None] - np.array(place)) ** 2) / (2 * KERNEL_WIDTH**2)
        )
        return weight / weight.sum(1, keepdims=True)

    def _emission(self, word: str) -> np.ndarray:
        """p(c∣s,t) at the quadrature's nodes, (K, T, C)."""
        nodes, _ = self._quadrature
        emission = np.tile(NOISE * self.noise, (len(self.senses[word]), NODES, 1))
        for k, sense in enumerate(self.senses[word]):
            ids = self.context_ids(list(self.cues[sense]))
            emission[k][:, ids] += (1 - NOISE) * self.cue_probabilities(sense, nodes)
        return emission

    def draw(self, word: str, n: int, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
        """n windows of `word`: senses (n,), topics (n,), contexts (n, 8) of ids in `vocabulary`, padded with −1."""
        senses = rng.choice(len(self.senses[word]), size=n, p=self.frequencies[word])
        topics = rng.beta(2, 2, size=n)
        context = np.full((n, LONGEST), -1)
        for k, sense in enumerate(self.senses[word]):
            rows = np.flatnonzero(senses == k)
            cumulative = np.cumsum(self.cue_probabilities(sense, topics[rows]), axis=1)
            place = (cumulative[:, None, :] < rng.random((len(rows), LONGEST, 1))).sum(2)
            ids = np.array(self.context_ids(list(self.cues[sense])))
            context[rows] = ids[np.minimum(place, len(ids) - 1)]
        noisy = rng.random((n, LONGEST)) < NOISE
        context[noisy] = rng.choice(len(self.noise), size=noisy.sum(), p=self.noise)
        context[np.arange(LONGEST) >= rng.integers(SHORTEST, LONGEST + 1, size=n)[:, None]] = -1
        return senses, topics, context

    def _log_joint(self, word: str, context) -> np.ndarray:
        """log p(s∣w) + log w_t + Σ_j log p(c_j∣s,t), nats: (K, T, n)."""
        context = np.asarray(context)
        emission = self._emission(word)
        log_emission = np.log(np.maximum(emission, 1e-300))
        log_emission = np.concatenate([log_emission, np.zeros((*emission.shape[:2], 1))], axis=2)  # −1: padding
        log_likelihood = sum(log_emission[:, :, column] for column in context.T)
        prior = np.log(self.frequencies[word])[:, None] + np.log(self._quadrature[1])
        return log_likelihood + prior[:, :, None]

    def log_evidence(self, word: str, context) -> np.ndarray:
        """log p(c∣w) = log Σ_s p(s∣w) ∫ p(t) Π_j p(c_j∣s,t) dt, nats: contexts (n, M) -> (n,)."""
        return logsumexp(self._log_joint(word, context), axis=(0, 1))

    def sense_posterior(self, word: str, context) -> np.ndarray:
        """p(s∣w,c): contexts (n, M) -> (n, K), rows summing to 1."""
        log_sense = logsumexp(self._log_joint(word, context), axis=1)
        return np.exp(log_sense - logsumexp(log_sense, axis=0)).T

    def sentence(self, word: str, context: np.ndarray, rng: np.random.Generator) -> str:
        """Words for a window: the context in its order, the word somewhere among it, function words around."""
        content = [self.vocabulary[c] for c in context if c >= 0]
        content.insert(rng.integers(len(content) + 1), word)
        frames = rng.integers(len(FRAMES), size=len(content))
        text = " ".join(
            f"{FRAMES[f]} {token}".strip() for f, token in zip(frames, content, strict=True)
        )
        return text[0].upper() + text[1:] + "."


def _cue_list(sense: dict) -> dict[str, tuple[float, float]]:
    """cue -> (its place τ on the topic line, its typicality rank^(−1/2))."""
    cues = {}
    for third, name in enumerate(("low", "both", "high")):
        for rank, cue in enumerate(sense[name], start=1):
            cues[cue] = ((third + _van_der_corput(rank)) / 3, rank**-0.5)
    return cues


def _van_der_corput(n: int) -> float:
    """The n-th term of the base-2 low-discrepancy sequence: spreads a list over an interval, rank by rank."""
    value, step = 0.0, 0.5
    while n:
        value, step, n = value + step * (n & 1), step / 2, n >> 1
    return value
