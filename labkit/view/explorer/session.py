"""The explorer's answers: which word, which sentence, beside what. No widget, no drawing."""

import dataclasses
from collections import OrderedDict
from collections.abc import Sequence

import numpy as np
import torch
from torch import Tensor

from labkit.density import overlap
from labkit.density.grid import draw
from labkit.view.explorer.answers import SCALE, Block, curve, placed, regions
from labkit.view.explorer.fields import Moved, Reading
from labkit.view.explorer.frames import ASPECT, Frames, Question, frame_of, knows
from labkit.view.explorer.known import PICTURE, SENTENCES, WORDS, Known, has_density
from labkit.view.explorer.planes import neighbour_map
from labkit.view.projection import Limits
from labkit.view.wording import summary

KEPT = 96  # readings and known words that are remembered
RIDGE = 4  # more words below a density over one coordinate
OF_A_MAP = 800  # samples of a neighbour map
VECTORS = 2000  # words of a deterministic model that place a vector's axes


class Session:
    """Models, and what has been found out of them so far.

    Arguments:
        models, words: as in `Frames`.
        resolution: nodes of a grid along an axis.
        thin: send outlines with fewer points, for a page.
        seed: of the marks.
    """

    def __init__(self, models: Sequence, words: Sequence[str], resolution: int = 120, thin=False, seed: int = 0):
        self.models, self.words, self.resolution = list(models), list(words), resolution
        self.thin, self.seed = thin, seed
        self.forget()

    def forget(self) -> None:
        """Drop everything found so far: the models have changed."""
        self.frames = Frames(self.models, self.words)
        self._readings, self._known, self._maps, self._vectors = OrderedDict(), OrderedDict(), {}, {}

    def known(self, model: int, word: str) -> Known:
        """What is known of a word."""
        return _kept(self._known, (model, word), lambda: Known(self.models[model], word))

    def reading(self, q: Question, word: str | None = None, model: int | None = None) -> Reading:
        """The word of a question, or another word or model, in the question's plane."""
        number = q.model if model is None else model
        name, key = word or q.word, self.frames.plane_key(q, number)
        plane = self.frames.plane(q, number)
        return _kept(
            self._readings, (number, name, key), lambda: Reading(self.models[number], name, plane, self.resolution)
        )

    def concerned(self, q: Question) -> list[tuple[int, str]]:
        """The (model, word) pairs of a question that have modes."""
        pairs = [(q.model, q.word), *([(q.model, q.other)] if q.other else []), *((n, q.word) for n in q.others)]
        return [(n, word) for n, word in pairs if knows(self.models[n], word) and has_density(self.models[n], word)]

    def moved(self, q: Question, reading: Reading | None = None) -> tuple[Moved | None, str]:
        """The word in its sentence; while no word of a sentence is known, None and why."""
        try:
            return (reading or self.reading(q)).given(q.context, q.between, q.share), ""
        except ValueError as error:
            return None, str(error)

    # --- pictures ---------------------------------------------------------------------------------------------

    def picture(self, q: Question, detail: int = PICTURE, limits: Limits | None = None) -> tuple[dict, bytes]:
        """A header and the bytes of its arrays; detail says how much may be looked for (see `known`).

        Limits are by default those that all words share.

        Raises:
            KeyError: an unknown word.
            ValueError: a plane that does not exist.
        """
        block = Block()
        q, unknown = self._without_unknown(q)
        if q.plane == "umap":
            panels = [self._map(block, q, detail)]
        else:
            limits = limits or self.frames.limits(q)
            panels = [self._panel(block, q, q.model, q.word, limits, detail)]
            if panels[0]["kind"] == "line" and not q.context:
                panels[0]["ridge"] = self._ridge(block, q)
            if q.other and q.other != q.word:
                alone = dataclasses.replace(q, context="")
                panels[0]["other"] = self._panel(block, alone, q.model, q.other, limits, detail)
            panels += [self._beside(block, q, number, limits, detail) for number in q.others]
        header = {"panels": panels, "remark": self.frames.remark(q), "aspect": ASPECT, "detail": detail}
        if unknown:
            header["unknown"] = unknown
        if q.context and detail >= WORDS:
            header["pull"] = self.known(q.model, q.word).pull(q.context)
        if q.other and detail >= WORDS and q.other != q.word:
            value = overlap(*(self.models[q.model][word] for word in (q.word, q.other)), n_samples=4096)
            header["overlap"] = [value.value, value.standard_error]
        return header, block.bytes

    def _without_unknown(self, q: Question) -> tuple[Question, str]:
        """The question without a second word that the model does not know, and why; the picture goes on without it."""
        try:
            _ = q.other and self.models[q.model][q.other]
        except KeyError as error:
            return dataclasses.replace(q, other=""), str(error.args[0] if type(error) is KeyError else error)
        return q, ""

    def _panel(self, block: Block, q: Question, model: int, word: str, limits: Limits, detail: int) -> dict:
        reading = self.reading(q, word, model)
        known = self.known(model, word)
        known = known if detail >= WORDS or known.found else None
        moved, unread = self.moved(q, reading) if q.context else (None, "")
        seen = moved.field if moved else reading.field
        points, places = _marks(reading, moved, q.samples, self.seed)
        head = {"word": word, "context": q.context, "model": _name(self.models[model]), "k": reading.k,
                "kind": "line" if reading.k == 1 else "plane", "limits": limits, "entropy": round(seen.entropy, 3),
                "marginal": reading.is_marginal}  # fmt: skip
        if unread:
            head |= {"context": "", "unread": unread}
        elif moved is not None and q.between and q.share:
            head |= {"between": q.between, "share": q.share}
        if moved is not None and moved.effective_samples is not None:
            head["effective"] = round(moved.effective_samples)
        head |= curve(block, seen) if reading.k == 1 else regions(block, seen, limits, self.thin)
        flat = places if places.shape[1] == 2 else np.concatenate([places, np.zeros_like(places)], 1)
        head["samples"] = block.add("i2", placed(flat, limits))
        head["cross"] = _shares(reading.flat(reading.placing.mean(0)[None]), limits)[0]
        head["outside"] = round(float(_outside(seen, limits)), 4)
        if known is not None:
            head["mode"] = block.add("u1", known.assign(points))
            head["modes"] = self._modes(known, reading, moved, points, limits, detail)
            head["said"] = summary(word, head["context"], head["modes"])
        if known is not None and detail >= SENTENCES:
            head |= _sentences(block, known, points)
        return head

    def _ridge(self, block: Block, q: Question) -> list[dict]:
        """The curves of a few more words, to stand below the first one."""
        names = [word for word in self.frames.pool(q.model) if word not in (q.word, q.other)][:RIDGE]
        return [{"word": word} | curve(block, self.reading(q, word).field) for word in names]

    def _modes(self, known: Known, reading: Reading, moved, points: Tensor, limits: Limits, detail: int) -> list[dict]:
        masses = [mode.mass for mode in known.basins]
        places = reading.flat(known.basins.locations)
        if moved is not None and moved.points is None:
            field = moved.field
            nodes = field.axes[0][:, None] if reading.k == 1 else np.stack(np.meshgrid(*field.axes), -1).reshape(-1, 2)
            basin, mass = known.assign(reading.lifted(nodes)), field.mass.ravel()
            masses = np.bincount(basin, mass, minlength=len(masses)) / mass.sum()
            best = [np.where(basin == i, mass, -1).argmax() for i in range(len(masses))]
            places = np.where((masses > 1e-6)[:, None], nodes[best], places)
        elif moved is not None:
            masses = np.bincount(known.assign(points), minlength=len(masses)) / max(len(points), 1)
        found = []
        for number, (place, mode) in enumerate(zip(_shares(places, limits), known.basins, strict=True)):
            entry = {"at": place, "mass": round(float(masses[number]), 5), "was": round(mode.mass, 5)}
            entry["drop"] = None if not np.isfinite(mode.drop) else round(mode.drop, 3)
            entry["words"] = known.words[number] if detail >= WORDS else []
            if detail >= SENTENCES:
                entry["sentences"] = known.sentences[number]
            found.append(entry)
        return found

    def _beside(self, block: Block, q: Question, number: int, limits: Limits, detail: int) -> dict:
        """The same word in another model: in the same frame where the plane is the same, in its own otherwise."""
        model = self.models[number]
        name = _name(model)
        if not knows(model, q.word):
            return {"word": q.word, "model": name, "kind": "none", "limits": limits}
        if hasattr(model[q.word], "location"):
            cross = self._cross_of(number, torch.as_tensor(model[q.word].location))
            return {"word": q.word, "model": name, "kind": "point", "limits": limits, "cross": cross,
                    "k": len(model[q.word].location)}  # fmt: skip
        own = dataclasses.replace(q, model=number, others=())
        frame = limits if self.frames.comparable(q, number) else self.frames.limits(own)
        return self._panel(block, own, number, q.word, frame, detail)

    def _cross_of(self, number: int, vector: Tensor) -> list[float]:
        """Where a vector is drawn, as shares of the frame: along the principal axes of its model's vectors if long."""
        if len(vector) < 2:
            return [0.5, 0.5]
        if number not in self._vectors:
            model = self.models[number]
            every = torch.stack([torch.as_tensor(model[name].location) for name in model.words[:VECTORS]])
            every = every.detach().double().cpu().numpy()
            centre = every.mean(0)
            axes = np.linalg.svd(every - centre, full_matrices=False)[2][:2].T
            axes = np.eye(2) if len(centre) == 2 else axes
            self._vectors[number] = centre, axes, frame_of((every - centre) @ axes)
        centre, axes, limits = self._vectors[number]
        return _shares(((vector.detach().double().cpu().numpy() - centre) @ axes)[None], limits)[0]

    def has_map(self, q: Question) -> bool:
        """Whether the neighbour map of a question has been made."""
        return (q.model, q.word) in self._maps

    def make_map(self, q: Question) -> None:
        """Make it, which takes seconds."""
        maps = self._maps  # `forget` puts another in its place, where a map of the old model has no business
        points = draw(self.models[q.model][q.word], OF_A_MAP)
        maps[q.model, q.word] = neighbour_map(points.double().cpu().numpy())

    def _map(self, block: Block, q: Question, detail: int) -> dict:
        if not self.has_map(q):
            self.make_map(q)
        key, known = (q.model, q.word), self.known(q.model, q.word)
        points = draw(self.models[q.model][q.word], OF_A_MAP)
        limits, k = frame_of(self._maps[key]), self.frames.k(q.model, q.word)
        masses = [round(mode.mass, 5) for mode in known.basins]
        head = {
            "word": q.word, "context": "", "model": _name(self.models[q.model]), "k": k, "kind": "cloud",
            "limits": limits, "marginal": True, "outside": 0.0,
            "samples": block.add("i2", placed(self._maps[key], limits)),
            "mode": block.add("u1", known.assign(points)),
            "modes": [{"mass": mass, "was": mass, "drop": None, "words": words}
                      for mass, words in zip(masses, known.words, strict=True)],
        }  # fmt: skip
        head["said"] = "Neighbour map. " + summary(q.word, "", head["modes"])
        return head | (_sentences(block, known, points) if detail >= SENTENCES else {})


def _kept(store: OrderedDict, key, make):
    # Other threads drop entries at the same time: the value is held here, and not asked of the store again.
    value = store.pop(key, None)
    store[key] = value = make() if value is None else value
    if len(store) > KEPT:
        store.popitem(last=False)
    return value


def _name(model) -> str:
    return str(getattr(model, "name", type(model).__name__))


def _marks(reading: Reading, moved: Moved | None, n: int, seed: int) -> tuple[Tensor, np.ndarray]:
    """Samples in full (n, k), and where they are drawn."""
    if moved is None and seed == 0 and n <= len(reading.placing):
        return reading.placing[:n], reading.flat(reading.placing[:n])  # they have been drawn already
    if moved is None:
        points = draw(reading.density, n, torch.Generator().manual_seed(seed))
        return points, reading.flat(points)
    if moved.points is not None:
        points = moved.points[:n]
        return points, reading.flat(points)
    places = moved.field.draw(n, seed)[0]
    return reading.lifted(places), places


def _shares(places: np.ndarray, limits: Limits) -> list[list[float]]:
    """Places as shares of the frame, from the left and from the top."""
    flat = places if places.shape[1] == 2 else np.concatenate([places, np.zeros_like(places)], 1)
    return (placed(flat, limits) / SCALE).round(4).tolist()


def _outside(seen, limits: Limits) -> float:
    """The probability beyond the frame."""
    inside = [(axis >= low) & (axis <= high) for axis, (low, high) in zip(seen.axes, limits, strict=False)]
    held = seen.mass[inside[0]] if len(inside) == 1 else seen.mass[np.ix_(inside[1], inside[0])]
    return max(0.0, 1 - held.sum() / seen.mass.sum())


def _sentences(block: Block, known: Known, points: Tensor) -> dict:
    """The sentence that each of the first samples explains best."""
    found = known.explained_by(points[:2000])
    return {} if found is None else {"sentences": found[0], "sentence": block.add("u2", found[1])}
