"""A corpus: the words of many sentences as one array of ids, and the sentences themselves for display."""

import itertools
from array import array
from collections.abc import Iterable
from pathlib import Path
from typing import SupportsIndex

import numpy as np
import pandas as pd

from labkit.text.building import BUFFER, TokenStore, build, ranges
from labkit.text.reading import FileTexts, JoinedTexts, as_text, characters, json_rows, open_bytes, text_rows


class Corpus:
    """Sentences as ids, made by `load`, `from_text`, `from_jsonl`, `from_dataframe` or `from_sentences`.

    Options of all of these:
        tokenizer: a `Tokenizer`, or any function from a text to a list of words; default `Tokenizer()`.
        min_count: words seen less often are dropped (default 5; pass 1 for a small corpus).
        max_size: the most words to keep, the most frequent ones; None for all.
        stop_words: words to drop as well. Dropped words leave no gap: windows reach across them.
        vocabulary: use the words and ids of this `Vocabulary` instead of choosing them.
        cache_dir: folder for a memory-mapped file of ids. Default: up to 2^24 tokens stay in memory, more go
            to the system's temporary folder. The file is removed with the corpus.

    Attributes:
        ids: int32 (n_tokens,), all sentences end to end; a memory map if large.
        offsets: int64 (n + 1,), sentence i is ids[offsets[i]:offsets[i + 1]]. A sentence that has lost all
            its words stays, empty, so that columns stay aligned; blank lines of files are skipped.
        vocabulary, tokenizer: what made the ids.
        coverage: the share of the words read that was kept.
        targets: None, or int64 (n,): the place of the marked token in its sentence, -1 where there is none
            or it was dropped.
        senses, sense_names: None, or int32 (n,) indices into the list of names, -1 where unknown.
        labels: further columns by name, each an array (n,).
        name: by which `load_corpus` finds it again, or None.

    Example:
        >>> corpus = Corpus.from_sentences(["The bank lends money.", "We sat on the bank."], min_count=1)
        >>> corpus
        Corpus(2 sentences, 9 tokens, 7 words; 100.0 % of the words read)
        >>> corpus.words(1), corpus.sentence(1)
        (['we', 'sat', 'on', 'the', 'bank'], 'We sat on the bank.')
    """

    def __init__(self, ids, offsets, texts, vocabulary, tokenizer, coverage=1.0,
                 targets=None, senses=None, sense_names=None, labels=None, store=None):  # fmt: skip
        self.ids, self.offsets, self.texts = ids, offsets, texts
        self.vocabulary, self.tokenizer, self.coverage = vocabulary, tokenizer, coverage
        self.targets, self.senses, self.sense_names = targets, senses, sense_names
        self.labels = dict(labels or {})
        self.name = None  # by which `load_corpus` would find it again
        self._store = store  # removes the memory-mapped file when the corpus goes

    @classmethod
    def load(cls, path, **options) -> "Corpus":
        """A corpus from a file, by its suffix: .txt, .jsonl, .csv or .tsv, each perhaps with .gz after it.

        Options as in `from_text`, `from_jsonl` and `from_dataframe` (its column is "sentence" if not said).
        """
        path = Path(path)
        suffix = Path(path.name.removesuffix(".gz")).suffix
        if suffix == ".txt":
            return cls.from_text(path, **options)
        if suffix == ".jsonl":
            return cls.from_jsonl(path, **options)
        if suffix in (".csv", ".tsv"):
            with open_bytes(path) as file:
                encoding = options.pop("encoding", "utf-8")
                table = pd.read_csv(file, sep="," if suffix == ".csv" else "\t", encoding=encoding)
            return cls.from_dataframe(table, **{"column": "sentence"} | options)
        raise ValueError(
            f"cannot tell what {path.name} is; expected .txt, .jsonl, .csv or .tsv, perhaps with .gz after it"
        )

    @classmethod
    def from_text(cls, paths, *, also: Iterable[str] = (), encoding: str = "utf-8", **options) -> "Corpus":
        """Text files (.txt, .txt.gz), a sentence or paragraph a line, read in one pass and in bounded memory.

        What is held is the table of distinct words, 32 bytes a line, and about a MiB of text at a time: a
        long line is read in pieces. `sentence(i)` reads its line from the file again.

        `also` holds sentences that come after those of the files; they stay in memory.
        """
        paths = [Path(p) for p in ([paths] if isinstance(paths, str | Path) else paths)]
        spans, more = array("q"), list(also)
        rows = itertools.chain(text_rows(paths, encoding, spans), ((text, True) for text in more))
        parts = build(rows, **options)
        texts = FileTexts(paths, spans, encoding)
        return cls(texts=JoinedTexts(texts, more) if more else texts, **parts)

    @classmethod
    def from_jsonl(
        cls, path, field="sentence", *, target=None, sense=None, labels=(), encoding="utf-8", **options
    ):
        """A file with one JSON object a line, whose `field` holds a text or a list of words.

        `target`, `sense` and `labels` name further fields. A target is the number of a token, counted from 0
        before any word is dropped, or the word itself (its first occurrence).
        """
        path, spans = Path(path), array("q")
        columns = {name: [] for name in (target, sense, *labels) if name is not None}
        parts = build(
            json_rows(path, field, encoding, spans, columns),
            targets=columns.get(target),
            senses=columns.get(sense),
            labels={name: columns[name] for name in labels},
            **options,
        )
        for name, values in columns.items():
            if all(value is None for value in values):
                raise ValueError(f"no line of {path} has the field {name!r}")
        return cls(texts=FileTexts([path], spans, encoding, field), **parts)

    @classmethod
    def from_dataframe(
        cls, df: pd.DataFrame, column: str, *, target=None, sense=None, labels=(), **options
    ) -> "Corpus":
        """The texts (or lists of words) in `column` of a table.

        `target`, `sense` and `labels` name further columns, as in `from_jsonl`.
        """
        for name in filter(None, (column, target, sense, *labels)):
            if name not in df.columns:
                raise ValueError(
                    f"the DataFrame has no column {name!r}; it has {', '.join(map(repr, df.columns))}"
                )
        bad = ~df[column].map(lambda x: isinstance(x, str | list | tuple))
        if bad.any():
            place = int(bad.to_numpy().argmax())
            raise ValueError(
                f"row {place} of column {column!r} is {df[column].iloc[place]!r}; expected a text; "
                f"drop such rows with df.dropna(subset=[{column!r}])"
            )
        return cls.from_sentences(
            df[column],
            targets=None if target is None else df[target],
            senses=None if sense is None else df[sense],
            labels={name: df[name] for name in labels},
            **options,
        )

    @classmethod
    def from_sentences(
        cls, sentences: Iterable, *, targets=None, senses=None, labels=None, **options
    ) -> "Corpus":
        """Texts, or lists of words, which are taken as they are. All stay in memory; else use `from_text`.

        `targets`, `senses`: one entry a sentence, as in `from_jsonl`; `labels`: a dict of such columns.
        """
        if isinstance(sentences, str):
            raise ValueError(
                f"got one text, {sentences!r:.60}; expected several sentences: [text], or text.splitlines()"
            )
        texts = list(sentences)
        columns = {"targets": targets, "senses": senses, **(labels or {})}
        columns = {name: list(column) for name, column in columns.items() if column is not None}
        for name, column in columns.items():
            if len(column) != len(texts):
                raise ValueError(
                    f"{name} has {len(column):,} entries; expected {len(texts):,}, one for each sentence"
                )
        parts = build(
            ((text, True) for text in texts),
            targets=columns.pop("targets", None),
            senses=columns.pop("senses", None),
            labels=columns,
            **options,
        )
        return cls(texts=[as_text(text) for text in texts], **parts)

    def __len__(self) -> int:
        return len(self.offsets) - 1

    @property
    def n_tokens(self) -> int:
        """The number of words kept, all sentences together."""
        return len(self.ids)

    def tokens(self, i: SupportsIndex) -> np.ndarray:
        """The ids of sentence i, int32 (n_i,)."""
        i = self._index(i)
        return self.ids[self.offsets[i] : self.offsets[i + 1]]

    def words(self, i: SupportsIndex) -> list[str]:
        """The kept words of sentence i."""
        return [self.vocabulary.words[t] for t in self.tokens(i)]

    def sentence(self, i: SupportsIndex) -> str:
        """Sentence i as it was written."""
        return self.texts[self._index(i)]

    def sentence_of(self, positions) -> np.ndarray | np.integer:
        """The numbers of the sentences in which these token positions (the `occurrence` of a window) lie."""
        return np.searchsorted(self.offsets, positions, side="right") - 1

    def _index(self, i: SupportsIndex) -> int:
        if not -len(self) <= i < len(self):
            raise IndexError(f"there is no sentence {i}; expected 0 to {len(self) - 1:,}")
        return int(i) % len(self)

    def split(self, fraction: float, seed: int = 0) -> tuple["Corpus", "Corpus"]:
        """A random `fraction` of the sentences, and the rest: corpora in text order with one vocabulary."""
        if not 0 < fraction < 1:
            raise ValueError(f"fraction is {fraction}; expected a number between 0 and 1")
        chosen = np.zeros(len(self), dtype=bool)
        chosen[np.random.default_rng(seed).permutation(len(self))[: round(fraction * len(self))]] = True
        if chosen.all() or not chosen.any():
            raise ValueError(f"a fraction of {fraction} of {len(self)} sentences leaves one side empty")
        return self.select(np.flatnonzero(chosen)), self.select(np.flatnonzero(~chosen))

    def select(self, indices: np.ndarray) -> "Corpus":
        """The corpus of these sentences, with the same vocabulary."""
        indices = np.arange(len(self))[indices]
        lengths = np.diff(self.offsets)[indices]
        starts, offsets = self.offsets[:-1][indices], np.concatenate([[0], np.cumsum(lengths)])
        store = TokenStore(self._store.folder if self._store else None)
        step = max(1, len(indices) * BUFFER // max(1, int(offsets[-1])))
        for a in range(0, len(indices), step):
            store.append(self.ids[ranges(starts[a : a + step], lengths[a : a + step])])

        def pick(column):
            return None if column is None else column[indices]

        in_memory = isinstance(self.texts, list)
        return Corpus(
            store.finish(),
            offsets,
            [self.texts[i] for i in indices] if in_memory else self.texts.select(indices),
            self.vocabulary,
            self.tokenizer,
            self.coverage,
            pick(self.targets),
            pick(self.senses),
            self.sense_names,
            {name: pick(column) for name, column in self.labels.items()},
            store,
        )

    def characters(self, alphabet: str = "abcdefghijklmnopqrstuvwxyz ") -> np.ndarray:
        """The text as a stream of characters, in the manner of text8: uint8 (n,) indices into `alphabet`.

        Lower case; accents come off letters that are not in the alphabet; what is left over becomes a space
        (where the alphabet has one), and runs of spaces one space, none at the ends.

        Example:
            >>> alphabet = "abcdefghijklmnopqrstuvwxyz "
            >>> stream = Corpus.from_sentences(["Émile’s 2 banks!", "Two."], min_count=1).characters(alphabet)
            >>> "".join(alphabet[c] for c in stream)
            'emile s banks two'
        """
        return characters(iter(self.texts), alphabet)

    def __repr__(self) -> str:
        return (f"Corpus({len(self):,} sentences, {self.n_tokens:,} tokens, {len(self.vocabulary):,} words; "
                f"{100 * self.coverage:.1f} % of the words read)")  # fmt: skip
