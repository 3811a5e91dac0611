"""Conditioners: the plain networks that flows, dequantisers, encoders and decoders share."""

from labkit.networks.cached import CachedTransformer
from labkit.networks.masked import MaskedMLP
from labkit.networks.mlp import ContextMLP
from labkit.networks.transformer import SoftBins, Transformer

__all__ = ["CachedTransformer", "ContextMLP", "MaskedMLP", "SoftBins", "Transformer"]
