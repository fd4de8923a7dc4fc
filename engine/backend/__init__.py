"""The one door between the engine and the machine that computes.

Every op is *bound once, run often*: calling ``backend.affine(x, w, b, y)`` computes nothing; it
returns a ``Step``, a function without arguments that computes into those very arrays each time it
is called. Layers, losses and optimizers bind their ops when a batch size is first seen and then
replay them. So the hot path allocates nothing and pays one call per op: NumPy's ufuncs with
``out=`` on one backend, kernels whose arguments are already set on another.

Arrays belong to their backend. Outside of it an array has a shape and nothing else: no operators,
no indexing, no NumPy function. Numbers enter with ``asarray`` or ``write`` and leave with
``to_host``. Floats are float32 (float64 on the NumPy backend when tests ask for it).

Shapes: B batch, P parameters, D input and E output features, C classes, K a free count.
"""

from typing import Protocol

from agentd.engine.backend.arithmetic import ArithmeticOps
from agentd.engine.backend.array import (
    Activation,
    Array,
    Host,
    Kind,
    Shape,
    Slot,
    Step,
    Window,
    float_type,
    in_order,
    nothing,
)
from agentd.engine.backend.distributions import DistributionOps
from agentd.engine.backend.evidence import DirichletForm, EvidenceOps
from agentd.engine.backend.images import ImageOps
from agentd.engine.backend.implicit import ImplicitOps
from agentd.engine.backend.layers import LayerOps
from agentd.engine.backend.losses import LossOps, TdStep
from agentd.engine.backend.memory import MemoryOps
from agentd.engine.backend.munchausen import MunchausenOps
from agentd.engine.backend.noise import NoiseOps
from agentd.engine.backend.optimizers import TINY, AdamStep, OptimizerOps, Step3, Step4
from agentd.engine.backend.recurrent import RecurrentOps
from agentd.engine.backend.whole import (
    AdamConstants,
    DenseLayer,
    DenseStack,
    DescentArrays,
    FitStep,
    QStep,
    WholeOps,
)

__all__ = [
    "TINY",
    "Activation",
    "AdamConstants",
    "AdamStep",
    "Array",
    "Backend",
    "DenseLayer",
    "DenseStack",
    "DescentArrays",
    "DirichletForm",
    "FitStep",
    "Host",
    "Kind",
    "QStep",
    "Shape",
    "Slot",
    "Step",
    "Step3",
    "Step4",
    "TdStep",
    "Window",
    "float_type",
    "in_order",
    "nothing",
]


class Backend(
    MemoryOps,
    ArithmeticOps,
    LayerOps,
    ImageOps,
    RecurrentOps,
    LossOps,
    DistributionOps,
    MunchausenOps,
    ImplicitOps,
    EvidenceOps,
    NoiseOps,
    OptimizerOps,
    WholeOps,
    Protocol,
):
    """What a machine must be able to do. ``NumPyBackend`` is the reference and the fast CPU."""

    name: str
