"""Characters as tokens: text to ids and back, and a stream of ids cut into sequences for training and for tests."""

from collections.abc import Iterator

import numpy as np
import torch
from jaxtyping import Int
from torch import Tensor

from labkit.dequantise.tasks import TokenBatch

LETTERS = "abcdefghijklmnopqrstuvwxyz "  # those of text8, and of `Corpus.characters`


class Alphabet:
    """Character -> id: its place in `letters`.

    Raises:
        ValueError: for letters that repeat, or fewer than two.

    Example:
        >>> alphabet = Alphabet()
        >>> alphabet.decode(alphabet.encode("we sat on the bank"))
        'we sat on the bank'
    """

    def __init__(self, letters: str = LETTERS):
        if len(letters) < 2 or len(set(letters)) < len(letters):
            raise ValueError(f"the alphabet is {letters!r:.60}; expected at least two characters, all different")
        self.letters = letters
        self._place = {letter: i for i, letter in enumerate(letters)}

    def __len__(self) -> int:
        return len(self.letters)

    def encode(self, text: str) -> Int[Tensor, "n"]:
        """The ids of a text.

        Raises:
            ValueError: for a character outside the alphabet; it is named, and where it stands.
        """
        ids = [self._place.get(character, -1) for character in text]
        if -1 in ids:
            place = ids.index(-1)
            raise ValueError(
                f"character {text[place]!r} at place {place} is outside the alphabet; expected characters of "
                f"{self.letters!r:.80}. Corpus.characters() brings any text into it"
            )
        return torch.tensor(ids, dtype=torch.long)

    def decode(self, tokens: Int[Tensor, "n"]) -> str:
        """The text of these ids."""
        return "".join(self.letters[i] for i in tokens.tolist())


class TextBatches:
    """Random pieces of a stream for `labkit.training.train`: batch number i has a generator of its own.

    Training can therefore resume, and processes that train together each take their share of the same batch: process r
    of R has its rows r, r + R, r + 2R, … (see `labkit.networks.processes`).

    Arguments:
        stream: the ids of a text, of any integer type; a memory map is read piece by piece.
        length: tokens in a sequence.
        size: sequences in a batch, of all processes together.
        seed: of all batches.
        device: where they are put.
        share: (r, R).

    Raises:
        ValueError: for a stream shorter than one sequence, or a batch that R does not divide.

    Example:
        >>> batches = TextBatches(np.arange(100) % 7, length=8, size=4)
        >>> [batch.tokens.shape for batch in batches.take(2)]
        [torch.Size([4, 8]), torch.Size([4, 8])]
    """

    def __init__(
        self,
        stream: np.ndarray,
        length: int,
        size: int,
        seed: int = 0,
        device: torch.device | str = "cpu",
        share: tuple[int, int] = (0, 1),
    ):
        if len(stream) < length or length < 1 or size < 1:
            raise ValueError(
                f"expected length >= 1, size >= 1 and a stream of at least one sequence; "
                f"got length={length}, size={size} and {len(stream):,} tokens"
            )
        if size % share[1]:
            raise ValueError(f"expected a batch that {share[1]} processes can divide; got size={size}")
        self.stream, self.length, self.size, self.seed, self.device = stream, length, size, seed, device
        self.share, self.taken = share, 0

    def take(self, count: int) -> Iterator[TokenBatch]:
        """The next `count` batches."""
        for _ in range(count):
            generator = torch.Generator().manual_seed((self.seed << 32) + self.taken)
            self.taken += 1
            starts = torch.randint(len(self.stream) - self.length + 1, (self.size,), generator=generator)
            rank, world = self.share
            pieces = [self.stream[start : start + self.length] for start in starts.tolist()[rank::world]]
            yield TokenBatch(torch.from_numpy(np.stack(pieces).astype(np.int64)).to(self.device))

    def state(self) -> dict[str, int]:
        """How many batches have been taken, and of what kind they were."""
        return {"taken": self.taken, "seed": self.seed, "size": self.size, "length": self.length}

    def restore(self, state: dict[str, int]) -> None:
        """Go on after the batches that `state` counts.

        Raises:
            ValueError: if those were of another seed, size or length.
        """
        here = self.state()
        other = [name for name in ("seed", "size", "length") if state[name] != here[name]]
        if other:
            raise ValueError(
                f"expected batches with {', '.join(f'{name}={state[name]}' for name in other)}, as before; "
                f"got {', '.join(f'{name}={here[name]}' for name in other)}"
            )
        self.taken = state["taken"]


def sequences(stream: np.ndarray, length: int, count: int | None = None) -> Int[Tensor, "m length"]:
    """The stream cut into pieces that do not overlap, the first `count` of them (None: all); a rest is left out.

    Raises:
        ValueError: for a stream that has not as many.

    Example:
        >>> sequences(np.arange(7), length=3)
        tensor([[0, 1, 2],
                [3, 4, 5]])
    """
    have = len(stream) // length
    if have < (count or 1):
        raise ValueError(f"expected a stream of at least {count or 1} x {length} tokens; got {len(stream):,}")
    pieces = np.asarray(stream[: length * (count or have)]).astype(np.int64)
    return torch.from_numpy(pieces.reshape(-1, length))
