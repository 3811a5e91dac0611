"""A task with known entropy: proper colourings of a small graph, all of them equally likely."""

import math

import torch
from jaxtyping import Bool, Int
from torch import Generator, Tensor

from labkit.dequantise.tasks import Task

MOST_ROWS = 2**21  # partial colourings kept at a time


class GraphColouring(Task):
    """All proper colourings of one graph, equally likely: log₂ P_G(c) / N bits per node, P_G the chromatic polynomial.

    Every colouring is listed (node by node, dropping partial colourings in which neighbours agree), so that the
    number is exact and draws are exactly uniform. For small graphs.

    Arguments:
        nodes: N.
        edges: pairs (i, j) of different nodes.
        colours: c, the vocabulary.

    Raises:
        ValueError: for edges that are not pairs of different nodes, a graph that cannot be coloured, or one with too
            many colourings to list.

    Example:
        >>> triangle = GraphColouring(3, [(0, 1), (1, 2), (0, 2)])
        >>> triangle.count
        6
    """

    ordered = True

    def __init__(self, nodes: int, edges: list[tuple[int, int]], colours: int = 3):
        wrong = [edge for edge in edges if len({*edge}) != 2 or not all(0 <= node < nodes for node in edge)]
        if wrong or nodes < 1 or colours < 1:
            raise ValueError(
                f"expected edges between different nodes among 0 ... {nodes - 1}, and at least one node and colour; "
                f"got nodes={nodes}, colours={colours} and edges like {wrong[:3]}"
            )
        self.edges = sorted({(min(edge), max(edge)) for edge in edges})
        self.vocabulary_size, self.positions = colours, nodes
        self.colourings = self._list()
        self.count = len(self.colourings)
        if not self.count:
            raise ValueError(f"a graph with the edges {self.edges} has no proper colouring with {colours} colours")
        self.optimum = math.log2(self.count) / nodes

    @classmethod
    def random(cls, nodes: int, degree: float = 3.5, colours: int = 3, seed: int = 0) -> "GraphColouring":
        """A graph of about that mean degree with at least one colouring: edges join nodes of different planted colours.

        Example:
            >>> GraphColouring.random(nodes=10).count > 0
            True
        """
        generator = torch.Generator().manual_seed(seed)
        planted = torch.randperm(nodes, generator=generator) % colours
        pairs = [(i, j) for i in range(nodes) for j in range(i + 1, nodes) if planted[i] != planted[j]]
        order = torch.randperm(len(pairs), generator=generator)
        return cls(nodes, [pairs[i] for i in order[: round(nodes * degree / 2)]], colours)

    def draw(self, n: int, generator: Generator | None = None) -> Int[Tensor, "n positions"]:
        return self.colourings[torch.randint(self.count, (n,), generator=generator)].long()

    def valid(self, tokens: Int[Tensor, "*batch positions"]) -> Bool[Tensor, "*batch"]:
        """Whether the ends of every edge differ."""
        self.check(tokens)
        i, j = torch.tensor(self.edges, dtype=torch.long, device=tokens.device).reshape(-1, 2).T
        return (tokens[..., i] != tokens[..., j]).all(-1)

    def _list(self) -> Int[Tensor, "count nodes"]:
        neighbours = {node: set() for node in range(self.positions)}
        for i, j in self.edges:
            neighbours[i].add(j)
            neighbours[j].add(i)
        rows, order = torch.zeros(1, 0, dtype=torch.int8), []
        colours = torch.arange(self.vocabulary_size, dtype=torch.int8)
        while len(order) < self.positions:
            # The node with most coloured neighbours, which cut most; of those the one with most neighbours in all.
            left = [node for node in neighbours if node not in order]
            node = max(left, key=lambda node: (len(neighbours[node] & set(order)), len(neighbours[node])))
            if len(rows) * self.vocabulary_size > MOST_ROWS:
                raise ValueError(
                    f"a graph of {self.positions} nodes and {len(self.edges)} edges has too many colourings to list; "
                    "expected a smaller graph, or more edges"
                )
            beside = [order.index(other) for other in neighbours[node] if other in order]
            new = colours.repeat(len(rows))
            rows = rows.repeat_interleave(self.vocabulary_size, 0)
            proper = (rows[:, beside] != new[:, None]).all(-1)
            rows, order = torch.cat((rows, new[:, None]), 1)[proper], [*order, node]
        return rows[:, torch.tensor(order).argsort()]
