"""A multilayer perceptron of points and a context, in which a shared context is computed once."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn


class ContextMLP(nn.Module):
    """f(x, c) = W_L σ(… σ(A x + C c + b) …) + b_L, with the first layer split into A and C.

    Splitting the first layer is no restriction: [A C] is one matrix applied to [x; c]. What it buys is that
    C c is evaluated at the context's own batch shape and broadcast afterwards: a context shared by 40,000
    grid points costs one row of work, not 40,000, and is never copied. A and C are initialised each by its
    own fan-in, so that neither a wide context drowns the points nor the reverse.

    Arguments:
        in_features: number d of point features, 0 for a function of the context alone.
        context_features: number c of context features, 0 for a function of the points alone.
        hidden: widths of the hidden layers, at least one.
        out_features: number of outputs.
        activation: σ, elementwise. The default, SiLU, is smooth: a density conditioned through it has no
            kinks.
        zero_init: start with W_L = 0 and b_L = 0, so that every output is zero.

    Raises:
        ValueError: if there is no hidden layer, or neither points nor context.

    Example:
        >>> mlp = ContextMLP(in_features=2, context_features=3, hidden=(16,), out_features=5)
        >>> mlp(torch.zeros(100, 7, 2), torch.zeros(7, 3)).shape  # 7 contexts, each shared by 100 points
        torch.Size([100, 7, 5])
    """

    def __init__(
        self,
        in_features: int,
        context_features: int,
        hidden: Sequence[int],
        out_features: int,
        *,
        activation: Callable[[Tensor], Tensor] = F.silu,
        zero_init: bool = False,
    ):
        super().__init__()
        if not hidden:
            raise ValueError(f"expected at least one hidden width, as in hidden=(64,); got hidden={hidden!r}")
        if in_features + context_features == 0:
            raise ValueError("expected points or a context; got in_features=0 and context_features=0")
        self.in_features, self.context_features = in_features, context_features
        self.out_features = out_features
        self.activation = activation
        self.from_points = nn.Linear(in_features, hidden[0]) if in_features else None
        # One bias is enough: it belongs to the points where there are any.
        bias = not in_features
        self.from_context = nn.Linear(context_features, hidden[0], bias) if context_features else None
        self.between = nn.ModuleList(nn.Linear(a, b) for a, b in zip(hidden[:-1], hidden[1:], strict=True))
        self.last = nn.Linear(hidden[-1], out_features)
        if zero_init:
            nn.init.zeros_(self.last.weight)
            nn.init.zeros_(self.last.bias)

    def forward(
        self, points: Float[Tensor, "*points d"] | None, context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "*batch out"]:
        """f(x, c), where batch is that to which the points' and the context's batch shapes broadcast."""
        return self.last(self._hidden(points, context))

    def outputs_first(
        self, points: Float[Tensor, "*points d"] | None, context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "out *batch"]:
        """The same numbers with the outputs as the first axis, contiguous.

        What follows a conditioner reduces over a handful of outputs per point (a softmax over 8 bins). Over a
        last axis of 8 that is slow on every machine; over a first axis each step is one long vector
        operation. Writing W_L hᵀ instead of h W_Lᵀ gives that layout for the price of the product itself.
        """
        h = self._hidden(points, context)  # (*batch, hidden)
        out = torch.addmm(self.last.bias[:, None], self.last.weight, h.reshape(-1, h.shape[-1]).T)
        return out.reshape(self.out_features, *h.shape[:-1])

    def _hidden(self, points: Tensor | None, context: Tensor | None) -> Tensor:
        parts = []
        if self.from_points is not None:
            parts.append(self.from_points(_of_width("points", points, self.in_features)))
        if self.from_context is not None:
            parts.append(self.from_context(_of_width("context", context, self.context_features)))
        h = self.activation(sum(parts[1:], parts[0]))
        for layer in self.between:
            h = self.activation(layer(h))
        return h


def _of_width(name: str, x: Tensor | None, width: int) -> Tensor:
    if x is None or x.ndim == 0 or x.shape[-1] != width:
        got = "None" if x is None else f"shape {tuple(x.shape)}"
        raise ValueError(f"expected {name} of shape (..., {width}); got {got}")
    return x
