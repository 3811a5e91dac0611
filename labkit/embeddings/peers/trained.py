"""What the peers share that learn from windows of a text by gradient steps."""

import math
import time
from collections.abc import Iterator
from numbers import Real

import numpy as np
import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor, nn

from labkit.embeddings.base import WORDS_TO_SPARE
from labkit.embeddings.peers.inducer import SenseInducer
from labkit.embeddings.peers.means import at_scale, word_vectors
from labkit.embeddings.peers.merging import check_whole
from labkit.embeddings.peers.weights import SMOOTH, Around
from labkit.text import Corpus, Tokenizer, Vocabulary, WindowBatch, Windows
from labkit.text.occurrences import Occurrences
from labkit.training import one_thread, pick_device, train

ROWS = 256  # occurrences sorted at a time


class TrainedPeer(SenseInducer, nn.Module):
    """A system whose `loss` on windows is minimised by the lab's own loop, all words at once, in one table each.

    Subclasses give `_build`, `loss` and `assign`, and have these arguments in common:
        window: words on each side of a centre.
        thin_out: words more frequent than this are thinned out, in a corpus of 100,000 words or more; None for none.
        passes, steps: so many passes over the text, but at least so many steps.
        batch_size, learning_rate: windows of a step; of lazy Adam, which rises, stays and falls to zero.
        seed, device: the same seed on the same machine gives the same result.

    Attributes after fit:
        vocabulary_, tokenizer_: of the corpus.
        losses_, seconds_: the figure of each step, and how long training took.
    """

    POSITIVE: tuple[str, ...] = ("passes", "thin_out")  # arguments that are positive numbers

    def _build(self, vocabulary: Vocabulary) -> None:
        """Make the modules."""
        raise NotImplementedError

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """What is minimised and what is reported, for a batch of windows; `share` of training is done."""
        raise NotImplementedError

    def fit(self, corpus: Corpus, *, progress: bool = True) -> "TrainedPeer":
        """Learn from a text. Ctrl-C stops early and keeps the best state so far.

        Raises:
            ValueError: a hyper-parameter out of its range, or a text without windows.
            TrainingDiverged: the loss became NaN.
        """
        self._check()
        device, started = pick_device(self.device), time.perf_counter()
        vars(self).pop("vocabulary_", None)  # not fitted, should this fail
        self._prepare(corpus, progress)
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(int(self.seed))
            self._build(corpus.vocabulary)
        windows = self._windows(corpus)
        steps = max(self.steps, math.ceil(self.passes * windows.per_epoch / self.batch_size))
        self.to(device).train()
        with one_thread(device):
            self.losses_ = train(self, windows, steps, self.learning_rate, self.seed, progress)
        self.cpu().eval()
        self.seconds_ = time.perf_counter() - started
        cut = corpus.tokenizer
        self.tokenizer_ = cut if isinstance(cut, Tokenizer) else Tokenizer(False, None, function=cut)
        self.vocabulary_ = corpus.vocabulary
        return self

    def _prepare(self, corpus: Corpus, progress: bool) -> None:
        """What has to be there before `_build`: nothing."""

    def _check(self) -> None:
        super()._check()
        params = self.get_params()
        for name in params.keys() & set(self.POSITIVE):
            value = params[name]
            if value is None and name == "thin_out":
                continue
            if not (isinstance(value, Real) and 0 < value < math.inf):
                raise ValueError(f"{name} is {value!r}; expected a positive number")
        if params.get("context") is not None:
            check_whole(self, context=1)

    def _windows(self, corpus: Corpus) -> Windows:
        if corpus.targets is not None:
            return Windows(corpus, whole_sentence=True, targets="marked", batch_size=self.batch_size, seed=self.seed)
        thin_out = self.thin_out if corpus.n_tokens >= WORDS_TO_SPARE else None
        return Windows(corpus, size=self.window, subsample=thin_out, batch_size=self.batch_size, seed=self.seed)

    def _tensors(self, batch: WindowBatch) -> tuple[Tensor, Tensor, Tensor]:
        """Centres (B,), contexts (B, M) with 0 where there is no word, and mask (B, M), on the model's device."""
        device = next(self.parameters()).device
        centre, context, mask = (torch.as_tensor(field, device=device) for field in batch[:3])
        return centre, context.clamp_min(0), mask

    # --- occurrences ------------------------------------------------------------------------------------------

    def _known(self, word: str) -> int:
        """The id of a word; raises if nothing is fitted or the text lacks it."""
        self._fitted("vocabulary_")
        return self.vocabulary_[word]

    def _contexts(self, occurrences: Occurrences, window: int | None = None) -> Iterator[tuple[Tensor, Tensor]]:
        """Known words around a few occurrences at a time: ids (n, M) with 0 where there is none, and mask (n, M)."""
        for first in range(0, len(occurrences), ROWS):
            part = occurrences.select(slice(first, first + ROWS))
            yield padded(Around.of(part, self.vocabulary_, self.tokenizer_, window))

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """Σ_i p(i∣c) v_i: the vectors of the word's senses, averaged over those of each occurrence, (n, d)."""
        vectors, probabilities = self.senses_in_context(word, occurrences)
        return probabilities @ vectors


def padded(around: Around) -> tuple[Int[Tensor, "n M"], Bool[Tensor, "n M"]]:
    """The words of each occurrence in a row of their own: ids, 0 where there is none, and which are words."""
    lengths = np.bincount(around.row, minlength=around.n)
    mask = np.arange(max(1, lengths.max(initial=0))) < lengths[:, None]
    ids = np.zeros(mask.shape, dtype=np.int64)
    ids[mask] = around.ids
    return torch.as_tensor(ids), torch.as_tensor(mask)


class OnContextVectors(TrainedPeer):
    """A peer that works on context vectors of a skip-gram that stays as it is.

        x = Σ_j ω_j v_{c_j} / ‖Σ_j ω_j v_{c_j}‖,   ω = a/(a+f)

    Its argument `embedding` is a `PointEmbedding`, used as it is if it is fitted; None for one with the settings of
    `at_scale`, trained first. Of a text with marked words, where other words have no vector of their own, the output
    vectors stand for v.
    """

    def __setattr__(self, name: str, value) -> None:
        if name in ("embedding", "embedding_"):  # no part of this module: it is neither trained nor copied with it
            vars(self)[name] = value
        else:
            super().__setattr__(name, value)

    def _prepare(self, corpus: Corpus, progress: bool) -> None:
        embedding = at_scale(corpus, self.seed) if self.embedding is None else self.embedding
        self.embedding_ = embedding if "words_" in vars(embedding) else embedding.fit(corpus, progress=progress)

    def _build(self, vocabulary: Vocabulary) -> None:
        vectors = self._rows(vocabulary, word_vectors(self.embedding_))
        weights = SMOOTH / (SMOOTH + vocabulary.frequencies)
        self.register_buffer("vectors", vectors, persistent=False)
        self.register_buffer("weights", torch.as_tensor(weights, dtype=torch.float32), persistent=False)

    def _rows(self, vocabulary: Vocabulary, table: np.ndarray) -> Tensor:
        """The rows of a table of the skip-gram for the words of a vocabulary, 0 for words that it does not know."""
        rows = np.array([self.embedding_.vocabulary_.get(word, -1) for word in vocabulary.words])
        return torch.as_tensor(np.where(rows[:, None] >= 0, table[rows], 0).astype(np.float32))

    def context_vectors(self, context: Int[Tensor, "B M"], mask: Bool[Tensor, "B M"]) -> Float[Tensor, "B d"]:
        """x above, of length 1; 0 where no word is known."""
        lengths, ids = mask.sum(-1), context[mask]
        sums = F.embedding_bag(
            ids, self.vectors, lengths.cumsum(0) - lengths, mode="sum", per_sample_weights=self.weights[ids]
        )
        return F.normalize(sums, dim=-1)
