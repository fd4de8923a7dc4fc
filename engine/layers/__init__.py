"""Layers: what a model is described with, and what it is placed as.

A *spec* (``Dense(128)``) is what one writes, in Python or YAML: options and no sizes of the input.
Placing it on an input shape gives a *layer*: frozen, holding slots of the flat parameter vector
and no numbers. ``forward`` and ``backward`` record bound ops; they compute nothing themselves.
"""

from agentd.engine.layers.activation import (
    Exp,
    Gelu,
    Identity,
    LeakyRelu,
    Relu,
    Sigmoid,
    Softplus,
    Tanh,
)
from agentd.engine.layers.conv import Conv2d
from agentd.engine.layers.dense import Dense
from agentd.engine.layers.dropout import Dropout
from agentd.engine.layers.dueling import Dueling
from agentd.engine.layers.embedding import EmbeddingBag
from agentd.engine.layers.expectation import Expectation
from agentd.engine.layers.layer import Layer, LayerSpec
from agentd.engine.layers.noisy import NoisyDense
from agentd.engine.layers.norm import BatchNorm, LayerNorm, Normalize
from agentd.engine.layers.pool import AvgPool2d, GlobalAvgPool, MaxPool2d
from agentd.engine.layers.recurrent import Gru, Lstm, Rnn
from agentd.engine.layers.residual import Residual
from agentd.engine.layers.scale import Scale
from agentd.engine.layers.sequential import Sequential
from agentd.engine.layers.shape import ChannelsLast, Flatten, Reshape

__all__ = [
    "AvgPool2d",
    "BatchNorm",
    "ChannelsLast",
    "Conv2d",
    "Dense",
    "Dropout",
    "Dueling",
    "EmbeddingBag",
    "Exp",
    "Expectation",
    "Flatten",
    "Gelu",
    "GlobalAvgPool",
    "Gru",
    "Identity",
    "Layer",
    "LayerNorm",
    "LayerSpec",
    "LeakyRelu",
    "Lstm",
    "MaxPool2d",
    "NoisyDense",
    "Normalize",
    "Relu",
    "Reshape",
    "Residual",
    "Rnn",
    "Scale",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
