"""What is asked of the explorer, and the frame in which the answer is drawn: a plane, and limits all words share."""

import dataclasses
from collections.abc import Sequence

import numpy as np
import torch

from labkit.density.grid import Grid, dimension, draw
from labkit.view.explorer.known import Known
from labkit.view.explorer.planes import UMAP_WARNING, coordinate_plane, discriminant_plane, principal_plane
from labkit.view.grids import equal_scale
from labkit.view.projection import Limits, Projection
from labkit.view.wording import percent

ASPECT = 4 / 3  # width to height of every frame
POOLED, PER_WORD = 16, 1000  # words, and samples of each, that decide the common limits


@dataclasses.dataclass(frozen=True)
class Question:
    """What is to be shown; the page sends these fields, and an exported page is a list of them.

    Attributes:
        word, context: the word, and the sentence in which it is read ("" for none).
        between, share: a second sentence, and how far to go towards it, in [0, 1].
        model: number of the model; others: numbers of models shown beside it.
        other: a second word in the same plane ("" for none).
        plane: "coordinates" (then x, y), "pca", "lda" or "umap".
        samples: how many marks; fit: limits of this word instead of the common ones.
    """

    word: str
    context: str = ""
    between: str = ""
    share: float = 0.0
    model: int = 0
    others: tuple[int, ...] = ()
    other: str = ""
    plane: str = "coordinates"
    x: int = 0
    y: int = 1
    samples: int = 500
    fit: bool = False

    @classmethod
    def from_page(cls, fields: dict) -> "Question":
        """A question as JSON, unknown fields left out, numbers held within bounds."""
        names = {field.name for field in dataclasses.fields(cls)}
        known = {name: value for name, value in fields.items() if name in names and value is not None}
        known["others"] = tuple(known.get("others", ()))
        known["samples"] = int(min(max(known.get("samples", 500), 0), 50_000))
        return cls(**known)


class Frames:
    """Planes and limits for the words of some models, found once and then kept.

    Arguments:
        models: embeddings; `model[word]` is a density or has a `location`.
        words: words whose densities must fit into the common frame.
    """

    def __init__(self, models: Sequence, words: Sequence[str]):
        self.models, self.words = list(models), list(words)
        self._planes, self._limits = {}, {}

    def k(self, model: int, word: str) -> int:
        """How many coordinates a word has."""
        density = self.models[model][word]
        return len(density.location) if hasattr(density, "location") else dimension(density)

    def plane_key(self, q: Question, model: int) -> tuple:
        """What a plane depends on."""
        details = {"coordinates": (q.x, q.y), "lda": (q.word, q.other)}
        return (model, q.plane, *details.get(q.plane, ()))

    def plane(self, q: Question, model: int) -> Projection | None:
        """The plane of a question; None for what lives on a line or in the plane as it is."""
        k = self.k(model, q.word)
        if k == 1 or (k == 2 and q.plane in ("coordinates", "umap")):
            return None
        key = self.plane_key(q, model)
        if key not in self._planes:
            self._planes[key] = self._find_plane(q, model, k)
        return self._planes[key][0]

    def _find_plane(self, q: Question, model: int, k: int):
        if q.plane == "coordinates":
            return coordinate_plane(k, q.x % k, q.y % k), None
        if q.plane != "lda":
            return principal_plane([self.models[model][word] for word in self.pool(model)]), None
        first = draw(self.models[model][q.word], 2000)
        if q.other:
            second = draw(self.models[model][q.other], 2000)
            points, labels = torch.cat([first, second]), np.repeat([0, 1], 2000)
        else:
            points, labels = first, Known(self.models[model], q.word).assign(first)
        try:
            return discriminant_plane(points.double().cpu().numpy(), labels)
        except ValueError as error:  # there is nothing to tell apart
            text = f"There are none here: {error}. Shown along the principal axes instead."
            return principal_plane([self.models[model][word] for word in self.pool(model)]), text

    def remark(self, q: Question) -> str:
        """What has to be said of a plane, if the picture is in one."""
        if q.plane == "umap":
            return UMAP_WARNING
        k = self.k(q.model, q.word)
        plane, separation = self.plane(q, q.model), self._planes.get(self.plane_key(q, q.model), (None, None))[1]
        said = []
        if k > 2:
            held = f": the plane holds {percent(plane.variance_explained.sum())} of the variance"
            further = f"{k - 2} more coordinate" + "s" * (k > 3)
            said.append(f"A marginal over {further}" + (held if q.plane != "coordinates" else "") + ".")
        if separation:
            said.append(str(separation))
        return " ".join(said)

    def pool(self, model: int) -> list[str]:
        """The words that decide the limits, as far as the model knows them."""
        return [word for word in self.words if knows(self.models[model], word)][:POOLED]

    def limits(self, q: Question) -> Limits:
        """((left, right), (bottom, top)) of the frame: the same for all words, unless one asks for this word alone."""
        numbers = [q.model, *(n for n in q.others if self.comparable(q, n))]
        key = (tuple(self.plane_key(q, number) for number in numbers), q.word if q.fit else "")
        if key not in self._limits:
            self._limits[key] = frame_of(*(places for number in numbers for places in self._places(q, number)))
        return self._limits[key]

    def _places(self, q: Question, model: int) -> list[np.ndarray]:
        """Samples of each word that has to fit into the frame, as they are drawn."""
        names = [q.word] if q.fit else list(dict.fromkeys([*self.pool(model), q.word]))
        plane, found = self.plane(q, model), []
        for name in names:
            density = self.models[model][name]
            if hasattr(density, "location"):
                continue
            points = draw(density, PER_WORD).double().cpu().numpy()
            found.append(points if plane is None else plane(points))
        return found

    def comparable(self, q: Question, number: int) -> bool:
        """Whether another model is drawn in the question's own frame: as many coordinates, and no plane of its own."""
        model = self.models[number]
        if not knows(model, q.word) or hasattr(model[q.word], "location"):
            return False
        return self.k(number, q.word) == self.k(q.model, q.word) and self.plane(q, number) is None


def knows(model, word: str) -> bool:
    """Whether the model has something for the word."""
    try:
        model[word]
    except KeyError:
        return False
    return True


def frame_of(*places: np.ndarray) -> Limits:
    """Limits that hold nearly all of each of some clouds of places; on a line the second pair is (0, 1)."""
    grids = [Grid.covering(torch.as_tensor(cloud), coverage=0.998, margin=0.08) for cloud in places]
    lower, upper = torch.stack([g.lower for g in grids]).amin(0), torch.stack([g.upper for g in grids]).amax(0)
    box = list(zip(lower.tolist(), upper.tolist(), strict=True))
    return (box[0], (0.0, 1.0)) if len(box) == 1 else equal_scale(tuple(box), ASPECT)
