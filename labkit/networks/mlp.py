"""A multilayer perceptron of points and a context, in which a shared context is computed once."""

from collections.abc import Callable, Sequence
from functools import partial

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd import forward_ad

IN_PLACE = {F.silu: partial(F.silu, inplace=True), F.relu: torch.relu_, torch.relu: torch.relu_}


def nobody_watches() -> bool:
    """Whether work in place is safe: no gradient is wanted, and neither torch.func nor forward mode looks on."""
    return not (torch.is_grad_enabled() or transformed())


def transformed() -> bool:
    """Whether torch.func transforms the program (vmap, jvp, grad), or forward-mode derivatives run."""
    return torch._C._functorch.peek_interpreter_stack() is not None or forward_ad._current_level >= 0


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
        # Not addmm, which first fills its result with a bias by columns, slower than the product itself.
        out = (self.last.weight @ h.reshape(-1, h.shape[-1]).T).add_(self.last.bias[:, None])
        return out.reshape(self.out_features, *h.shape[:-1])

    def _hidden(self, points: Tensor | None, context: Tensor | None) -> Tensor:
        # Without gradients nobody looks at what goes into an activation: it may be overwritten.
        activation = IN_PLACE.get(self.activation, self.activation) if nobody_watches() else self.activation
        h = activation(self._first(points, context))
        for layer in self.between:
            h = activation(layer(h))
        return h

    def _first(self, points: Tensor | None, context: Tensor | None) -> Tensor:
        """A x + C c + b: two products where a context is shared, and one of [A C] where each point has its own."""
        if self.from_points is not None:
            _check_width("points", points, self.in_features)
        if self.from_context is not None:
            _check_width("context", context, self.context_features)
        if self.from_context is None:
            return self.from_points(points)
        if self.from_points is None:
            return self.from_context(context)
        if points.shape[:-1] == context.shape[:-1]:
            weight = torch.cat((self.from_points.weight, self.from_context.weight), 1)
            return F.linear(torch.cat((points, context), -1), weight, self.from_points.bias)
        return self.from_points(points) + self.from_context(context)


def _check_width(name: str, x: Tensor | None, width: int) -> None:
    if x is None or x.ndim == 0 or x.shape[-1] != width:
        got = "None" if x is None else f"shape {tuple(x.shape)}"
        raise ValueError(f"expected {name} of shape (..., {width}); got {got}")
