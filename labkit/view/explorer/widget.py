"""One widget in which a word's density is picked, moved by a sentence, compared, and taken along.

The page draws and asks; everything that is computed is computed here. A picture travels as a little JSON and one
block of bytes; `Session` makes it.
"""

import time
from collections.abc import Callable, Sequence
from pathlib import Path

import anywidget
import traitlets

from labkit.view.explorer.background import Background
from labkit.view.explorer.known import PICTURE, SENTENCES, WORDS, has_density
from labkit.view.explorer.search import WordList
from labkit.view.explorer.session import Question, Session
from labkit.view.theme import MODE_COLOURS, POINT_COLOUR, REGION_COLOURS

FRONT = Path(__file__).parent / "front"
PRESETS = ("bank", "spring", "tuesday")
FRAMES_AT_ONCE = 40
WAIT_FOR = {
    "umap": "Making the neighbour map; the first one takes a while …",
    "lda": "Looking for the modes, which discriminants tell apart …",
}
TELL = 0.4  # s between two messages of how far the ranking of words has come


def front_end() -> str:
    """The page's script: every script of the folder `front`, one behind the other.

    The files hold declarations only, so their order does not matter; one of them exports `render`.
    """
    return "\n".join(path.read_text("utf-8") for path in sorted(FRONT.glob("*.js")))


def style() -> str:
    """The page's style sheet."""
    return (FRONT / "explorer.css").read_text("utf-8")


class Explorer(anywidget.AnyWidget):
    """The widget that `lk.explore` makes. Setting `word`, `context` or `other` from Python moves the picture.

    Attributes:
        word, context, other: the word, the sentence in which it is read, a second word; "" for none.
        session: what computes the answers.
    """

    _esm = front_end()
    _css = style()

    word = traitlets.Unicode().tag(sync=True)
    context = traitlets.Unicode().tag(sync=True)
    other = traitlets.Unicode().tag(sync=True)
    about = traitlets.Dict().tag(sync=True)
    first = traitlets.Dict().tag(sync=True)
    first_bytes = traitlets.Bytes().tag(sync=True)

    def __init__(self, models, words, beside=(), context="", training=None, presets=(), resolution=120):
        self.session = Session([*models, *beside], [*presets, *words], resolution)
        self.training, self._choices = training, len(models)
        self._lists, self._sought, self._ranking = {}, {}, None
        # words and sentences of modes take longer than a picture, which must not wait for them
        self._background = Background([WORDS, SENTENCES, "rank", "map"])
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
            words = {"words": self.training.words, "startable": self.training.corpus is not None,
                     "fitted": self._fitted(models[0])}  # fmt: skip
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
        began = time.perf_counter()
        try:
            if ask not in asked:
                raise ValueError(f"the page asked {ask!r}; expected one of {', '.join(asked)}")
            if self.first:  # it has done its work, and a saved notebook is better off without it
                self.first, self.first_bytes = {}, b""
            with self._background.held():
                header, block = asked[ask](message)
                took = {"took": round(1000 * (time.perf_counter() - began), 1)}  # ms
                self.send(answer | took | header, [block] if block else None)
        except Exception as error:
            text = error.args[0] if type(error) is KeyError and error.args else error
            self.send(answer | {"answer": "error", "asked": ask, "text": str(text)})

    def _picture(self, message: dict) -> tuple[dict, bytes]:
        detail, question = int(message.get("detail", PICTURE)), Question.from_page(message["question"])
        umap, found = question.plane == "umap", []
        if umap or question.plane == "lda":  # they need the modes
            detail = max(detail, WORDS)
        for number, word in self.session.concerned(question):
            known = self.session.known(number, word)
            found.append(known.has(detail) or self._found((number, word, detail), detail, known.look, detail))
        if umap and not self.session.has_map(question):
            found.append(self._found(("map", question.model, question.word), "map", self.session.make_map, question))
        if not all(found):
            return {"wait": WAIT_FOR.get(question.plane, " ")}, b""
        return self.session.picture(question, detail)

    def _found(self, key: tuple, kind: str | int, look: Callable, asked) -> bool:
        """Whether `look(asked)` is done; if not it is done in the background, and the page is told afterwards.

        Raises:
            Exception: what went wrong in looking for it.
        """
        work = self._sought.get(key)
        if work is None:
            work = self._sought[key] = self._background.submit(kind, look, asked)
            work.add_done_callback(lambda work: self.send({"answer": "found"}))
        if not work.done():
            return False
        self._sought.pop(key, None)  # a training that has ended may have dropped it meanwhile
        work.result()
        return True

    # --- words ------------------------------------------------------------------------------------------------

    def _words(self, number: int) -> WordList:
        if number not in self._lists:
            self._lists[number] = WordList(self.session.models[number])
        return self._lists[number]

    def _search(self, message: dict) -> tuple[dict, bytes]:
        words = self._words(int(message.get("model", 0)))
        return words.search(str(message.get("text", "")).strip(), message.get("sort", "")), b""

    def _rank(self, message: dict) -> tuple[dict, bytes]:
        """Begin to count the modes of a model's words in the background, or leave off; the page hears how far it is."""
        before, self._ranking = self._ranking, int(message.get("model", 0)) if message.get("on") else None
        if self._ranking not in (None, before):
            self._background.submit("rank", self._count_modes, self._ranking, self._words(self._ranking))
        return {}, b""

    def _count_modes(self, number: int, words: WordList) -> None:
        told, state = 0.0, {"answer": "ranked", "model": number, "total": len(words.entries)}
        try:
            for _ in words.rank():
                if self._ranking != number or self.comm is None:
                    return
                if time.monotonic() - told > TELL:
                    told = time.monotonic()
                    self.send(state | {"ranked": words.ranked})
            self.send(state | {"ranked": words.ranked})
        except Exception as error:
            self.send(state | {"ranked": words.ranked, "text": f"The ranking stopped: {error}"})
        finally:
            if self._ranking == number:
                self._ranking = None

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
        self._lists.clear()
        self._sought.clear()
        self._ranking = None

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
        ValueError: no model, or one without densities.
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
        for word in words:  # a word that is not known says so itself
            if not has_density(models[0], word):
                raise ValueError(
                    f"explore shows densities, and {type(models[0]).__name__} has one vector for {word!r}: hand it "
                    "over as compare= to show it beside a model that has them"
                )
    return Explorer(models, words, beside, context, training, presets, resolution)
