"""Conditioners: the plain networks that flows, dequantisers, encoders and decoders share."""

from labkit.networks.masked import MaskedMLP
from labkit.networks.mlp import ContextMLP

__all__ = ["ContextMLP", "MaskedMLP"]
