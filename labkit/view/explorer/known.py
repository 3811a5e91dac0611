"""What is known of a word beside its picture, found in stages: its modes, their words, then sentences."""

from collections.abc import Sequence
from functools import cached_property

import numpy as np
import torch
from torch import Tensor

from labkit.density.entropy import entropy
from labkit.density.grid import dimension
from labkit.density.modes import Modes
from labkit.embeddings.word import bag_of_words
from labkit.view.grids import modes_of

PICTURE, WORDS, SENTENCES = range(3)  # how much an answer holds; each stage takes longer than the last
SHOWN_WORDS, SHOWN_SENTENCES = 6, 5


class Known:
    """Modes of one word with their words and sentences.

    Arguments:
        model, word: `model[word]` has `modes()`; with `basins` and `words_by_mode`, as `WordDensity` has them,
            the stages come one by one.
    """

    def __init__(self, model, word: str):
        self.model, self.word, self.density = model, word, model[word]
        self.staged = hasattr(type(self.density), "basins") and hasattr(self.density, "words_by_mode")

    @property
    def found(self) -> bool:
        """Whether the modes have been looked for already."""
        return "basins" in vars(self) or (self.staged and "basins" in vars(self.density))

    def has(self, detail: int) -> bool:
        """Whether a stage has been reached, so that an answer in this detail takes no time."""
        wanted = [[], ["words"], ["words", "sentences", "_occurrences"]][detail]
        return all(name in vars(self) for name in wanted)

    def look(self, detail: int) -> None:
        """Find what `has` asks for; the first sentences of a model may take seconds, since its corpus is read."""
        if detail >= WORDS:
            _ = self.words
        if detail >= SENTENCES:
            _ = self.sentences, self._occurrences

    @cached_property
    def basins(self) -> Modes:
        """The modes, heaviest first, without words."""
        return self.density.basins if self.staged else modes_of(self.density)

    @cached_property
    def entropy(self) -> float:
        """−∫ p log p, nats."""
        return entropy(self.density).value

    @cached_property
    def words(self) -> list[list[str]]:
        """The words that live in each mode, best first."""
        if self.staged:
            return [list(words)[:SHOWN_WORDS] for words in self.density.words_by_mode()]
        return [list(getattr(mode, "words", ()))[:SHOWN_WORDS] for mode in self.basins]

    @cached_property
    def sentences(self) -> list[list[str]]:
        """Example sentences of each mode, best first."""
        return [list(getattr(mode, "sentences", ()))[:SHOWN_SENTENCES] for mode in modes_of(self.density)]

    def assign(self, points: Tensor) -> np.ndarray:
        """The mode of each point (N, k), (N,)."""
        if not len(points):
            return np.zeros(0, dtype=int)
        return self.basins.assign(points).cpu().numpy()

    # --- sentences of places ----------------------------------------------------------------------------------

    @cached_property
    def _occurrences(self):
        """Texts of the word's sentences and their windows as bags of ids; None without a corpus."""
        if not (hasattr(self.model, "occurrences") and hasattr(self.model, "hidden_at")):
            return None
        found = self.model.occurrences(self.word)
        if found is None or not len(found[1].context):
            return None
        corpus, windows = found
        numbers = corpus.sentence_of(windows.occurrence)
        ids, bags = bag_of_words(torch.as_tensor(np.asarray(windows.context)))
        return [corpus.sentence(int(i)) for i in numbers], ids, bags

    @torch.no_grad()
    def explained_by(self, points: Tensor) -> tuple[list[str], np.ndarray] | None:
        """Sentences, and for each point (N, k) the number of the one that it explains best, (N,).

        Best is where log p(c∣z,w) is furthest above its mean over the points: where the sentence would put the word.
        """
        if self._occurrences is None or not len(points):
            return None
        texts, ids, bags = self._occurrences
        hidden = self.model.hidden_at(self.word, points)
        scores = self.model.output.scores(hidden, ids.to(points.device))
        scores = scores - self.model.output.log_total(hidden)[:, None]
        joint = scores @ bags.to(scores).T  # (N, sentences)
        best = (joint - joint.logsumexp(0)).argmax(1).cpu().numpy()
        used, number = np.unique(best, return_inverse=True)
        return [texts[i] for i in used], number

    # --- words of a sentence ----------------------------------------------------------------------------------

    def pull(self, sentence: str) -> list[dict]:
        """The words of a sentence in their order, each with the mode it speaks for and by how many nats.

        log p(c∣mode) − log p(c∣the other modes): the log-likelihood ratio, between the mode for which it is largest and
        the others weighted by mass. A word that is not known, or is the word itself, has none.
        """
        said = []
        cut = getattr(self.model, "tokenizer_", None)
        for part in sentence.split():
            entry = {"text": part}
            for token in cut(part) if cut else [part.lower()]:
                number = self.model.vocabulary_.get(token) if hasattr(self.model, "vocabulary_") else None
                if token == self.word:
                    entry["self"] = True
                elif number is not None:
                    entry |= self._pull_of(number)
                    break
            said.append(entry)
        return said

    def _pull_of(self, number: int) -> dict:
        if not self.staged or len(self.basins) < 2:
            return {"known": True}
        of_mode = self.density.mode_distributions[:, number].double().cpu().numpy()
        mass = self.basins.masses.double().numpy()
        others = (mass @ of_mode - mass * of_mode) / np.maximum(mass.sum() - mass, 1e-12)
        ratio = np.log(np.maximum(of_mode, 1e-30)) - np.log(np.maximum(others, 1e-30))
        best = int(ratio.argmax())
        return {"known": True, "mode": best, "nats": round(float(ratio[best]), 2)}


def ambiguity(entries: Sequence[dict]) -> list[dict]:
    """Words by how ambiguous they are: most modes first, and among equals most spread out (entropy).

    Example:
        >>> [e["word"] for e in ambiguity([{"word": "a", "modes": 1, "entropy": 3.0},
        ...                                {"word": "b", "modes": 2, "entropy": 1.0}, {"word": "c"}])]
        ['b', 'a', 'c']
    """
    return sorted(entries, key=lambda e: (-(e.get("modes") or 0), -(e.get("entropy") or -1e9), e["word"]))


def has_density(model, word: str) -> bool:
    """Whether the model gives the word a density, and not one point."""
    return not hasattr(model[word], "location") and dimension(model[word]) > 0
