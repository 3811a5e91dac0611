"""The circulant-diagonal layer: an invertible matrix of O(d) parameters, with nothing to factorise."""

import torch
from jaxtyping import Complex, Float
from torch import Tensor, nn
from torch.nn.functional import pad

from labkit.flows.linear import LinearTransform


def circulant(column: Float[Tensor, "*batch d"]) -> Float[Tensor, "*batch d d"]:
    """The matrix C_ij = c_((i−j) mod d), of which c is the first column: C u is the circular convolution c ∗ u.

    The Fourier transform diagonalises it: C = F⁻¹ diag(λ) F with λ = FFT(c).

    Example:
        >>> circulant(torch.tensor([1, 2, 3]).float())
        tensor([[1., 3., 2.],
                [2., 1., 3.],
                [3., 2., 1.]])
    """
    places = torch.arange(column.shape[-1], device=column.device)
    return column[..., (places[:, None] - places) % len(places)]


class CirculantDiagonal(LinearTransform):
    """z = D₁ C₂ D₃ … C_{2m−2} D_{2m−1} u + b: m diagonal matrices D, with m − 1 circulant ones C between them.

        log|det W| = Σ_D Σ_i log|D_ii| + Σ_C Σ_k log|λ_k|,   C = F⁻¹ diag(λ) F

    CDFlow (arXiv 2510.25323) parametrises a circulant matrix by its first column; here the parameters are
    its eigenvalues λ. For the log-determinant there is then nothing to transform, m d additions, and the
    inverse is W with the reciprocals of all D and λ in the opposite order: O(m d log d) a point, either way.

    W is real, so that λ_{d−k} is the conjugate of λ_k: free are log|λ_k| for k = 0 … ⌊d/2⌋ and the phases of
    all of these but λ_0 and, for an even d, λ_{d/2}, which are real. That makes d real parameters a circulant
    matrix and (2m − 1) d in all. D, λ_0 and λ_{d/2} are positive; so W is never singular, det W > 0, and all
    parameters zero give the identity. Few factors do not reach every W; 2d − 1 of them do, if they may be
    complex (Huhtanen & Perämäki 2015, Factoring matrices into the product of circulant and diagonal matrices).

    Arguments:
        features: d.
        diagonals: m, the number of diagonal factors; 1 leaves a diagonal matrix.
        bias: whether to learn b.

    Raises:
        ValueError: for fewer than one diagonal factor.

    Example:
        >>> layer = CirculantDiagonal(96)
        >>> z, log_det = layer.forward_and_log_det(torch.randn(10, 96))
        >>> z.shape, log_det.shape
        (torch.Size([10, 96]), torch.Size([10]))
        >>> layer.log_diagonals.numel() + layer.spectra.numel()  # 3 d; a dense W has 9216
        288
    """

    def __init__(self, features: int, diagonals: int = 2, bias: bool = True):
        super().__init__(features, bias)
        if diagonals < 1:
            raise ValueError(f"expected at least one diagonal factor; got diagonals={diagonals}")
        self.log_diagonals = nn.Parameter(torch.zeros(diagonals, features))  # rows: log D₁, log D₃, …
        self.spectra = nn.Parameter(torch.zeros(diagonals - 1, features))  # rows: log|λ| of C, then phases
        half = features // 2 + 1
        self.sizes = (half, features - half)
        # How many of the d eigenvalues share one log-modulus; a phase has no say in the determinant.
        copies = torch.full((features,), 2.0)
        copies[0] = 1.0
        if features % 2 == 0:
            copies[half - 1] = 1.0
        copies[half:] = 0.0
        self.register_buffer("copies", copies, persistent=False)

    def multiply(self, u: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        scales = self.log_diagonals.exp()
        u = u * scales[-1]
        for scale, eigenvalues in zip(scales[:-1].flip(0), self.eigenvalues().flip(0), strict=True):
            u = self._convolve(u, eigenvalues) * scale
        return u

    def solve(self, z: Float[Tensor, "*points d"]) -> Float[Tensor, "*points d"]:
        scales = (-self.log_diagonals).exp()
        z = z * scales[0]
        for scale, eigenvalues in zip(scales[1:], self.eigenvalues(inverse=True), strict=True):
            z = self._convolve(z, eigenvalues) * scale
        return z

    def log_abs_det(self) -> Float[Tensor, ""]:
        return self.log_diagonals.sum() + (self.spectra @ self.copies).sum()

    def eigenvalues(self, inverse: bool = False) -> Complex[Tensor, "circulants half"]:
        """λ_k of every circulant factor for k = 0 … ⌊d/2⌋, as `torch.fft.rfft` orders them, or 1 / λ_k."""
        half, phases = self.sizes
        log_modulus, phase = (-self.spectra if inverse else self.spectra).split(self.sizes, -1)
        return torch.polar(log_modulus.exp(), pad(phase, (1, half - 1 - phases)))

    def matrix(self) -> Float[Tensor, "d d"]:
        """W, the product of its dense factors: O(m d³), independent of `multiply`."""
        scales = self.log_diagonals.exp()
        matrix = scales[0].diag()
        for scale, eigenvalues in zip(scales[1:], self.eigenvalues(), strict=True):
            matrix = (matrix @ circulant(torch.fft.irfft(eigenvalues, n=self.features))) * scale
        return matrix

    def _convolve(self, points: Tensor, eigenvalues: Tensor) -> Tensor:
        if points.numel() == 0:
            return points  # some Fourier transforms refuse an empty batch
        return torch.fft.irfft(torch.fft.rfft(points) * eigenvalues, n=self.features)
