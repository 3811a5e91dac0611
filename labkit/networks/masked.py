"""A masked perceptron: the outputs of feature i see the features before i, and the context, and nothing else."""

from collections.abc import Callable, Sequence

import torch
import torch.nn.functional as F
from jaxtyping import Float
from torch import Tensor, nn

from labkit.networks.mlp import IN_PLACE, nobody_watches


class MaskedMLP(nn.Module):
    """MADE: one pass gives θ_i(x_1, …, x_{i−1}, c) for every i (Germain et al. 2015, arXiv 1502.03509, eqs. 12-13).

    A hidden unit of degree g sees the first g features, and units of degree at most g. *Units are sorted by degree*:
    what feature i needs is then the first so many units of every layer, so that features can be computed one after the
    other with each unit evaluated once (`steps`). d features in turn cost one pass, where d full passes are the rule.
    Units of degree 0 see the context alone; with them the context reaches the first feature too.

    Arguments:
        features: d.
        context_features: c, or 0.
        hidden: widths of the hidden layers, each at least d (d − 1 without a context), so that no degree is missing.
        outputs_per_feature: P.
        activation: elementwise.
        zero_init: start with all outputs zero.

    Raises:
        ValueError: without a hidden layer, or for one with fewer units than degrees.

    Example:
        >>> mlp = MaskedMLP(features=3, context_features=2, hidden=(8, 8), outputs_per_feature=4)
        >>> mlp(torch.zeros(100, 7, 3), torch.zeros(7, 2)).shape  # parameters, features, then the batch
        torch.Size([4, 3, 100, 7])
    """

    def __init__(
        self,
        features: int,
        context_features: int,
        hidden: Sequence[int],
        outputs_per_feature: int,
        *,
        activation: Callable[[Tensor], Tensor] = F.silu,
        zero_init: bool = False,
    ):
        super().__init__()
        if not hidden:
            raise ValueError(f"expected at least one hidden width, as in hidden=(64,); got hidden={hidden!r}")
        lowest = 0 if context_features or features == 1 else 1  # without a context, degree 0 would see nothing
        if min(hidden) < features - lowest:
            raise ValueError(
                f"expected at least {features - lowest} units in every hidden layer, one for each degree of "
                f"{features} features; got hidden={tuple(hidden)}"
            )
        self.features, self.outputs_per_feature, self.activation = features, outputs_per_feature, activation
        degrees = [lowest + torch.arange(n) * (features - lowest) // n for n in hidden]
        inputs = torch.arange(features)
        widths = [features, *hidden, outputs_per_feature * features]
        self.layers = nn.ModuleList(nn.Linear(a, b) for a, b in zip(widths[:-1], widths[1:], strict=True))
        self.from_context = nn.Linear(context_features, hidden[0], bias=False) if context_features else None
        masks = [inputs[None, :] < degrees[0][:, None]]
        masks += [b[:, None] >= a[None, :] for a, b in zip(degrees[:-1], degrees[1:], strict=True)]
        masks += [(inputs[:, None] >= degrees[-1][None, :]).repeat(outputs_per_feature, 1)]
        for number, mask in enumerate(masks):
            self.register_buffer(f"mask{number}", mask.float(), persistent=False)
        # How many units of each layer feature i needs: those of degree at most i.
        self.needed = [[int((degree <= i).sum()) for degree in degrees] for i in range(features)]
        if zero_init:
            nn.init.zeros_(self.layers[-1].weight)
            nn.init.zeros_(self.layers[-1].bias)

    def forward(
        self, x: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> Float[Tensor, "P d *batch"]:
        """θ of all features at once, parameters first; batch is that to which points and context broadcast."""
        h = F.linear(x, self._weight(0), self.layers[0].bias)
        if self.from_context is not None:
            h = h + self.from_context(context)
        h = self.activation(h)
        for number in range(1, len(self.layers) - 1):
            h = self.activation(F.linear(h, self._weight(number), self.layers[number].bias))
        out = torch.addmm(self.layers[-1].bias[:, None], self._weight(-1), h.reshape(-1, h.shape[-1]).T)
        return out.reshape(self.outputs_per_feature, self.features, *h.shape[:-1])

    def steps(self, batch: Sequence[int], context: Float[Tensor, "*contexts c"] | None = None) -> "Steps":
        """θ of one feature after the other, each given the values of those before it: `steps.next(x_before)`."""
        return Steps(self, torch.Size(batch), context)

    def _weight(self, number: int) -> Tensor:
        number = number % len(self.layers)
        return self.layers[number].weight * getattr(self, f"mask{number}")


class Steps:
    """The walk through a `MaskedMLP`, feature by feature: a hidden unit is evaluated once, when its inputs are there.

    No mask is needed on the way: a unit of degree g is due at feature g, when no other has been computed than those
    that it may see. Everything is laid out with units first, so that the units known so far are one block of memory.
    """

    def __init__(self, mlp: MaskedMLP, batch: torch.Size, context: Tensor | None):
        self.mlp, self.batch, self.feature = mlp, batch, 0
        self.weights = [layer.weight for layer in mlp.layers]
        self.last = self.weights[-1].unflatten(0, (mlp.outputs_per_feature, mlp.features))
        self.last_bias = mlp.layers[-1].bias.unflatten(0, (mlp.outputs_per_feature, mlp.features))
        like, count = self.weights[0], batch.numel()
        self.known = Rows(mlp.features, count, like)
        self.units = [Rows(len(weight), count, like) for weight in self.weights[:-1]]
        # Without gradients nobody looks at what goes into an activation: it may be overwritten.
        self.add, self.activation = torch.add, mlp.activation
        if nobody_watches():
            self.add, self.activation = Tensor.add_, IN_PLACE.get(mlp.activation, mlp.activation)
        self.shifts = [layer.bias[:, None] for layer in mlp.layers[:-1]]
        if mlp.from_context is not None:
            self.shifts[0] = self.add(self._of_context(context), self.shifts[0])

    def next(self, newest: Float[Tensor, "*batch"] | None) -> Float[Tensor, "P *batch"]:
        """θ of the next feature, given the value of the one before it (None for the first)."""
        if newest is not None:
            self.known.append(newest.reshape(1, newest.numel()))
        i, below = self.feature, self.known
        for number, (units, upto) in enumerate(zip(self.units, self.mlp.needed[i], strict=True)):
            start = units.filled
            if upto > start:
                known = below.all()
                rows = torch.mm(self.weights[number][start:upto, : len(known)], known, out=units.room(upto))
                units.append(self.activation(self.add(rows, self.shifts[number][start:upto])))
            below = units
        h = below.all()
        self.feature += 1
        theta = self.add(self.last[:, i, : len(h)] @ h, self.last_bias[:, i, None])
        return theta.reshape(len(theta), *self.batch)

    def _of_context(self, context: Tensor) -> Tensor:
        """What the context adds to the first layer, (H, N) or, where all points share it, (H, 1)."""
        shift = self.mlp.from_context.weight @ context.reshape(-1, context.shape[-1]).T
        if shift.shape[1] == 1 or context.shape[:-1] == self.batch:
            return shift
        shared = (1,) * (len(self.batch) - context.ndim + 1)
        shift = shift.reshape(len(shift), *shared, *context.shape[:-1])
        return shift.expand(-1, *self.batch).reshape(len(shift), self.batch.numel())


class Rows:
    """Rows filled from the top: one buffer while no gradient is wanted, otherwise pieces that autograd may keep."""

    def __init__(self, rows: int, columns: int, like: Tensor):
        self.filled, self.place = 0, None
        self.buffer = like.new_empty(rows, columns) if nobody_watches() else None
        self.pieces = [like.new_empty(0, columns)]

    def room(self, upto: int) -> Tensor | None:
        """Where the rows as far as `upto` will lie, for work in place; None where they will be a piece of their own."""
        self.place = None if self.buffer is None else self.buffer[self.filled : upto]
        return self.place

    def append(self, piece: Tensor) -> None:
        stop = self.filled + len(piece)
        if self.buffer is None:
            self.pieces.append(piece)
        elif piece is not self.place:
            self.buffer[self.filled : stop] = piece
        self.filled = stop

    def all(self) -> Tensor:
        return torch.cat(self.pieces) if self.buffer is None else self.buffer[: self.filled]
