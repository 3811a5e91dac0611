"""From rows of text to arrays of ids, in one pass over the text and bounded memory."""

import shutil
import tempfile
import weakref
from array import array
from collections import defaultdict
from collections.abc import Callable, Iterable, Sequence
from pathlib import Path

import numpy as np
import pandas as pd

from labkit.text.tokenize import Tokenizer
from labkit.text.vocabulary import Vocabulary

IN_MEMORY_TOKENS = 1 << 24  # 64 MiB of ids; above it they go to a memory-mapped file
BUFFER = 1 << 20  # tokens worked on at a time


class TokenStore:
    """int32 ids laid end to end: in memory while few, otherwise in a file that is removed with the store.

    Arguments:
        folder: where the file goes, whatever its size. None: memory, and above 2^24 tokens the system's
            temporary folder.
    """

    def __init__(self, folder: str | Path | None = None):
        if folder is not None and not Path(folder).is_dir():
            raise FileNotFoundError(f"the folder {folder} does not exist (cache_dir); make it first")
        self.folder, self.n = folder, 0
        self._parts, self._file = [], None

    def append(self, ids: np.ndarray) -> None:
        self._parts.append(np.asarray(ids, dtype=np.int32))
        self.n += len(ids)
        if self._file is None and (self.folder is not None or self.n > IN_MEMORY_TOKENS):
            directory = tempfile.mkdtemp(prefix="labkit-", dir=self.folder)
            weakref.finalize(self, shutil.rmtree, directory, ignore_errors=True)
            self._file = Path(directory) / "ids.int32"
        if self._file is not None:
            with self._file.open("ab") as file:
                for part in self._parts:
                    part.tofile(file)
            self._parts = []

    def finish(self) -> np.ndarray:
        """All ids, int32 (n,); read-only if they lie in a file."""
        if self._file is None:
            return np.concatenate(self._parts) if self._parts else np.empty(0, dtype=np.int32)
        if self.n == 0:  # an empty file cannot be mapped
            return np.empty(0, dtype=np.int32)
        return np.memmap(self._file, dtype=np.int32, mode="r")


def ranges(starts: np.ndarray, lengths: np.ndarray) -> np.ndarray:
    """lengths[0] numbers from starts[0] on, then lengths[1] from starts[1] on, and so forth; int64."""
    before = np.cumsum(lengths) - lengths
    return np.arange(lengths.sum()) + np.repeat(starts - before, lengths)


def find(ids: np.ndarray, which: Callable[[np.ndarray], np.ndarray]) -> np.ndarray:
    """The positions at which `which(ids)` is True, int64; the ids are read a buffer at a time."""
    pieces = range(0, len(ids), BUFFER)
    return np.concatenate([a + np.flatnonzero(which(np.asarray(ids[a : a + BUFFER]))) for a in pieces])


def build(
    rows: Iterable[tuple[str | Sequence[str], bool]],
    *,
    tokenizer: Callable[[str], list[str]] | None = None,
    min_count: int = 5,
    max_size: int | None = None,
    stop_words: Iterable[str] = (),
    vocabulary: Vocabulary | None = None,
    cache_dir: str | Path | None = None,
    targets: list | None = None,
    senses: list | None = None,
    labels: dict[str, list] | None = None,
) -> dict:
    """What a `Corpus` is made of, but for its texts; the options are explained there.

    Rows are (text or list of words, whether it ends the sentence). Columns may grow while the rows are read.
    """
    tokenizer = Tokenizer() if tokenizer is None else tokenizer
    if isinstance(stop_words, str):
        raise ValueError(f"stop_words is the text {stop_words!r:.60}; expected a list of words")
    raw = TokenStore(cache_dir)
    table, offsets, marks = _intern(rows, tokenizer, raw, targets)
    seen = raw.finish()
    if vocabulary is None:
        vocabulary = _choose(table, seen, min_count, max_size, frozenset(stop_words))
    place = np.full(
        len(table), -1, dtype=np.int32
    )  # from the ids in order of reading to those of the vocabulary
    for word, i in table.items():
        place[i] = vocabulary.get(word, -1)
    place[[table[word] for word in stop_words if word in table]] = -1

    marked = np.flatnonzero(marks >= 0)  # sentences with a target, and where in the text it stands
    where = offsets[marked] + marks[marked]
    store = TokenStore(cache_dir)
    before_sentence, before_target = _drop(seen, place, store, offsets, where)
    if store.n == 0:
        raise ValueError(
            f"none of the {len(seen):,} words read is kept: all are stop words, or not in the vocabulary"
        )
    if targets is not None:
        survives = place[seen[where]] >= 0
        marks = np.full(len(offsets) - 1, -1, dtype=np.int64)
        marks[marked[survives]] = (before_target - before_sentence[marked])[survives]
    codes, names = (
        (None, None) if senses is None else pd.factorize(pd.Series(senses, dtype=object), sort=True)
    )
    return {
        "ids": store.finish(),
        "offsets": before_sentence,
        "vocabulary": vocabulary,
        "tokenizer": tokenizer,
        "coverage": store.n / raw.n,
        "targets": None if targets is None else marks,
        "senses": None if senses is None else codes.astype(np.int32),
        "sense_names": None if senses is None else list(names),
        "labels": {name: pd.Series(values).to_numpy() for name, values in (labels or {}).items()},
        "store": store,
    }


def _intern(rows, tokenizer, store: TokenStore, targets: list | None) -> tuple[dict, np.ndarray, np.ndarray]:
    """Numbers the words in order of first sight.

    Returns word -> number, the offsets of sentences (n + 1,), and the places of their targets (n,) or (0,).
    """
    table = defaultdict()
    table.default_factory = table.__len__  # an unseen word gets the next number, without leaving C
    offsets, marks, buffer, n = array("q", [0]), array("q"), array("i"), 0
    for content, last in rows:
        words = tokenizer(content) if isinstance(content, str) else content
        if not isinstance(words, list | tuple):
            raise ValueError(
                f"sentence {len(offsets) - 1} is {content!r:.60}; expected a text or a list of words"
            )
        buffer.extend(map(table.__getitem__, words))
        n += len(words)
        if last:
            if targets is not None:
                marks.append(_mark(targets[len(offsets) - 1], words, tokenizer, len(offsets) - 1))
            offsets.append(n)
        if len(buffer) >= BUFFER:
            store.append(np.array(buffer, dtype=np.int32))
            buffer = array("i")
    store.append(np.array(buffer, dtype=np.int32))
    for word in table:
        if not isinstance(word, str):
            raise ValueError(f"a word is {word!r}; expected words as str")
    table.default_factory = None
    return table, np.array(offsets, dtype=np.int64), np.array(marks, dtype=np.int64)


def _mark(target, words: Sequence[str], tokenizer, sentence: int) -> int:
    """The place of the marked word among `words`, -1 if none is marked."""
    if isinstance(target, str):
        cut = target if target in words else next(iter(tokenizer(target)), None)
        if cut not in words:
            raise ValueError(
                f"the target {target!r} of sentence {sentence} is not among its words: {list(words)!r:.90}"
            )
        return words.index(cut)
    if target is None or target is pd.NA or target != target or target < 0:  # a hole in a column, or -1
        return -1
    if target != int(target) or target >= len(words):
        raise ValueError(
            f"the target {target} of sentence {sentence} is not the number of one of its {len(words)} words, "
            "counted from 0 as the tokenizer cuts them"
        )
    return int(target)


def _choose(
    table: dict, seen: np.ndarray, min_count: int, max_size: int | None, stop: frozenset
) -> Vocabulary:
    """The vocabulary of the words read."""
    if not table:
        raise ValueError("the corpus has no words: the tokenizer found none in its text")
    if len(table) == 1:
        raise ValueError(
            f"the corpus has only one distinct word, {next(iter(table))!r}; a context needs at least two"
        )
    counts = np.zeros(len(table), dtype=np.int64)
    for a in range(0, len(seen), BUFFER):
        counts += np.bincount(seen[a : a + BUFFER], minlength=len(table))
    counter = {w: n for w, n in zip(table, counts.tolist(), strict=True) if w not in stop}
    vocabulary = Vocabulary.from_counts(counter, min_count, max_size)
    if len(vocabulary) < 2:
        raise ValueError(
            f"min_count={min_count} leaves {len(vocabulary)} of the {len(table):,} distinct words "
            f"({len(seen):,} words in all, {len(table) - len(counter):,} of the distinct ones stop words); "
            "a context needs at least two: for a small corpus pass min_count=1"
        )
    return vocabulary


def _drop(seen: np.ndarray, place: np.ndarray, store: TokenStore, *points: np.ndarray) -> list[np.ndarray]:
    """Stores the ids of the kept words; returns how many of them stand before each of the sorted `points`."""
    before = [np.empty(len(p), dtype=np.int64) for p in points]
    for a in range(0, len(seen), BUFFER):
        ids = place[seen[a : a + BUFFER]]
        kept = ids >= 0
        count = store.n + np.concatenate([[0], np.cumsum(kept)])
        for p, result in zip(points, before, strict=True):
            first, end = np.searchsorted(p, [a, a + len(ids)], side="left")
            result[first:end] = count[p[first:end] - a]
        store.append(ids[kept])
    for p, result in zip(points, before, strict=True):
        result[np.searchsorted(p, len(seen), side="left") :] = store.n
    return before
