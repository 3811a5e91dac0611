"""One widget in which a word's density is picked, moved by a sentence, compared, and taken along.

The page draws and asks; everything that is computed is computed here. A picture travels as a little JSON and one
block of bytes; `Session` makes it.
"""

from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import anywidget
import traitlets

from labkit.view.explorer_known import PICTURE, SENTENCES, WORDS, ambiguity, has_density
from labkit.view.explorer_session import Question, Session
from labkit.view.theme import MODE_COLOURS, POINT_COLOUR, REGION_COLOURS

HERE = Path(__file__).parent
PRESETS = ("bank", "spring", "tuesday")
LISTED, FRAMES_AT_ONCE = 40, 40


def front_end() -> str:
    """The page's script: every file of `explorer_front`, one behind the other.

    The files hold declarations only, so their order does not matter; one of them exports `render`.
    """
    return "\n".join(path.read_text("utf-8") for path in sorted((HERE / "explorer_front").glob("*.js")))


class Explorer(anywidget.AnyWidget):
    """The widget that `lk.explore` makes. Setting `word`, `context` or `other` from Python moves the picture.

    Attributes:
        word, context, other: the word, the sentence in which it is read, a second word; "" for none.
        session: what computes the answers.
    """

    _esm = front_end()
    _css = (HERE / "explorer.css").read_text("utf-8")

    word = traitlets.Unicode().tag(sync=True)
    context = traitlets.Unicode().tag(sync=True)
    other = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    first_bytes = traitlets.Bytes().tag(sync=True)

    def __init__(self, models, words, beside=(), context="", training=None, presets=(), resolution=120):
        self.session = Session([*models, *beside], [*presets, *words], resolution)
        self.training, self._choices = training, len(models)
        self._entries, self._sought = {}, {}
        # words and sentences of modes take longer than a picture, which must not wait for them
        self._workers = {detail: ThreadPoolExecutor(1) for detail in (WORDS, SENTENCES)}
        super().__init__(word=words[0], context=context)
        self.about = self._about([*models, *beside], presets)
        self._first_picture()
        self.on_msg(self._receive)
        if training is not None:
            training.listener = self._training_moved

    def _about(self, models, presets: Sequence[str]) -> dict:
        kinds = [
            {
                "name": str(getattr(model, "name", type(model).__name__)),
                "k": self.session.frames.k(number, self.word)
                if self._fitted(model) and self.word in model.words
                else 0,
                "beside": number >= self._choices,
            }
            for number, model in enumerate(models)
        ]
        looks = {"regions": list(REGION_COLOURS[::-1]), "modes": list(MODE_COLOURS), "point": POINT_COLOUR}
        about = {"models": kinds, "presets": list(presets), "colours": looks, "live": True}
        if self.training is not None:
            words = {"words": self.training.words, "startable": self.training.corpus is not None}
            about["training"] = words | self._training_state()
        return about

    @staticmethod
    def _fitted(model) -> bool:
        return not hasattr(type(model), "fit") or "words_" in vars(model)

    def _first_picture(self) -> None:
        """Sent along with the widget, so that the first paint waits for nothing."""
        try:
            self.first, self.first_bytes = self.session.picture(Question(self.word, self.context))
        except (KeyError, ValueError):
            self.first, self.first_bytes = {}, b""

    # --- messages ---------------------------------------------------------------------------------------------

    def _receive(self, widget, message: dict, buffers: list) -> None:
        """Answer a message of the page; what goes wrong is told there and not in the notebook."""
        ask = message.get("ask")
        answer = {"answer": ask, "view": message.get("view"), "seq": message.get("seq")}
        asked = {
            "picture": self._picture, "search": self._search, "rank": self._rank, "frames": self._frames,
            "train": self._train,
        }  # fmt: skip
        try:
            if ask not in asked:
                raise ValueError(f"the page asked {ask!r}; expected one of {', '.join(asked)}")
            if self.first:  # it has done its work, and a saved notebook is better off without it
                self.first, self.first_bytes = {}, b""
            header, block = asked[ask](message)
            self.send(answer | header, [block] if block else None)
        except Exception as error:
            text = error.args[0] if type(error) is KeyError and error.args else error
            self.send(answer | {"answer": "error", "asked": ask, "text": str(text)})

    def _picture(self, message: dict) -> tuple[dict, bytes]:
        detail = int(message.get("detail", PICTURE))
        question = Question.from_page(message["question"])
        if not all([self._found(number, word, detail) for number, word in self.session.concerned(question)]):
            return {"wait": True}, b""
        return self.session.picture(question, detail)

    def _found(self, number: int, word: str, detail: int) -> bool:
        """Whether a word is known in such detail; if not it is looked for in the background, and the page told.

        Raises:
            Exception: what went wrong in looking for it.
        """
        known, key = self.session.known(number, word), (number, word, detail)
        if known.has(detail):
            return True
        if key not in self._sought:
            self._sought[key] = self._workers[detail].submit(self._look, known, detail)
        elif self._sought[key].done():
            self._sought.pop(key).result()
        return known.has(detail)

    def _look(self, known, detail: int) -> None:
        try:
            known.look(detail)
        finally:
            self.send({"answer": "found", "word": known.word})

    # --- words ------------------------------------------------------------------------------------------------

    def _search(self, message: dict) -> tuple[dict, bytes]:
        """Words that begin with a text, then those that contain it, then nearest spellings."""
        model = self.session.models[int(message.get("model", 0))]
        text, entries = str(message.get("text", "")).strip(), self._vocabulary(int(message.get("model", 0)))
        found = [word for word in entries if word.startswith(text)]
        found += [word for word in entries if text in word and not word.startswith(text)]
        nearest = []
        if text and not found:
            nearest = [word for word in _nearest(model, text, list(entries)) if word in entries]
        listed = [entries[word] for word in found or nearest]
        if message.get("sort") == "ambiguous":
            listed = ambiguity(listed)
        known = sum("modes" in entry for entry in entries.values())
        return {"words": listed[:LISTED], "found": len(found), "nearest": bool(nearest), "ranked": known,
                "total": len(entries)}, b""  # fmt: skip

    def _vocabulary(self, number: int) -> dict[str, dict]:
        """word -> {word, count, modes, entropy}, most frequent first; the last two once they are known."""
        if number not in self._entries:
            model = self.session.models[number]
            counts = getattr(model, "counts_", None)
            counts = [0] * len(model.words) if counts is None else counts.tolist()
            pairs = sorted(zip(model.words, counts, strict=True), key=lambda pair: -pair[1])
            self._entries[number] = {word: {"word": word, "count": count} for word, count in pairs}
        return self._entries[number]

    def _rank(self, message: dict) -> tuple[dict, bytes]:
        """Modes and entropy of the next word for which they are not known: the page asks again when it is idle."""
        number = int(message.get("model", 0))
        entries = self._vocabulary(number)
        wanted = [word for word in message.get("words", ()) if word in entries] or list(entries)
        for word in wanted:
            if "modes" not in entries[word]:
                if has_density(self.session.models[number], word):
                    reading = self.session.reading(Question(word, model=number))
                    modes, spread = len(self.session.known(number, word).basins), reading.field.entropy
                else:
                    modes, spread = 1, float("-inf")
                entries[word] |= {"modes": modes, "entropy": round(max(spread, -1e9), 3)}
                return {"entry": entries[word]}, b""
        return {"entry": None}, b""

    # --- training ---------------------------------------------------------------------------------------------

    def _training_state(self) -> dict:
        frames = self.training.frames
        last = {"step": frames[-1].step, "loss": round(frames[-1].loss, 3)} if frames else {"step": 0, "loss": None}
        return last | {"frames": len(frames), "state": self.training.state, "trouble": self.training.trouble}

    def _training_moved(self) -> None:
        if self.training.state == "done":  # nothing that was found before is true any more
            self._forget()
        self.send({"answer": "trained", **self._training_state()})

    def _train(self, message: dict) -> tuple[dict, bytes]:
        does = {"start": self.training.start, "hold": self.training.hold, "go on": self.training.go_on,
                "stop": self.training.stop}  # fmt: skip
        does[message["do"]]()
        self._forget()
        return self._training_state(), b""

    def _forget(self) -> None:
        self.session.forget()
        self._entries.clear()
        self._sought.clear()

    def _frames(self, message: dict) -> tuple[dict, bytes]:
        """Frames of a word from a number on, in one block."""
        word, start = message["word"], int(message.get("start", 0))
        heads, blocks, at = [], [], 0
        if self.training.frames:
            limits = self.training.limits(word)
            for number in range(start, min(len(self.training.frames), start + FRAMES_AT_ONCE)):
                head, block = self.training.picture(word, number, limits)
                heads.append(head | {"at": at})
                blocks.append(block)
                at += len(block)
        return {"heads": heads, "start": start} | self._training_state(), b"".join(blocks)


def _nearest(model, text: str, words: list[str]) -> list[str]:
    import difflib

    vocabulary = getattr(model, "vocabulary_", None)
    near = difflib.get_close_matches(text, words, n=8) if len(words) <= 20_000 else []
    return near or (vocabulary.nearest(text) if vocabulary is not None else [])


def explore(
    model,
    words: Sequence[str] | None = None,
    compare=None,
    context: str = "",
    training=None,
    presets: Sequence[str] | None = None,
    resolution: int = 120,
) -> Explorer:
    """A widget to explore the densities of a model's words.

    Pick a word and see its highest-density regions; type a sentence and Bayes' rule moves them, p(z∣w,c) ∝
    p(z∣w) Π_j p(c_j∣z,w). Entropies and pulls are in nats.

    Arguments:
        model: an embedding; or several that differ in k, between which a slider then chooses.
        words: the first one is shown at first; all of them lie within the common frame. By default the presets,
            or the most frequent word.
        compare: another model of the same words, or several, to be shown beside it: points, Gaussians, mixtures.
        context: a sentence in which to read the first word.
        training: a `TrainingRecorder`, to watch the densities come to be.
        presets: words of the buttons; by default those of bank, spring and tuesday that the model knows.
        resolution: nodes of a density's grid along each axis.

    Raises:
        KeyError: a word that the model does not know.
        ValueError: no model.
        NotFittedError: a model that has learned nothing, without a training to watch.
    """
    models = list(model) if isinstance(model, Sequence) else [model]
    beside = [compare] if hasattr(compare, "words") else list(compare or ())
    if not models:
        raise ValueError("explore needs at least one model; got none")
    fresh = training is not None and not Explorer._fitted(models[0])
    known = training.words if fresh else models[0].words
    presets = [word for word in (PRESETS if presets is None else presets) if word in known]
    words = list(words) if words else presets[:1] or list(known[:1])
    if not fresh:
        for word in words:
            models[0][word]  # says what is wrong with a word that is not known
    return Explorer(models, words, beside, context, training, presets, resolution)
