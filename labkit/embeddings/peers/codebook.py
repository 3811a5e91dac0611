"""A codebook of contexts: an occurrence is one of a few hundred codes that all words share."""

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor, nn

from labkit.embeddings.decoder import SoftmaxOutput
from labkit.embeddings.peers.merging import check_share, check_whole, merge_rare
from labkit.embeddings.peers.trained import OnContextVectors
from labkit.text import Vocabulary, WindowBatch
from labkit.text.occurrences import Occurrences

LAST = 0.9  # the share of training after which the use of codes is counted


class SimVQ(nn.Module):
    """The nearest row of C W: C is drawn once and stays, only W, shared by all codes, is learned.

    A code of a plain codebook moves only when it is chosen, so that codes no vector is near are never used. A step in W
    moves them all.

    Arguments:
        codes: N, the number of rows.
        dim: of a code.

    References:
        van den Oord, Vinyals & Kavukcuoglu, Neural discrete representation learning (2017), eqs. 1–3. Zhu, Li, Xin &
        Xu, Addressing representation collapse in vector quantized models with one linear layer (2024),
        arXiv 2411.02038.

    Example:
        >>> quantise = SimVQ(codes=16, dim=4)
        >>> vectors, code, loss = quantise(torch.zeros(3, 4))
        >>> vectors.shape, code.shape, loss.shape
        (torch.Size([3, 4]), torch.Size([3]), torch.Size([3]))
    """

    COMMITMENT = 0.25  # as van den Oord et al.

    def __init__(self, codes: int, dim: int):
        super().__init__()
        self.register_buffer("fixed", torch.randn(codes, dim) * dim**-0.5)  # C
        self.map = nn.Linear(dim, dim, bias=False)  # W
        nn.init.eye_(self.map.weight)

    def codes(self) -> Float[Tensor, "N d"]:
        """C W."""
        return self.map(self.fixed)

    def forward(self, vectors: Float[Tensor, "B d"]) -> tuple[Tensor, Int[Tensor, " B"], Float[Tensor, " B"]]:
        """The code q of each vector e, with e's gradient; its number; and ‖sg(e) − q‖² + 0.25 ‖e − sg(q)‖²."""
        codes = self.codes()
        with torch.no_grad():
            number = torch.cdist(vectors, codes).argmin(-1)
        q = codes[number]
        loss = (vectors.detach() - q).square().sum(-1) + self.COMMITMENT * (vectors - q.detach()).square().sum(-1)
        return vectors + (q - vectors).detach(), number, loss


class Codebook(OnContextVectors):
    """The words around are explained by the word's vector and by one code, chosen by the context:

        e = A x,   q = nearest code of e,   log p(c∣w, q) = Σ_j log softmax(U (v_w + B q) + b)_{c_j}      (nats)

    x is the context vector and v_w the word's vector, both of a skip-gram that stays as it is; U and b start from its
    own and are trained on. A code says what the word's own vector leaves open, and all words share the codes. The
    gradient passes from q to e as if they were one (straight through); codes are `SimVQ`'s.

    An occurrence has the sense of its code; codes with less than `least_share` of the word's occurrences are merged
    with the nearest. That share was chosen on the built-in corpus.

    Arguments:
        embedding: a `PointEmbedding`, see `OnContextVectors`.
        codes: N, for all words together.
        code_dim: of e and q.
        least_share: of a word's occurrences, for a sense.
        others: see `TrainedPeer`.

    Attributes after fit:
        usage_: the share of windows that each code has, in the last tenth of training, (N,).
        perplexity_: exp of the entropy of `usage_`: as many codes of equal use would be as uncertain. At most N.

    Example:
        >>> Codebook(codes=128).get_params()["least_share"]
        0.15
    """

    def __init__(
        self, embedding=None, *, codes=128, code_dim=32, least_share=0.15, negatives=256, window=10, thin_out=1e-4,
        passes=1, steps=1000, batch_size=1024, learning_rate=0.003, seed=0, device="auto",
    ):  # fmt: skip
        super().__init__()
        self._remember(locals())

    @property
    def name(self) -> str:
        """For tables."""
        return f"codebook, {self.codes} codes"

    def _check(self) -> None:
        super()._check()
        check_whole(self, codes=2, code_dim=1)
        check_share(self.least_share)

    def _build(self, vocabulary: Vocabulary) -> None:
        super()._build(vocabulary)
        width = self.vectors.shape[1]
        self.encode, self.decode = nn.Linear(width, self.code_dim), nn.Linear(self.code_dim, width)
        self.quantise = SimVQ(self.codes, self.code_dim)
        self.output = SoftmaxOutput(torch.as_tensor(vocabulary.counts), width, self.negatives)
        theirs, known = (
            self.embedding_.output,
            torch.tensor([w in self.embedding_.vocabulary_ for w in vocabulary.words]),
        )
        with torch.no_grad():
            for mine, table in ((self.output.vectors, theirs.vectors), (self.output.bias, theirs.bias)):
                mine.weight[known] = self._rows(vocabulary, table.weight.detach().cpu().numpy())[known]
        self.register_buffer("own", self._rows(vocabulary, self.embedding_.vectors()), persistent=False)  # v_w
        self.register_buffer("chosen", torch.zeros(self.codes))

    def loss(self, batch: WindowBatch, generator: torch.Generator, share: float) -> tuple[Tensor, Tensor]:
        """−log p(c∣w, q) and the distance of e and q, per context word; what is reported is the former."""
        centre, context, mask = self._tensors(batch)
        q, number, apart = self.quantise(self.encode(self.context_vectors(context, mask)))
        hidden = self.own[centre] + self.decode(q)
        log_prob = self.output.sampled_log_prob(hidden[None], context, mask, generator)
        if share >= LAST:
            self.chosen += torch.bincount(number, minlength=self.codes)
        reported = -log_prob.sum() / mask.sum()
        return reported + apart.sum() / mask.sum(), reported.detach()

    @property
    def usage_(self) -> np.ndarray:
        """(N,), sums to 1."""
        self._fitted("vocabulary_")
        return (self.chosen.double() / self.chosen.double().sum()).numpy()

    @property
    def perplexity_(self) -> float:
        """exp(−Σ_k p_k log p_k) of `usage_`, from 1 to N."""
        return float(np.exp(-sum(p * np.log(p) for p in self.usage_ if p > 0)))

    @torch.no_grad()
    def _sort(self, word: str, occurrences: Occurrences) -> tuple[np.ndarray, np.ndarray]:
        """e (n, code_dim) and the number of the code (n,) of each occurrence."""
        self._known(word)  # raises
        parts = [self.encode(self.context_vectors(*part)) for part in self._contexts(occurrences)]
        vectors = torch.cat([torch.zeros(0, self.code_dim), *parts])
        return vectors.double().numpy(), self.quantise(vectors)[1].numpy()

    def transform(self, word: str, occurrences: Occurrences) -> np.ndarray:
        """The code q of each occurrence, (n, code_dim).

        Raises:
            NotFittedError: before `fit`.
            KeyError: a word that never occurs in the text.
        """
        number = self._sort(word, occurrences)[1]
        return self.quantise.codes().detach().double().numpy()[number]

    def assign(self, word: str, occurrences: Occurrences, n_senses: int | None = None) -> np.ndarray:
        """The code of each occurrence, rare ones merged."""
        vectors, number = self._sort(word, occurrences)
        return merge_rare(number, vectors, self.least_share)
