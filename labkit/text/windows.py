"""Windows: a centre word and the words around it, in minibatches."""

from collections.abc import Iterable, Iterator
from typing import NamedTuple

import numpy as np

from labkit.text.building import find, ranges
from labkit.text.corpus import Corpus

LONGEST_SEGMENT = 1 << 14  # tokens; a longer sentence is cut, so that no sentence is too long to shuffle
CHUNK = 1 << 14  # tokens, about: segments in text order that are read together
CHUNKS = 32  # chunks shuffled together, drawn from anywhere in the corpus
LONGEST_CONTEXT = 64  # words: the default `max_context` of whole sentences


class WindowBatch(NamedTuple):
    """B windows of at most M words around the centre, int64 ids."""

    centre: np.ndarray  # (B,)
    context: np.ndarray  # (B, M) in text order, padded with -1 on the right
    mask: np.ndarray  # (B, M) True where there is a word
    occurrence: np.ndarray  # (B,) the place of the centre in corpus.ids

    def __len__(self) -> int:  # windows, not fields
        return len(self.centre)


class Windows:
    """Minibatches of the windows of a corpus, shuffled, an epoch at a time; they can be resumed exactly.

    `for batch in windows` gives what is left of the epoch, and goes on to the next one when iterated again;
    `take(n)` gives n batches across epochs. The last batch of an epoch may be short.

    Frequent words are thinned out: a word w of relative frequency f(w) is dropped with probability
    1 − √(t / f(w)), where t = `subsample`; drawn anew each epoch. Windows are taken from what is left, and so
    reach further. They never cross sentence borders, and a centre with no word around it is left out.

    Shuffled are chunks of about 2^14 tokens in text order, and the windows within 32 chunks at a time. Memory
    does not grow with the corpus but for 16 bytes a sentence; in a sentence above 2^14 tokens (a book in a
    line) the windows end at multiples of 2^14.

    Arguments:
        corpus: a `Corpus`.
        size: words on each side.
        whole_sentence: take the whole sentence as context, whatever `size`.
        subsample: t above, or None to keep every word. The centres asked for by `targets` are kept.
        targets: which words are centres: "all", "marked" (`corpus.targets`), or a list of words.
        max_context: M; of a longer context the nearest words are kept. Default 2 size; for whole sentences
            the longest sentence of the corpus, at most 64.
        batch_size: B.
        seed: of the shuffling and thinning.

    Raises:
        ValueError: sizes below 1, "marked" without marks, targets that never occur.
        KeyError: a target that is not in the vocabulary.

    References:
        Mikolov, Sutskever, Chen, Corrado & Dean, Distributed Representations of Words and Phrases and their
        Compositionality, 2013, eq. 5.

    Example:
        >>> corpus = Corpus.from_sentences(["We sat on the grassy bank."], min_count=1)
        >>> batch = next(iter(Windows(corpus, size=2, subsample=None, targets=["sat"])))
        >>> [corpus.vocabulary.word(i) for i in batch.context[0][batch.mask[0]]]
        ['we', 'on', 'the']
    """

    def __init__(
        self,
        corpus: Corpus,
        size: int = 5,
        whole_sentence: bool = False,
        subsample: float | None = 1e-3,
        targets: str | Iterable[str] = "all",
        max_context: int | None = None,
        batch_size: int = 1024,
        seed: int = 0,
    ):
        for name, value in (("size", size), ("batch_size", batch_size), ("max_context", max_context)):
            if value is not None and (value != int(value) or value < 1):
                raise ValueError(f"{name} is {value}; expected a whole number of at least 1")
        if subsample is not None and not subsample > 0:
            raise ValueError(f"subsample is {subsample}; expected a positive number such as 1e-3, or None")
        self.corpus, self.batch_size, self.seed = corpus, int(batch_size), int(seed)
        self.size, self.whole_sentence, self.subsample = int(size), bool(whole_sentence), subsample
        self.targets = targets if isinstance(targets, str) else list(map(str, targets))
        lengths = np.diff(corpus.offsets)
        if max_context is None:
            longest = int(lengths.max()) - 1
            max_context = max(1, min(longest, LONGEST_CONTEXT)) if whole_sentence else 2 * size
        self.max_context = int(max_context)
        self._reach = LONGEST_SEGMENT if whole_sentence else size

        frequency = corpus.vocabulary.frequencies
        keep = np.ones(len(frequency)) if subsample is None else np.minimum(1, np.sqrt(subsample / frequency))
        self._keep_probability = keep.astype(np.float32)  # (V,)
        self._is_target, self._marked = self._choose_targets()
        self._starts, self._lengths = _segments(corpus.offsets, self._sentences_with_targets())
        # A chunk ends where the running count of tokens passes a multiple of CHUNK.
        number = (np.cumsum(self._lengths) - 1) // CHUNK
        self._chunks = np.concatenate([[0], np.flatnonzero(np.diff(number)) + 1, [len(number)]])
        self._position = (0, 0, 0)  # epoch, group of chunks, windows of the group that were given

    def __iter__(self) -> Iterator[WindowBatch]:
        epoch, group, given = self._position
        groups = -(-(len(self._chunks) - 1) // CHUNKS)
        parts, wanted = [], self.batch_size
        while group < groups:
            block = self._block(epoch, group)
            while given < len(block):
                part = block.windows(given, min(given + wanted, len(block)))
                parts.append(part)
                given, wanted = given + len(part), wanted - len(part)
                if not wanted:
                    at_end = group == groups - 1 and given == len(block)
                    self._position = (epoch + 1, 0, 0) if at_end else (epoch, group, given)
                    yield _join(parts)
                    parts, wanted = [], self.batch_size
            group, given = group + 1, 0
        self._position = (epoch + 1, 0, 0)
        if parts:
            yield _join(parts)

    def take(self, n: int) -> Iterator[WindowBatch]:
        """The next n batches, over as many epochs as it takes.

        Raises:
            ValueError: an epoch without a single window (every sentence has one word).
        """
        while n > 0:
            before = n
            epoch = self._position
            for batch in self:
                n -= 1
                yield batch
                if not n:
                    return
            if n == before and epoch[1:] == (0, 0):
                raise ValueError("the corpus has no windows: no sentence with a target has a second word")

    def state(self) -> dict:
        """Where the stream stands, as plain JSON: after `restore` the same batches follow, bit for bit."""
        epoch, *position = self._position
        return {"seed": self.seed, "epoch": epoch, "position": position, "settings": self._settings()}

    def restore(self, state: dict) -> None:
        """Goes to a place saved by `state`.

        Raises:
            ValueError: the state belongs to other settings or another corpus.
        """
        mine, theirs = self._settings(), state["settings"]
        for name in mine:
            if mine[name] != theirs.get(name):
                raise ValueError(
                    f"the saved state has {name} = {theirs.get(name)!r}, these windows {mine[name]!r}; "
                    "the same batches follow only with the same settings and corpus"
                )
        self.seed = state["seed"]
        self._position = (state["epoch"], *state["position"])

    def _settings(self) -> dict:
        names = ("size", "whole_sentence", "subsample", "targets", "max_context", "batch_size")
        sizes = {"n_tokens": self.corpus.n_tokens, "n_words": len(self.corpus.vocabulary)}
        return {name: getattr(self, name) for name in names} | sizes

    @property
    def per_epoch(self) -> float:
        """About how many windows an epoch has: an expectation, a little high where sentences are short."""
        if self._marked is not None:
            return float(len(self._marked))
        counts = self.corpus.vocabulary.counts * (self.corpus.n_tokens / self.corpus.vocabulary.total)
        return float(counts @ (self._keep_probability if self._is_target is None else self._is_target))

    def occurrences(self, word: str) -> WindowBatch:
        """All windows of `word` in text order, nothing thinned out; for evaluation.

        With targets="marked" only where the word is marked. Windows without context are there too.
        """
        id = self.corpus.vocabulary[word]
        if self._marked is not None:
            centre = self._marked[self.corpus.ids[self._marked] == id]
        else:
            centre = find(self.corpus.ids, lambda ids: ids == id)
        sentence = self.corpus.sentence_of(centre)
        low, high = self.corpus.offsets[sentence], self.corpus.offsets[sentence + 1]
        context, mask = _contexts(self.corpus.ids, centre, low, high, self._reach, self.max_context)
        return WindowBatch(self.corpus.ids[centre].astype(np.int64), context, mask, centre)

    def _choose_targets(self) -> tuple[np.ndarray | None, np.ndarray | None]:
        """Which words are targets (V,) or which positions (n,); neither where all are."""
        if isinstance(self.targets, list):
            chosen = np.zeros(len(self.corpus.vocabulary), dtype=bool)
            chosen[[self.corpus.vocabulary[word] for word in self.targets]] = True
            return chosen, None
        if self.targets == "all":
            return None, None
        if self.targets != "marked":
            raise ValueError(
                f"targets is {self.targets!r}; "
                f"expected 'all', 'marked' or a list of words such as [{self.targets!r}]"
            )
        if self.corpus.targets is None:
            raise ValueError("targets is 'marked', but no word is marked: corpus.targets is None")
        sentences = np.flatnonzero(self.corpus.targets >= 0)
        return None, self.corpus.offsets[sentences] + self.corpus.targets[sentences]

    def _sentences_with_targets(self) -> np.ndarray:
        """The numbers of the sentences to read: with few targets, few."""
        if self._is_target is None and self._marked is None:
            return np.flatnonzero(np.diff(self.corpus.offsets) > 1)
        found = self._marked
        if found is None:
            found = find(self.corpus.ids, lambda ids: self._is_target[ids])
        if not len(found):
            raise ValueError("no target occurs in this corpus; expected at least one, or targets='all'")
        return np.unique(self.corpus.sentence_of(found))

    def _block(self, epoch: int, group: int) -> "_Block":
        """The shuffled windows of one group of chunks, drawn from nothing but (seed, epoch, group)."""
        order = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, 0)))
        chunks = order.permutation(len(self._chunks) - 1)[group * CHUNKS : (group + 1) * CHUNKS]
        rng = np.random.default_rng(np.random.SeedSequence(self.seed, spawn_key=(epoch, 1 + group)))
        segments = ranges(self._chunks[chunks], self._chunks[chunks + 1] - self._chunks[chunks])
        lengths = self._lengths[segments]
        position = ranges(self._starts[segments], lengths)
        ids = np.asarray(self.corpus.ids[position])

        centre = None
        if self._is_target is not None:
            centre = self._is_target[ids]
        elif self._marked is not None:
            centre = np.isin(position, self._marked, assume_unique=True)
        if self.subsample is not None:
            kept = rng.random(len(ids), dtype=np.float32) < self._keep_probability[ids]
            if centre is not None:
                kept |= centre
                centre = centre[kept]
            before = np.concatenate([[0], np.cumsum(kept)])
            ends = np.cumsum(lengths)
            lengths = before[ends] - before[ends - lengths]
            ids, position = ids[kept], position[kept]
        high = np.repeat(np.cumsum(lengths), lengths)
        low = high - np.repeat(lengths, lengths)
        has_context = high - low > 1
        rows = np.flatnonzero(has_context if centre is None else centre & has_context)
        return _Block(ids, position, low, high, rng.permutation(rows), self._reach, self.max_context)


class _Block(NamedTuple):
    ids: np.ndarray  # (n,) tokens of some segments, end to end, thinned out
    position: np.ndarray  # (n,) where each stands in the corpus
    low: np.ndarray  # (n,) where its segment begins among these n
    high: np.ndarray  # (n,) and ends
    centre: np.ndarray  # (windows,) shuffled
    reach: int
    width: int

    def __len__(self) -> int:
        return len(self.centre)

    def windows(self, first: int, end: int) -> WindowBatch:
        centre = self.centre[first:end]
        low, high = self.low[centre], self.high[centre]
        context, mask = _contexts(self.ids, centre, low, high, self.reach, self.width)
        return WindowBatch(self.ids[centre].astype(np.int64), context, mask, self.position[centre])


def _contexts(ids, centre, low, high, reach: int, width: int) -> tuple[np.ndarray, np.ndarray]:
    """The `width` words nearest to `centre` (B,) within [low, high) and `reach`: ids, mask (B, width)."""
    first, end = np.maximum(low, centre - reach), np.minimum(high, centre + reach + 1)
    first = np.clip(centre - width // 2, first, np.maximum(first, end - width - 1))
    place = first[:, None] + np.arange(width)
    place += place >= centre[:, None]  # the centre is not in its own context
    mask = place < end[:, None]
    context = np.where(mask, ids[np.minimum(place, len(ids) - 1)], -1)
    return context.astype(np.int64, copy=False), mask


def _segments(offsets: np.ndarray, sentences: np.ndarray) -> tuple[np.ndarray, np.ndarray]:
    """Starts and lengths of these sentences, the longest ones cut in pieces; int64, (segments,) each."""
    starts, lengths = offsets[:-1][sentences], np.diff(offsets)[sentences]
    pieces = -(-lengths // LONGEST_SEGMENT)
    within = ranges(np.zeros_like(pieces), pieces) * LONGEST_SEGMENT
    rest = np.repeat(lengths, pieces) - within
    return np.repeat(starts, pieces) + within, np.minimum(rest, LONGEST_SEGMENT)


def _join(parts: list[WindowBatch]) -> WindowBatch:
    return parts[0] if len(parts) == 1 else WindowBatch(*map(np.concatenate, zip(*parts, strict=True)))
