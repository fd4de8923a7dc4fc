"""Layers: what a model is described with, and what it is placed as.

A *spec* (``Dense(128)``) is what one writes, in Python or YAML: options and no sizes of the input.
Placing it on an input shape gives a *layer*: frozen, holding slots of the flat parameter vector
and no numbers. ``forward`` and ``backward`` record bound ops; they compute nothing themselves.
"""

from engine.layers.activation import Exp, Gelu, Identity, LeakyRelu, Relu, Sigmoid, Softplus, Tanh
from engine.layers.dense import Dense
from engine.layers.dueling import Dueling
from engine.layers.layer import Layer, LayerSpec
from engine.layers.sequential import Sequential
from engine.layers.shape import Flatten, Reshape

__all__ = [
    "Dense",
    "Dueling",
    "Exp",
    "Flatten",
    "Gelu",
    "Identity",
    "Layer",
    "LayerSpec",
    "LeakyRelu",
    "Relu",
    "Reshape",
    "Sequential",
    "Sigmoid",
    "Softplus",
    "Tanh",
]
