"""What all embeddings share: vocabulary, fitting, words and sentences."""

import time
from pathlib import Path

import numpy as np
import torch
from torch import Tensor, nn
from torch.distributions import Distribution

from labkit.embeddings.parameters import Parameters
from labkit.embeddings.saving import REGISTRY, load_model, save_model
from labkit.embeddings.warm import read_vectors, spectral_vectors
from labkit.folders import CheckpointError
from labkit.text import Corpus, Tokenizer, Vocabulary, WindowBatch, Windows, load_corpus
from labkit.training import one_thread, pick_device, train

THIN_OUT = 1e-3  # words more frequent than this are thinned out (the t of `Windows`) …
WORDS_TO_SPARE = 100_000  # … in a corpus of at least so many words


class NotFittedError(ValueError, AttributeError):
    """An embedding was asked for what it learns in `fit`, before `fit`."""


class Embedding(Parameters, nn.Module):
    """A model of p(c∣w): which words come around a word. `model[word]` is what it makes of the word.

    Hyper-parameters are arguments of `__init__` and nothing else; `fit(corpus)` learns, returns the model, and
    leaves what it learned in attributes that end in an underscore.

    Attributes after fit:
        vocabulary_: of the corpus, V words.
        words_: the words that have a density of their own: all of them, or, where a corpus marks one word in a
            sentence, the marked ones.
        counts_: how often each of `words_` was a centre, (len(words_),).
        losses_, seconds_: nats per context word at each step, and how long training took, warm start included.
    """

    thin_out = THIN_OUT  # of words in a large corpus; a model may make a setting of it

    def __init_subclass__(cls, **options):
        super().__init_subclass__(**options)
        if "__init__" in vars(cls):  # a class without settings of its own is no model
            REGISTRY[cls.__name__] = cls

    # --- fitting ----------------------------------------------------------------------------------------------

    def fit(
        self, corpus: Corpus, *, progress: bool = True, checkpoint: str | Path | None = None,
        resume: bool = False, callback=None,
    ) -> "Embedding":  # fmt: skip
        """Learn from a corpus. Ctrl-C stops early and keeps the best state so far.

        Arguments:
            corpus: a `Corpus`. If it marks a word in each sentence, those are the centres and the sentence is
                the window; otherwise every word is a centre, with `window` words on each side.
            progress: show a progress bar.
            checkpoint: a folder to which the state of training goes every 1,000 steps and at Ctrl-C.
            resume: go on from there instead of starting.
            callback: called as callback(steps done, nats per context word) after each step.

        Raises:
            ValueError: for a hyper-parameter out of its range.
            TrainingDiverged: if the loss becomes NaN; the model is left in its last good state.
            FileNotFoundError, CheckpointError: nothing to resume from, or the state of another training.
        """
        self._check()
        if resume and checkpoint is None:
            raise ValueError("resume needs the folder to go on from; expected checkpoint='runs/...'")
        device = pick_device(self.device)
        started = time.perf_counter()
        vectors = None if resume else self._first_vectors(corpus)
        self._prepare(corpus)
        if vectors is not None:
            with torch.no_grad():
                self._take_vectors(*vectors)
        self.to(device).train()
        try:
            with one_thread(device):
                self.losses_ = train(
                    self, self._windows(corpus), self.steps, self.learning_rate, self.seed, progress, checkpoint,
                    resume=resume, callback=callback,
                )  # fmt: skip
        except (FileNotFoundError, CheckpointError):
            del self.words_  # nothing was learned
            raise
        finally:
            self.seconds_ = time.perf_counter() - started
            self.eval()
        return self

    def steps_per_pass(self, corpus: Corpus) -> int:
        """How many steps one pass over the corpus takes."""
        return -(-int(self._windows(corpus).per_epoch) // self.batch_size)

    def _windows(self, corpus: Corpus) -> Windows:
        if corpus.targets is not None:
            return Windows(corpus, whole_sentence=True, subsample=None, targets="marked",
                           batch_size=self.batch_size, seed=self.seed)  # fmt: skip
        thin_out = self.thin_out if corpus.n_tokens >= WORDS_TO_SPARE else None
        return Windows(
            corpus, size=self.window, subsample=thin_out, batch_size=self.batch_size, seed=self.seed
        )

    def _prepare(self, corpus: Corpus) -> None:
        """Vocabulary, counts and fresh weights."""
        counts = np.bincount(corpus.ids, minlength=len(corpus.vocabulary))
        centres = counts
        if corpus.targets is not None:
            marked = corpus.targets >= 0
            places = corpus.offsets[:-1][marked] + corpus.targets[marked]
            centres = np.bincount(corpus.ids[places], minlength=len(corpus.vocabulary))
        ids = np.flatnonzero(centres)
        words = [corpus.vocabulary.word(int(i)) for i in ids]
        self._set_words(corpus.vocabulary, words, centres[ids], counts)
        cut = corpus.tokenizer
        self.tokenizer_ = cut if isinstance(cut, Tokenizer) else Tokenizer(False, None, function=cut)
        self.corpus_, self.corpus_name_ = corpus, corpus.name

    def _set_words(self, vocabulary: Vocabulary, words: list[str], centre_counts, counts) -> None:
        vars(self).pop("words_", None)  # not fitted, should the settings turn out to be wrong
        self.context_counts_ = torch.as_tensor(np.asarray(counts))
        for name in list(self._modules):
            delattr(self, name)
        with torch.random.fork_rng(devices=[]):
            torch.random.default_generator.manual_seed(int(self.seed))
            self._build(len(words), self.context_counts_)
        rows = torch.full((len(vocabulary),), -1)
        rows[[vocabulary[word] for word in words]] = torch.arange(len(words))
        self.register_buffer("_centre_rows", rows, persistent=False)
        self._row = {word: row for row, word in enumerate(words)}
        self.vocabulary_, self.words_, self.counts_ = vocabulary, list(words), np.asarray(centre_counts)

    def _build(self, n_words: int, counts: Tensor) -> None:
        """Make the modules, for `n_words` centres and V = len(counts) context words."""
        raise NotImplementedError

    def _first_vectors(self, corpus: Corpus) -> tuple[Tensor, Tensor] | None:
        """Where to start: from co-occurrence ("spectral"), a text file of vectors (its path), or cold (None)."""
        windows = self._windows(corpus)
        if self.init is None:
            return None
        if self.init == "spectral":
            vectors = spectral_vectors(windows, self.vector_dim, self.seed)
            found = np.ones(len(vectors), dtype=bool)
        else:
            if not Path(self.init).is_file():
                raise FileNotFoundError(f"init is {self.init!r}; expected 'spectral', None or a file of vectors")
            vectors, found = read_vectors(self.init, corpus.vocabulary)
            if vectors.shape[1] != self.vector_dim:
                raise ValueError(
                    f"{self.init} has vectors of {vectors.shape[1]} numbers, and vector_dim is "
                    f"{self.vector_dim}; expected them equal: set vector_dim={vectors.shape[1]}"
                )
            vectors = vectors / max(vectors[found].std(), 1e-12)
        return torch.as_tensor(vectors, dtype=torch.float32), torch.as_tensor(found)

    def _take_vectors(self, vectors: Tensor, found: Tensor) -> None:
        """Put vectors (V, vector_dim) of unit scale into the tables; `found` says which words have one."""
        raise NotImplementedError

    def loss(self, batch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """What is minimised and what is reported, nats per context word, for a batch of windows."""
        raise NotImplementedError

    def _tensors(self, batch) -> tuple[Tensor, Tensor, Tensor]:
        """Centre rows (B,), contexts (B, M) and mask (B, M) on the model's device."""
        device = self._centre_rows.device
        centre = self._centre_rows[torch.as_tensor(batch.centre, device=device)]
        return centre, torch.as_tensor(batch.context, device=device), torch.as_tensor(batch.mask, device=device)

    # --- words ------------------------------------------------------------------------------------------------

    def __getattr__(self, name: str):
        try:
            return super().__getattr__(name)
        except AttributeError:
            if name == "words" or (name.endswith("_") and not name.startswith("_")):
                self._fitted()
            raise

    def _fitted(self) -> None:
        if "words_" not in vars(self):
            raise NotFittedError(f"this {type(self).__name__} is not fitted; call fit(corpus), or lk.load(folder)")

    def row(self, word: str) -> int:
        """The row of a word among `words_`; a KeyError with the nearest spellings if it has none."""
        self._fitted()
        if word in self._row:
            return self._row[word]
        if word in self.vocabulary_:
            shown = ", ".join(self.words_[:5])
            raise KeyError(
                f"{word!r} occurs in this corpus only around other words, and has no density; "
                f"the {len(self.words_)} words that have one begin with {shown}"
            )
        return self.vocabulary_[word]  # raises, with the nearest spellings

    def __contains__(self, word) -> bool:
        return word in getattr(self, "_row", ())

    def __getitem__(self, word: str) -> Distribution:
        raise NotImplementedError

    @property
    def words(self) -> list[str]:
        """The words that have a density."""
        self._fitted()
        return self.words_

    @property
    def name(self) -> str:
        """The name of the class."""
        return type(self).__name__

    @property
    def n_parameters_(self) -> int:
        """The number of learned numbers."""
        self._fitted()
        return sum(p.numel() for p in self.parameters())

    def count_parameters(self, n_words: int, n_vocabulary: int) -> int:
        """How many learned numbers a model with these settings has for so many centres and context words."""
        twin = type(self)(**self.get_params())
        with torch.device("meta"):
            twin._build(n_words, torch.ones(n_vocabulary))
        return sum(p.numel() for p in twin.parameters())

    # --- sentences --------------------------------------------------------------------------------------------

    def encode_context(self, context, word: str) -> np.ndarray:
        """Ids of the known words of a sentence or list of words, `word` itself left out once.

        Raises:
            ValueError: if none is known, naming the words that were looked for.
        """
        self._fitted()
        tokens = self.tokenizer_(context) if isinstance(context, str) else list(context)
        if word in tokens:
            tokens.remove(word)
        ids = self.vocabulary_.encode(tokens, unknown="skip")
        if not len(ids):
            raise ValueError(
                f"no word of the context is known: got {' '.join(tokens)!r}; expected at least one of the "
                f"{len(self.vocabulary_):,} words of the vocabulary beside {word!r}"
            )
        return ids

    def occurrences(self, word: str, at_most: int = 500) -> tuple[Corpus, WindowBatch] | None:
        """The corpus and the windows of a word in it; None if the model was loaded and its corpus is not known.

        Set `model.corpus_ = corpus` to give a loaded model its sentences back. Ids of contexts are those of the
        model's vocabulary, whatever the corpus: −1 where the model does not know a word. Of more than `at_most`
        windows a random choice is given, those first whose sentence the corpus marks as natural (label "natural").
        """
        if getattr(self, "corpus_", None) is None:
            if self.corpus_name_ is None:
                return None
            self.corpus_ = load_corpus(self.corpus_name_)
        if word not in self.corpus_.vocabulary:
            return None
        windows = self._windows(self.corpus_).occurrences(word)
        if self.corpus_.vocabulary.words != self.vocabulary_.words:
            ids = np.array([self.vocabulary_.get(w, -1) for w in self.corpus_.vocabulary.words] + [-1])
            context = ids[windows.context]
            windows = WindowBatch(windows.centre, context, context >= 0, windows.occurrence)
        if len(windows) > at_most:
            rows = np.random.default_rng(0).permutation(len(windows))
            if "natural" in self.corpus_.labels:
                natural = self.corpus_.labels["natural"][self.corpus_.sentence_of(windows.occurrence[rows])]
                rows = rows[np.argsort(~natural, kind="stable")]
            rows = rows[:at_most]
            windows = WindowBatch(*(field[np.sort(rows)] for field in windows))
        return self.corpus_, windows

    # --- saving -----------------------------------------------------------------------------------------------

    def save(self, path: str | Path) -> None:
        """Write a folder: tensors in safetensors, settings, vocabulary and words in JSON. Replaced atomically."""
        self._fitted()
        save_model(self, path)

    @staticmethod
    def load(path: str | Path) -> "Embedding":
        """The model that `save` wrote, or a shipped one by its name: lk.load("quickstart").

        Raises:
            FileNotFoundError: no checkpoint there.
            CheckpointError: a truncated, changed or foreign one.
        """
        return load_model(path)
