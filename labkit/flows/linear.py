"""Invertible linear layers, z = W u + b: dense, triangular factors, reflections, one matrix shared by positions.

log|det ∂z/∂u| = log|det W| is the same number at every point. What the layers differ in is how W is
parametrised, and so what its determinant and its inverse cost, for d features and B points:

| layer | parameters | log-det | inverse |
|---|---|---|---|
| `DenseLinear` | d² | d³ | d³ + B d² |
| `LULinear` | d² | d | B d² |
| `Orthogonal`, K reflections | K d | none, it is 0 | K² d + B K d |
| `CirculantDiagonal` (circulant.py), m diagonals | (2m − 1) d | m d | B m d log d |

Fresh, every layer is the identity (of `Orthogonal`, those with an even number of reflections).
"""

from abc import abstractmethod
from collections.abc import Callable

import torch
from jaxtyping import Float
from torch import Tensor, nn

from labkit.flows.transforms import Transform


class LinearTransform(Transform):
    """z = W u + b: subclasses say what W does to a point, and its inverse, and log|det W|.

    Points are rows, (..., d), so that W u is written `multiply(u)` and never u @ W.

    Arguments:
        features: d.
        bias: whether to learn b, (d,); without it b = 0.
    """

    def __init__(self, features: int, bias: bool = True):
        super().__init__(features)
        self.register_parameter("bias", nn.Parameter(torch.zeros(features)) if bias else None)

    @abstractmethod
    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        """W u for every point."""

    @abstractmethod
    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        """W⁻¹ z for every point."""

    @abstractmethod
    def log_abs_det(self) -> Float[Tensor, ""]:
        """log|det W| in nats."""

    def matrix(self) -> Float[Tensor, "d d"]:
        """W itself, for tests and drawing: d points through `multiply`."""
        weights = next(self.parameters())
        return self.multiply(torch.eye(self.features, dtype=weights.dtype, device=weights.device)).mT

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        log_det = self.log_abs_det().expand(self.batch_shape(u, context))
        z = self.multiply(u)
        return z if self.bias is None else z + self.bias, log_det

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        log_det = (-self.log_abs_det()).expand(self.batch_shape(z, context))
        return self.solve(z if self.bias is None else z - self.bias), log_det


class DenseLinear(LinearTransform):
    """z = W u + b with all d² entries of W free: the plain layer that the others are compared with.

    Both log|det W| and W⁻¹ take an elimination, d³ operations, whenever W has changed. Nothing keeps W
    from becoming singular: there log_det is −∞ and the inverse is not finite. That is not checked, because
    to look at it would halt an accelerator.

    Example:
        >>> layer = DenseLinear(2, bias=False)
        >>> layer.load_state_dict({"weight": torch.tensor([[2.0, 1.0], [0.0, 3.0]])})
        <All keys matched successfully>
        >>> layer.log_abs_det()  # log 6 nats
        tensor(1.7918, grad_fn=...)
    """

    def __init__(self, features: int, bias: bool = True):
        super().__init__(features, bias)
        self.weight = nn.Parameter(torch.eye(features))

    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        return u @ self.weight.mT

    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        rows = z.reshape(-1, self.features)
        # The variant without a check of its own, which would wait for an accelerator to finish.
        return torch.linalg.solve_ex(self.weight.mT, rows, left=False).result.reshape(z.shape)

    def log_abs_det(self) -> Float[Tensor, ""]:
        return torch.linalg.slogdet(self.weight).logabsdet

    def matrix(self) -> Float[Tensor, "d d"]:
        """W, the parameter itself."""
        return self.weight


class LULinear(LinearTransform):
    """z = P L (N + diag s) u + b, where L is unit lower triangular, N strictly upper triangular, |s_i| = e^{r_i}.

        log|det W| = Σ_i log|s_i| = Σ_i r_i

    Triangular systems are solved without an elimination (Kingma & Dhariwal 2018, arXiv 1807.03039, eqs.
    10-11; Oliva et al. 2018, arXiv 1801.09819). The permutation P and the signs of s are fixed, so the sign
    of det W never changes and W is never singular. One (d, d) parameter, `factors`, holds it all: L below
    the diagonal, N above, r on it.

    Arguments:
        features: d. Here P = I and s > 0; `from_matrix` sets them otherwise.
        bias: whether to learn b.

    Example:
        >>> layer = LULinear.from_matrix(torch.tensor([[0.0, 2.0], [-3.0, 1.0]]))
        >>> layer.log_abs_det()  # log 6 nats
        tensor(1.7918, grad_fn=...)
        >>> layer(torch.tensor([1.0, 1.0]))
        tensor([ 2., -2.], grad_fn=...)
    """

    def __init__(self, features: int, bias: bool = True):
        super().__init__(features, bias)
        self.factors = nn.Parameter(torch.zeros(features, features))
        self.register_buffer("signs", torch.ones(features))
        self.register_buffer("order", torch.arange(features))  # (P y)_i = y_order[i]

    @classmethod
    def from_matrix(cls, matrix: Float[Tensor, "d e"], bias: bool = True) -> "LULinear":
        """The layer that starts at W = matrix (d, d), for instance at a random rotation, with b = 0.

        Raises:
            ValueError: for a matrix that is not square, or is singular.
        """
        rows, columns = matrix.shape
        if rows != columns:
            raise ValueError(f"expected a square matrix; got shape {tuple(matrix.shape)}")
        permutation, lower, upper = torch.linalg.lu(matrix.detach())
        diagonal = upper.diagonal()
        if not (diagonal.isfinite() & (diagonal != 0)).all():
            raise ValueError(f"expected an invertible, finite matrix; got one of determinant {matrix.det():g}")
        layer = cls(rows, bias).to(matrix)
        with torch.no_grad():
            layer.factors.copy_(lower.tril(-1) + upper.triu(1) + diagonal.abs().log().diag())
            layer.signs.copy_(diagonal.sign())
            layer.order.copy_(permutation.argmax(1))
        return layer

    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        u = u * self._diagonal() + u @ self.factors.triu(1).mT
        u = u + u @ self.factors.tril(-1).mT
        return u[..., self.order]

    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        rows = z[..., self.order.argsort()].reshape(-1, self.features)
        lower = self.factors.tril(-1)  # its unit diagonal is implied
        upper = self.factors.triu(1) + self._diagonal().diag()
        rows = torch.linalg.solve_triangular(lower.mT, rows, upper=True, left=False, unitriangular=True)
        rows = torch.linalg.solve_triangular(upper.mT, rows, upper=False, left=False)
        return rows.reshape(z.shape)

    def log_abs_det(self) -> Float[Tensor, ""]:
        return self.factors.diagonal().sum()

    def matrix(self) -> Float[Tensor, "d d"]:
        """W = P L (N + diag s), the product of its factors."""
        lower = self.factors.tril(-1) + torch.ones_like(self.factors[0]).diag()
        return (lower @ (self.factors.triu(1) + self._diagonal().diag()))[self.order]

    def _diagonal(self) -> Float[Tensor, "d"]:
        return self.signs * self.factors.diagonal().exp()


class Orthogonal(LinearTransform):
    """z = H_1 H_2 … H_K u + b: reflections H_k = I − 2 v_k v_kᵀ / |v_k|², a rotation with log-determinant 0.

    Any orthogonal matrix is a product of at most d reflections (Tomczak & Welling 2016, arXiv 1611.09630,
    eqs. 6-8). With unit rows v_k in V (K, d) the product takes three matrix products instead of K steps,

        H_1 … H_K = I − Vᵀ T V,   T⁻¹ = ½ I + (V Vᵀ above the diagonal),

    (Joffrain et al. 2006, Accumulating Householder transformations, revisited), and its inverse is its
    transpose. The parameters come in equal pairs at first, and two equal reflections cancel: an even K starts
    as the identity and has det W = 1 always; an odd K starts as a reflection and has det W = −1.

    Arguments:
        features: d.
        reflections: K. The default, d or d + 1, whichever is even, reaches every rotation.
        bias: whether to learn b.

    Raises:
        ValueError: for fewer than one reflection.

    Example:
        >>> rotation = Orthogonal(3)
        >>> rotation(torch.tensor([1.0, 2.0, 3.0]))
        tensor([1., 2., 3.], grad_fn=...)
    """

    def __init__(self, features: int, reflections: int | None = None, bias: bool = False):
        super().__init__(features, bias)
        reflections = features + features % 2 if reflections is None else reflections
        if reflections < 1:
            raise ValueError(f"expected at least one reflection; got reflections={reflections}")
        pairs = torch.arange(reflections) // 2
        self.vectors = nn.Parameter(torch.eye(features)[pairs % features])

    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        v, t_v = self._factors()
        return u - (u @ t_v.mT) @ v

    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        v, t_v = self._factors()
        return z - (z @ v.mT) @ t_v

    def log_abs_det(self) -> Float[Tensor, ""]:
        return self.vectors.new_zeros(())

    def _factors(self) -> tuple[Float[Tensor, "K d"], Float[Tensor, "K d"]]:
        """V with unit rows, and T V."""
        v = self.vectors / torch.linalg.vector_norm(self.vectors, dim=-1, keepdim=True)
        inverse_t = (v @ v.mT).triu(1) + 0.5 * torch.eye(len(v), dtype=v.dtype, device=v.device)
        return v, torch.linalg.solve_triangular(inverse_t, v, upper=True)


class InvertibleConv1x1(LinearTransform):
    """z_p = W u_p + b at every position p: one small matrix over the channels, shared by all positions.

        log|det ∂z/∂u| = positions · log|det W|

    The invertible 1x1 convolution of Glow (Kingma & Dhariwal 2018, arXiv 1807.03039, eq. 9). The d =
    positions · channels features hold all channels of the first position, then those of the next.

    Arguments:
        channels: width of one position.
        positions: how many there are.
        linear: the layer over the channels; by default a `LULinear`, as in eq. 10.

    Raises:
        ValueError: for sizes below one, or a layer that is not `channels` wide.

    Example:
        >>> conv = InvertibleConv1x1(channels=3, positions=16)
        >>> z, log_det = conv.forward_and_log_det(torch.randn(10, 48))
        >>> z.shape, log_det.shape
        (torch.Size([10, 48]), torch.Size([10]))
    """

    def __init__(self, channels: int, positions: int, linear: LinearTransform | None = None):
        if min(channels, positions) < 1:
            raise ValueError(f"expected channels >= 1 and positions >= 1; got {channels} and {positions}")
        super().__init__(positions * channels, bias=False)  # the channels' layer has its own
        self.shape = (positions, channels)
        self.linear = LULinear(channels) if linear is None else linear
        if self.linear.features != channels:
            raise ValueError(f"expected a layer over {channels} channels; got one of {self.linear.features}")

    def forward_and_log_det(
        self, u: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        return self._at_every_position(self.linear.forward_and_log_det, u, context)

    def inverse_and_log_det(
        self, z: Float[Tensor, "*points d"], context: Float[Tensor, "*contexts c"] | None = None
    ) -> tuple[Float[Tensor, "*points d"], Float[Tensor, "*points"]]:
        return self._at_every_position(self.linear.inverse_and_log_det, z, context)

    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        return self.linear.multiply(u.unflatten(-1, self.shape)).flatten(-2)

    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        return self.linear.solve(z.unflatten(-1, self.shape)).flatten(-2)

    def log_abs_det(self) -> Float[Tensor, ""]:
        return self.shape[0] * self.linear.log_abs_det()

    def matrix(self) -> Float[Tensor, "d d"]:
        """The (d, d) matrix with W repeated along its diagonal."""
        return torch.block_diag(*[self.linear.matrix()] * self.shape[0])

    def _at_every_position(self, direction: Callable, points: Tensor, context: Tensor | None):
        self.batch_shape(points, context)
        points, log_det = direction(points.unflatten(-1, self.shape))
        return points.flatten(-2), log_det.sum(-1)
