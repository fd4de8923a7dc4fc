"""Optimizers, schedules and losses as records, the way YAML writes them.

optimizer: {name: adam, lr: 1e-3, schedule: {name: cosine, steps: 10000}}
loss: {name: huber, delta: 1.0}
"""

from typing import Annotated, Literal

from msgspec import Meta

from agentd.engine.rules.td import HUBER_WIDTH
from agentd.engine.strictyaml import Record

Rate = Annotated[float, Meta(gt=0, le=1e6)]
Unit = Annotated[float, Meta(ge=0, lt=1)]
NotNegative = Annotated[float, Meta(ge=0, le=1e6)]
Count = Annotated[int, Meta(ge=1, le=2**53)]


OptimizerName = Literal[
    "sgd", "momentum", "nesterov", "rmsprop", "adagrad", "adadelta", "adam", "adamw", "radam"
]


class ScheduleSpec(Record, frozen=True, kw_only=True):
    """How the learning rate changes with the number of updates."""

    name: Literal["constant", "step", "linear", "cosine", "plateau"] = "constant"
    steps: Count = 10_000  # updates to the final rate, or between two drops
    final: Annotated[float, Meta(ge=0, le=1)] = 0.0  # smallest share of the rate
    decay: Annotated[float, Meta(gt=0, le=1)] = 0.1  # step, plateau: factor of each drop
    patience: Count = 10  # plateau: observations without improvement before a drop
    warmup: Annotated[int, Meta(ge=0, le=2**53)] = 0  # updates of linear rise before


class OptimizerSpec(Record, frozen=True, kw_only=True):
    """The optimizer and its constants; one that the optimizer does not have is refused.

    ``null`` takes the optimizer's own default: a rate of 1e-3 (adadelta: 1), an ε of 1e-8
    (adagrad: 1e-10, adadelta: 1e-6), a ρ of 0.99 (adadelta: 0.9).
    """

    name: OptimizerName = "adam"
    lr: Rate | None = None
    momentum: Unit = 0.9  # momentum, nesterov
    rho: Unit | None = None  # rmsprop, adadelta: how much of the squares' mean stays
    centered: bool = False  # rmsprop: divide by the variance, not the mean square
    b1: Unit = 0.9  # adam, adamw, radam
    b2: Unit = 0.999
    eps: Rate | None = None
    weight_decay: NotNegative = 0.0  # added to the gradient; adamw shrinks the weights instead
    clip_norm: Rate | None = None  # bound on the gradient's norm
    clip_value: Rate | None = None  # bound on each of its numbers
    schedule: ScheduleSpec | None = None

    def __post_init__(self) -> None:
        _check_options(self, self.name, _OPTIMIZER_OPTIONS)


_ADAMS = ("adam", "adamw", "radam")
_OPTIMIZER_OPTIONS: dict[str, tuple[str, ...]] = {
    "momentum": ("momentum", "nesterov"),
    "rho": ("rmsprop", "adadelta"),
    "centered": ("rmsprop",),
    "b1": _ADAMS,
    "b2": _ADAMS,
    "eps": ("rmsprop", "adagrad", "adadelta", *_ADAMS),
}
"""Constants that not every optimizer has, and which have them."""


def options_of(name: str) -> tuple[str, ...]:
    """Return the constants that an optimizer has and not every other."""
    return tuple(option for option, owners in _OPTIMIZER_OPTIONS.items() if name in owners)


LossName = Literal[
    "squared_error",
    "huber",
    "softmax_cross_entropy",
    "soft_cross_entropy",
    "binary_cross_entropy",
    "quantile_huber",
    "edl_log",
    "edl_digamma",
    "edl_squared",
]
Evidence = Literal["exp", "softplus", "relu"]


class LossSpec(Record, frozen=True, kw_only=True):
    """The loss and its constants; ``engine.optim.losses`` binds it."""

    name: LossName = "squared_error"
    delta: Rate = HUBER_WIDTH  # huber, quantile_huber: where the loss stops being quadratic
    # softmax_cross_entropy: share of the label given to all legal classes (arXiv:1512.00567)
    smoothing: Unit = 0.0
    # softmax_cross_entropy, edl_*: a factor on the gradient of each class's rows
    class_weights: tuple[NotNegative, ...] | None = None
    evidence: Evidence = "exp"  # edl_*: what makes evidence of an output
    # edl_*: the share of the divergence that holds evidence for wrong classes down; less where
    # there are many classes
    kl_weight: NotNegative = 1.0
    kl_epochs: Count = 10  # edl_*: epochs until that share is whole; it rises from 0

    def __post_init__(self) -> None:
        _check_options(self, self.name, _LOSS_OPTIONS)

    @property
    def is_evidential(self) -> bool:
        """Whether outputs are evidence for classes (arXiv:1806.01768)."""
        return self.name in EVIDENTIAL

    def pull(self, epochs: float) -> float:
        """Return the weight of the divergence after so many epochs: λ of arXiv:1806.01768."""
        return self.kl_weight * min(1.0, epochs / self.kl_epochs)


EVIDENTIAL: tuple[LossName, ...] = ("edl_log", "edl_digamma", "edl_squared")
_LOSS_OPTIONS: dict[str, tuple[str, ...]] = {
    "delta": ("huber", "quantile_huber"),
    "smoothing": ("softmax_cross_entropy",),
    "class_weights": ("softmax_cross_entropy", *EVIDENTIAL),
    "evidence": EVIDENTIAL,
    "kl_weight": EVIDENTIAL,
    "kl_epochs": EVIDENTIAL,
}


def _check_options(record: Record, name: str, owners: dict[str, tuple[str, ...]]) -> None:
    """Raise ValueError when an option is set that ``name`` does not have."""
    for option, names in owners.items():
        default = record.__struct_defaults__[record.__struct_fields__.index(option)]
        if name not in names and getattr(record, option) != default:
            raise ValueError(f"{name} has no `{option}`; {', '.join(names)} have")
