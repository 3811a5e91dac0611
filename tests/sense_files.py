"""Small sets in the layouts of the published ones, with sentences made up here."""

import json
from pathlib import Path

import numpy as np

from labkit.embeddings.peers.weights import Around

SIDES = {
    "water": "river water mud fish boat reed stream shore sand wet grass flood".split(),
    "money": "loan money clerk credit cash vault interest branch account deposit rate teller".split(),
}
FILLER = "we saw it there and they were all by the old one today".split()


def sentences(word: str, n: int, seed: int = 0, share: float = 0.5) -> tuple[list[str], list[str]]:
    """n lines "place<tab>sentence" in which the word has one of two senses, and their labels "0" and "1"."""
    rng = np.random.default_rng(seed)
    lines, labels = [], []
    for _ in range(n):
        label = int(rng.random() < share)
        cues = rng.choice(list(SIDES.values())[label], size=4, replace=False).tolist()
        tokens = cues + rng.choice(FILLER, size=5).tolist()
        rng.shuffle(tokens)
        place = int(rng.integers(len(tokens) + 1))
        lines.append(f"{place}\t{' '.join([*tokens[:place], word, *tokens[place:]])}")
        labels.append(str(label))
    return lines, labels


def write(folder: Path, lines: list[str], labels: list[str], split: str = "test", end: str = "\n") -> None:
    """One split of one word."""
    folder.mkdir(parents=True, exist_ok=True)
    (folder / f"{split}.data.txt").write_bytes(end.join(lines).encode())
    (folder / f"{split}.gold.txt").write_bytes(end.join(labels).encode())


def coarse_set(folder: Path, words=("bank", "bill"), n_test: int = 40, n_train: int = 80) -> Path:
    """A folder in the layout of CoarseWSD-20 whose words have two senses each."""
    for seed, word in enumerate(words):
        write(folder / word, *sentences(word, n_test, seed))
        write(folder / word, *sentences(word, n_train, seed + 100), split="train")
        names = {"0": f"{word}_water", "1": f"{word}_money"}
        (folder / word / "classes_map.txt").write_text(json.dumps(names))
    return folder


def bags(gold: np.ndarray, words: int = 10, seed: int = 0) -> Around:
    """`words` words around each occurrence: ids 0–19 of sense 0, 20–39 of sense 1, and 40–59 of either."""
    rng = np.random.default_rng(seed)
    row = np.repeat(np.arange(len(gold)), words)
    own = rng.integers(20, size=len(row)) + 20 * gold[row]
    ids = np.where(rng.random(len(row)) < 0.5, own, rng.integers(40, 60, size=len(row)))
    return Around(len(gold), row, ids, np.tile(1.0 + np.arange(words) // 2, len(gold)))
