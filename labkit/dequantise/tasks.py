"""Tasks whose best possible figure is known: the entropy of what is drawn, in bits per variable.

Each task gives sequences of n tokens, says what the entropy of a variable is, which no model of any kind can go below
on average, and tells which sequences can occur at all.
"""

import math
from abc import ABC, abstractmethod
from collections.abc import Iterator
from typing import NamedTuple

import torch
from jaxtyping import Bool, Float, Int
from torch import Generator, Tensor


class Task(ABC):
    """A distribution over sequences of tokens with known entropy.

    Attributes:
        vocabulary_size: V; tokens are 0 … V−1.
        positions: n.
        ordered: whether it matters which position a token is at; a set model does for those where it does not.
        optimum: entropy in bits per variable.
    """

    vocabulary_size: int
    positions: int
    ordered: bool
    optimum: float

    @abstractmethod
    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        """n independent sequences."""

    @abstractmethod
    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        """Whether each sequence can occur."""

    def check(self, tokens: Tensor) -> None:
        """Refuse sequences of another length."""
        if tokens.shape[-1:] != (self.positions,):
            raise ValueError(f"expected sequences of {self.positions} tokens; got shape {tuple(tokens.shape)}")


class TokenBatch(NamedTuple):
    """Sequences of tokens as `labkit.training.train` takes them: with a mask of what counts, which is all of them."""

    tokens: Int[Tensor, "batch n"]

    @property
    def mask(self) -> Bool[Tensor, "batch n"]:
        """True everywhere."""
        return torch.ones_like(self.tokens, dtype=torch.bool)


class TaskBatches:
    """Fresh batches of a task for `labkit.training.train`: number i has a generator of its own, so training can resume.

    Arguments:
        task: what is drawn.
        size: sequences in a batch.
        seed: of all batches.
        device: where they are put.

    Example:
        >>> batches = TaskBatches(SetShuffling(4), size=32)
        >>> [batch.tokens.shape for batch in batches.take(2)]
        [torch.Size([32, 4]), torch.Size([32, 4])]
    """

    def __init__(self, task: Task, size: int, seed: int = 0, device: torch.device | str = "cpu"):
        self.task, self.size, self.seed, self.device, self.taken = task, size, seed, device, 0

    def take(self, count: int) -> Iterator[TokenBatch]:
        """The next `count` batches."""
        for _ in range(count):
            generator = torch.Generator().manual_seed((self.seed << 32) + self.taken)
            self.taken += 1
            yield TokenBatch(self.task.draw(self.size, generator).to(self.device))

    def state(self) -> dict[str, int]:
        """How many batches have been taken, and of which seed."""
        return {"taken": self.taken, "seed": self.seed, "size": self.size}

    def restore(self, state: dict[str, int]) -> None:
        """Go on after the batches that `state` counts.

        Raises:
            ValueError: if those were of another seed or size.
        """
        if (state["seed"], state["size"]) != (self.seed, self.size):
            raise ValueError(
                f"expected batches of {state['size']} with seed {state['seed']}, as before; "
                f"got {self.size} with seed {self.seed}"
            )
        self.taken = state["taken"]


class SetShuffling(Task):
    """All K! orders of K different tokens, equally likely: log₂(K!)/K bits per element.

    Example:
        >>> round(SetShuffling(4).optimum, 4)
        1.1462
    """

    ordered = False

    def __init__(self, size: int):
        if size < 1:
            raise ValueError(f"expected at least one element; got size={size}")
        self.vocabulary_size = self.positions = size
        self.optimum = math.log2(math.factorial(size)) / size

    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        # float64, in which a tie, that would favour one order, does not happen
        return torch.rand((n, self.positions), generator=generator, dtype=torch.float64).argsort(-1)

    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        self.check(tokens)
        return (tokens.sort(-1).values == torch.arange(self.positions, device=tokens.device)).all(-1)


class SetSummation(Task):
    """All sequences of n values in 1 … n with a given sum S, equally likely; token x is the value x + 1.

    Their number follows from c_m(s) = Σ_v c_{m−1}(s − v), exactly, and a sequence is drawn by choosing each value with
    probability c_{m−1}(s − v) / c_m(s).

    Raises:
        ValueError: for a sum that n values cannot have.

    Example:
        >>> task = SetSummation(4, total=10)
        >>> task.count, round(task.optimum, 4)
        (44, 1.3649)
    """

    ordered = False

    def __init__(self, size: int, total: int):
        if not 1 <= size <= total <= size * size:
            raise ValueError(f"{size} values in 1 ... {size} cannot sum to {total}; expected {size} to {size * size}")
        self.vocabulary_size = self.positions = size
        self.total = total
        counts = [[1] + [0] * total]  # counts[m][s], as integers of any size
        for _ in range(size):
            before = counts[-1]
            counts.append([sum(before[s - v] for v in range(1, size + 1) if v <= s) for s in range(total + 1)])
        self.count = counts[size][total]
        self.optimum = math.log2(self.count) / size

        def share(m: int, s: int, value: int) -> float:
            return counts[m - 1][s - value] / counts[m][s] if value <= s and counts[m][s] else 0.0

        self._shares = torch.tensor(  # [m − 1, s, v]: of the token v, with m values to come that make s
            [[[share(m, s, v + 1) for v in range(size)] for s in range(total + 1)] for m in range(1, size + 1)],
            dtype=torch.float64,
        )

    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        left, tokens = torch.full((n,), self.total), []
        for m in range(self.positions, 0, -1):
            tokens.append(choose(self._shares[m - 1][left], generator))
            left = left - tokens[-1] - 1
        return torch.stack(tokens, -1)

    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        self.check(tokens)
        return (tokens + 1).sum(-1) == self.total


class MarkovLanguage(Task):
    """Strings of a stationary first-order chain: H = H(π) + (n − 1) Σ_i π_i H(P_i), with P random and partly zero.

    Arguments:
        vocabulary_size, length: V >= 2 and n.
        successors: letters that may follow each letter, at least two and at most V.
        seed: of P.

    Example:
        >>> task = MarkovLanguage(vocabulary_size=8, length=6)
        >>> task.valid(task.draw(5)).all()
        tensor(True)
    """

    ordered = True

    def __init__(self, vocabulary_size: int = 8, length: int = 8, successors: int = 4, seed: int = 0):
        if not 2 <= successors <= vocabulary_size or length < 1:
            raise ValueError(
                "expected 2 <= successors <= vocabulary_size and length >= 1; "
                f"got successors={successors}, vocabulary_size={vocabulary_size}, length={length}"
            )
        self.vocabulary_size, self.positions = vocabulary_size, length
        generator = torch.Generator().manual_seed(seed)
        size = (vocabulary_size, vocabulary_size)
        weights = torch.empty(size, dtype=torch.float64).exponential_(generator=generator)
        order = torch.rand(size, generator=generator, dtype=torch.float64)
        # Every letter may be followed by the next one, which keeps the chain in one piece, and by itself: aperiodic.
        here = torch.arange(vocabulary_size)
        order[here, here], order[here, (here + 1) % vocabulary_size] = 2.0, 2.0
        weights = weights * (order.argsort(-1, descending=True).argsort(-1) < successors)
        self.transitions = weights / weights.sum(-1, keepdim=True)
        self.stationary = stationary(self.transitions)
        of_rows = (self.stationary * entropy_bits(self.transitions)).sum()
        self.optimum = float(entropy_bits(self.stationary) + (length - 1) * of_rows) / length

    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        tokens = [choose(self.stationary.expand(n, -1), generator)]
        for _ in range(self.positions - 1):
            tokens.append(choose(self.transitions[tokens[-1]], generator))
        return torch.stack(tokens, -1)

    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        """Whether no letter follows one that it cannot follow."""
        self.check(tokens)
        allowed = (self.transitions > 0).to(tokens.device)
        return allowed[tokens[..., :-1], tokens[..., 1:]].all(-1)


class QuantisedEightGaussians(Task):
    """Eight Gaussians on a ring, on a grid of L × L cells: (x, y) is two tokens, and P of every cell is exact.

    A cell's probability is that of the Gaussians in it, products of differences of Φ, renormalised to the square
    [−1, 1]². `valid` says whether a cell is among the likeliest that hold 99.9 % between them.

    Arguments:
        levels: L, the vocabulary.
        radius, scale: of the ring, and the standard deviation of each Gaussian, where the square is [−1, 1]².

    Example:
        >>> task = QuantisedEightGaussians(levels=24)
        >>> 0 < task.optimum < 4.585  # log₂ 24 bits
        True
    """

    ordered = True

    def __init__(self, levels: int = 24, radius: float = 0.65, scale: float = 0.08):
        if levels < 2 or radius <= 0 or scale <= 0:
            raise ValueError(
                f"expected levels >= 2 and positive sizes; got levels={levels}, radius={radius}, scale={scale}"
            )
        self.vocabulary_size, self.positions = levels, 2
        angles = torch.arange(8, dtype=torch.float64) * math.pi / 4
        edges = torch.linspace(-1, 1, levels + 1, dtype=torch.float64)
        along_x = torch.special.ndtr((edges - radius * angles.cos()[:, None]) / scale).diff(dim=-1)  # (8, L)
        along_y = torch.special.ndtr((edges - radius * angles.sin()[:, None]) / scale).diff(dim=-1)
        cells = torch.einsum("ki,kj->ij", along_x, along_y)
        self.probabilities = cells / cells.sum()
        flat = self.probabilities.flatten()
        self.optimum = float(entropy_bits(flat)) / 2
        ranked = flat.sort(descending=True)
        likely = torch.zeros_like(flat, dtype=torch.bool)
        likely[ranked.indices[: int((ranked.values.cumsum(0) < 0.999).sum()) + 1]] = True
        self.likely = likely.reshape(levels, levels)

    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        flat = choose(self.probabilities.flatten().expand(n, -1), generator)
        return torch.stack((flat // self.vocabulary_size, flat % self.vocabulary_size), -1)

    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        """Whether (x, y) is among the likeliest cells that hold 99.9 % of the probability."""
        self.check(tokens)
        return self.likely.to(tokens.device)[tokens[..., 0], tokens[..., 1]]


def choose(shares: Float[Tensor, "n V"], generator: Generator | None = None) -> Int[Tensor, "n"]:
    """One of V for each row, with probabilities `shares` that sum to one; never one of probability 0."""
    alarms = torch.empty_like(shares).exponential_(generator=generator)
    return (alarms / shares).argmin(-1)


def entropy_bits(p: Float[Tensor, "*batch V"]) -> Float[Tensor, "*batch"]:
    """−Σ p log₂ p."""
    return -torch.special.xlogy(p, p).sum(-1) / math.log(2)


def stationary(transitions: Float[Tensor, "V V"]) -> Float[Tensor, "V"]:
    """π with π P = π: the equations, of which one is superfluous, and Σ π = 1."""
    size = len(transitions)
    equations = torch.cat(((transitions - torch.eye(size, dtype=transitions.dtype)).T, transitions.new_ones(1, size)))
    right = torch.cat((transitions.new_zeros(size), transitions.new_ones(1)))
    return torch.linalg.lstsq(equations, right[:, None]).solution.squeeze(-1)
