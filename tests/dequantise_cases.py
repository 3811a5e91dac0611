"""The named dequantisers that every property of tests/test_dequantise_contract.py is asked of."""

import torch

from labkit.dequantise import (
    ArgmaxDequantiser,
    BinaryArgmaxDequantiser,
    CategoricalDequantiser,
    TokenNoise,
    TruncatedDequantiser,
    UniformDequantiser,
    VariationalCategoricalDequantiser,
    VariationalDequantiser,
)

V = 5
CELLS = {
    "uniform, ordinal": lambda size=V: UniformDequantiser(size, 1),
    "uniform, digits": lambda size=V: UniformDequantiser(size, 2),
    "variational, set": lambda size=V: VariationalDequantiser(size, 2),
    "variational, sequence": lambda size=V: VariationalDequantiser(size, 1, TokenNoise(size, 1, positions=4)),
    "argmax": lambda size=V: ArgmaxDequantiser(size),
    "argmax, binary": lambda size=V: BinaryArgmaxDequantiser(size),
    "argmax, tokens alone": lambda size=V: BinaryArgmaxDequantiser(
        size, TokenNoise(size, BinaryArgmaxDequantiser.bits(size), blocks=0)
    ),
}
BAYES = {
    "categorical, mixture": lambda size=V: CategoricalDequantiser(size, 2),
    "categorical, flows": lambda size=V: CategoricalDequantiser.with_flows(size, 2),
    "truncated": lambda size=V: TruncatedDequantiser(size, 2),
    "truncated, 1-d": lambda size=V: TruncatedDequantiser(size, 1),
    "truncated, flows": lambda size=V: TruncatedDequantiser.with_flows(size, 2),
}
EVERY = CELLS | BAYES | {"categorical, variational": lambda size=V: VariationalCategoricalDequantiser(size, 2)}


def build(make, dtype=torch.float64, size=V, noise=0.3):
    """A dequantiser away from its start: every weight is moved, so that zero-initialised layers count too."""
    generator = torch.Generator().manual_seed(3)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(5)
        code = make(size).to(dtype)
    with torch.no_grad():
        for weight in code.parameters():
            weight.add_(noise * torch.randn(weight.shape, generator=generator, dtype=dtype))
    return code


def draws(code, count=2000, positions=4, seed=0):
    """Tokens and what `encode` makes of them."""
    generator = torch.Generator().manual_seed(seed)
    tokens = torch.randint(code.vocabulary_size, (count, positions), generator=generator)
    return tokens, *code.encode(tokens, generator)
