"""The linear layers by name, for the properties that every transform has (tests/test_transforms.py)."""

import torch

from labkit.flows.circulant import CirculantDiagonal
from labkit.flows.linear import DenseLinear, InvertibleConv1x1, LULinear, Orthogonal

CONDITIONAL = {}  # none of them looks at a context
UNCONDITIONAL = {
    "dense": lambda: DenseLinear(3),
    "LU": lambda: LULinear(4),
    "LU, 1-d": lambda: LULinear(1),
    "LU, no bias": lambda: LULinear(3, bias=False),
    "rotation": lambda: Orthogonal(4),
    "rotation of an odd width": lambda: Orthogonal(3),
    "rotation, more reflections than features": lambda: Orthogonal(2, reflections=6, bias=True),
    "1x1 convolution": lambda: InvertibleConv1x1(channels=2, positions=3),
    "1x1 convolution of reflections": lambda: InvertibleConv1x1(3, 2, Orthogonal(3, bias=True)),
    "circulant-diagonal, 1-d": lambda: CirculantDiagonal(1),
    "circulant-diagonal, 2-d": lambda: CirculantDiagonal(2),
    "circulant-diagonal, odd": lambda: CirculantDiagonal(5),
    "circulant-diagonal, even": lambda: CirculantDiagonal(6, bias=False),
    "circulant-diagonal, 4 diagonals": lambda: CirculantDiagonal(4, diagonals=4),
    "diagonal alone": lambda: CirculantDiagonal(3, diagonals=1),
}

# Layers that do not start as the identity: they have every other property.
ELSEWHERE = {
    "LU of a given matrix": lambda: LULinear.from_matrix(
        torch.tensor([[0.0, 2.0, 1.0], [-1.0, 1.0, 0.5], [3.0, 0.0, -2.0]])
    ),
    "reflections, an odd number": lambda: Orthogonal(4, reflections=3),
}
