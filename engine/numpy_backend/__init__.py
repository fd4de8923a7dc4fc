"""The engine's ops in NumPy: the reference for every other backend, and the fast one on a CPU."""

from agentd.engine.numpy_backend.arithmetic import ArithmeticOps
from agentd.engine.numpy_backend.evidence import EvidenceOps
from agentd.engine.numpy_backend.heads import HeadOps
from agentd.engine.numpy_backend.images import ImageOps
from agentd.engine.numpy_backend.implicit import ImplicitOps
from agentd.engine.numpy_backend.munchausen import MunchausenOps
from agentd.engine.numpy_backend.noise import NoiseOps
from agentd.engine.numpy_backend.norms import NormOps
from agentd.engine.numpy_backend.optimizers import OptimizerOps
from agentd.engine.numpy_backend.recurrent import RecurrentOps
from agentd.engine.numpy_backend.sparse import SparseOps
from agentd.engine.numpy_backend.whole import WholeOps

__all__ = ["NumPyBackend"]


class NumPyBackend(
    ArithmeticOps,
    HeadOps,
    ImageOps,
    ImplicitOps,
    NoiseOps,
    NormOps,
    SparseOps,
    RecurrentOps,
    MunchausenOps,
    EvidenceOps,
    OptimizerOps,
    WholeOps,
):
    """``engine.backend.Backend`` on NumPy. Its arrays are ndarrays; see ``Backend`` for each op."""
