"""Pictures of chosen words while a model learns them, and the buttons that start, hold and stop the learning."""

import threading
from collections.abc import Callable, Sequence
from typing import NamedTuple

from labkit.view.explorer.answers import Block, curve, regions
from labkit.view.explorer.fields import Field, Reading
from labkit.view.explorer.frames import frame_of
from labkit.view.projection import Limits

FIRST_STEPS = (1, 5, 10, 20, 50)  # much happens early


class Frame(NamedTuple):
    """One moment of a training: steps done, nats per context word, and the fields of the chosen words."""

    step: int
    loss: float
    fields: dict[str, Field]


class TrainingRecorder:
    """Keeps the densities of some words while their model is trained; `lk.explore(model, training=…)` plays them.

    Hand it to `fit` as the callback, or let it run the training in the background, where the explorer's buttons
    start, hold and stop it. To stop keeps the best state so far, as Ctrl-C does.

    Arguments:
        model: an embedding over k ≤ 2 coordinates.
        words: whose densities to keep; they have to occur in the corpus.
        corpus: what `start` trains on; not needed for a callback.
        every: steps between two frames; a few more are kept at the beginning.
        resolution: nodes of a frame along an axis.

    Raises:
        ValueError: no words, or `every` below 1.

    Example:
        >>> import labkit as lk
        >>> from labkit.view import TrainingRecorder
        >>> corpus = lk.Corpus.from_sentences(["a small red boat", "a big red bus", "a small boat"] * 9, min_count=1)
        >>> model = lk.StochasticEmbedding(steps=12, layers=1, bins=4, vector_dim=4, word_dim=4, batch_size=8)
        >>> recorder = TrainingRecorder(model, ["red"], every=6)
        >>> _ = model.fit(corpus, progress=False, callback=recorder)
        >>> [frame.step for frame in recorder.frames]
        [1, 5, 6, 10, 12]
    """

    def __init__(self, model, words: Sequence[str], corpus=None, every: int = 50, resolution: int = 64):
        if not words or every < 1:
            raise ValueError(f"expected at least one word and every >= 1; got words={list(words)} and every={every}")
        self.model, self.words, self.corpus, self.every = model, list(words), corpus, every
        self.resolution = resolution
        self.frames: list[Frame] = []
        self.listener: Callable[[], None] | None = None
        self.trouble = ""
        self._go, self._stopping, self._thread = threading.Event(), False, None
        self._go.set()
        self._drawn = {}

    def __call__(self, step: int, loss: float) -> None:
        """What `fit` calls after each step; waits while held, and ends the training when stopped."""
        self._go.wait()
        if self._stopping:
            raise KeyboardInterrupt
        if step % self.every == 0 or step in (*FIRST_STEPS, getattr(self.model, "steps", 0)):
            self.keep(step, loss)

    def keep(self, step: int, loss: float) -> None:
        """Keep a frame of the model as it is now."""
        fields = {word: Reading(self.model, word, None, self.resolution).field for word in self.words}
        self.frames.append(Frame(step, float(loss), fields))
        self._tell()

    # --- start, hold, go on, stop -----------------------------------------------------------------------------

    @property
    def state(self) -> str:
        """ "ready", "running", "held" or "done"."""
        if self._thread is None or not self._thread.is_alive():
            return "done" if self.frames else "ready"
        return "running" if self._go.is_set() else "held"

    def start(self) -> None:
        """Train in the background, from the beginning; does nothing while a training runs.

        Raises:
            ValueError: without a corpus.
        """
        if self.corpus is None:
            raise ValueError("there is nothing to train on: expected TrainingRecorder(..., corpus=corpus)")
        if self._thread is not None and self._thread.is_alive():
            return
        self.frames, self._drawn, self.trouble, self._stopping = [], {}, "", False
        self._go.set()
        self._thread = threading.Thread(target=self._run, daemon=True)
        self._thread.start()

    def hold(self) -> None:
        """Let the training wait after its step."""
        self._go.clear()
        self._tell()

    def go_on(self) -> None:
        """Let a held training go on."""
        self._go.set()
        self._tell()

    def stop(self) -> None:
        """End the training after its step."""
        self._stopping = True
        self._go.set()

    def wait(self, seconds: float | None = None) -> None:
        """Wait until the training is over, or so many seconds."""
        if self._thread is not None:
            self._thread.join(seconds)

    def _run(self) -> None:
        try:
            self.model.fit(self.corpus, progress=False, callback=self)
        except Exception as error:  # in a thread nobody else would hear of it
            self.trouble = f"{type(error).__name__}: {error}"
        self._thread = None
        self._tell()

    def _tell(self) -> None:
        if self.listener is not None:
            self.listener()

    # --- the page ---------------------------------------------------------------------------------------------

    def picture(self, word: str, number: int, limits: Limits) -> tuple[dict, bytes]:
        """One frame of a word as the page draws it."""
        key = (word, number, limits)
        if key not in self._drawn:
            frame, block = self.frames[number], Block()
            seen = frame.fields[word]
            kind = "plane" if len(seen.axes) == 2 else "line"
            head = {
                "word": word, "context": "", "k": len(seen.axes), "kind": kind, "limits": limits, "outside": 0.0,
                "step": frame.step, "loss": round(frame.loss, 3), "entropy": round(seen.entropy, 3),
                "model": str(getattr(self.model, "name", "")),
            }  # fmt: skip
            head |= curve(block, seen) if kind == "line" else regions(block, seen, limits)
            self._drawn[key] = head, block.bytes
        return self._drawn[key]

    def limits(self, word: str) -> Limits:
        """Limits that hold nearly all of a word in every frame so far."""
        return frame_of(*(frame.fields[word].draw(512)[0] for frame in self.frames))
