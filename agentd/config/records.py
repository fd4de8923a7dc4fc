"""The shape of every configuration: frozen records whose types carry the allowed range.

Field comments are the help: ``agentd config init`` and ``agentd config schema`` print them.
Seconds end in ``_s`` or ``_seconds``, bytes in ``_bytes``; ``null`` turns a bound or feature off.
"""

from typing import Annotated, Literal

import msgspec
from msgspec import Meta

from agentd.config.defaults import STEADY, default_model
from agentd.config.memory import check_recurrent, remembering
from agentd.config.search import check_search
from agentd.engine.layers import EmbeddingBag, Expectation, Normalize, Scale
from agentd.engine.learners.dqn_config import DqnConfig
from agentd.engine.learners.pqn import PqnConfig
from agentd.engine.learners.stream_q import StreamQConfig
from agentd.engine.learners.supervised import SupervisedConfig
from agentd.engine.learners.value_loss import ValueLoss
from agentd.engine.network.spec import ModelSpec
from agentd.engine.optim.spec import OptimizerSpec
from agentd.engine.replay.demonstrations import DEMONSTRATIONS, DemonstrationConfig
from agentd.engine.replay.rewards import UNSHAPED, RewardConfig
from agentd.engine.rules.exploration import ExplorationConfig
from agentd.engine.strictyaml import Count, Positive, Record

Seconds = Annotated[float, Meta(gt=0.0, le=1e6)]
Bytes = Annotated[int, Meta(ge=2**20, le=2**53)]
Port = Annotated[int, Meta(ge=0, le=65535)]
AgentName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$(?!\n)",
        description="a name of 1 to 64 characters a-z, 0-9, '.', '_', '-'",
    ),
]
AgentPrefix = Annotated[
    str,
    Meta(
        pattern=r"^([a-z0-9][a-z0-9._-]{0,31})?$(?!\n)",
        description="how names of agents begin: at most 32 characters a-z, 0-9, '.', '_', '-'",
    ),
]
PresetName = Annotated[
    str,
    Meta(pattern=r"^[a-z0-9][a-z0-9-]{0,63}$(?!\n)", description="the name of a bundled preset"),
]
GameName = Annotated[
    str,
    Meta(
        pattern=r"^(gym:)?([A-Za-z_][A-Za-z0-9_.]*:)?[A-Za-z0-9][A-Za-z0-9_./-]{0,127}$(?!\n)",
        description="a game of agentd, gym:<id> or module:<id> for a Gymnasium environment",
    ),
]
SettingName = Annotated[
    str,
    Meta(
        pattern=r"^[a-z0-9_./-]{1,64}$(?!\n)",
        description="a name of 1 to 64 characters a-z, 0-9, '_', '.', '/', '-'",
    ),
]
Finite = Annotated[float, Meta(ge=-1e308, le=1e308)]
Device = Annotated[
    str,
    Meta(
        pattern=r"^(cpu|cpu-int8|opencl(:[A-Za-z0-9][A-Za-z0-9 ()@._+-]{0,99})?!?)$(?!\n)",
        description="cpu, opencl, or opencl:<i or name> as `agentd devices` lists them; "
        "without any OpenCL the CPU, or with ! at the end an error; "
        "cpu-int8 for agents that only play",
    ),
]


class ReplayConfig(Record, frozen=True, kw_only=True):
    """Rows kept for learning, oldest forgotten first."""

    capacity: Annotated[int, Meta(ge=16, le=2**31)] = 100_000


class PaceConfig(Record, frozen=True, kw_only=True):
    """How many updates per row, and who waits for whom.

    ``live`` never makes a game wait, and makes as many updates a row as the learner has time for,
    up to ``max_updates_per_row`` (`agentd.learner.live`). In the other modes a due point falls at
    rows ``learn_start + k * train_every``, each worth ``updates`` updates. ``free`` never makes a
    game wait and forgets due points beyond ``max_backlog``; ``paced`` stops reading until the
    learner has caught up, so one client and one seed repeat bit for bit. Learners that learn from
    each row once (pqn, stream_q) need due points: for them ``live`` means ``free``.
    """

    mode: Literal["live", "free", "paced"] = "live"
    learn_start: Annotated[int, Meta(ge=1, le=2**31)] = 500  # rows before the first update
    max_updates_per_row: Annotated[float, Meta(gt=0, le=1024)] = 8.0  # R_max, for live
    train_every: Count = 4  # rows between due points (free, paced)
    updates: Annotated[int, Meta(ge=1, le=65536)] = 1  # updates per due point (free, paced)
    max_backlog: Count = 64  # due points that a slow learner may owe (free)


class ActionsConfig(Record, frozen=True, kw_only=True):
    """How the numbers of an action are learned (kinds box and mixed; R14)."""

    bins: Annotated[int, Meta(ge=2, le=65)] = 3  # values of a number that are tried, both ends too
    # all combinations are valued together up to so many; above, the values of the heads add up
    joint: Annotated[int, Meta(ge=0, le=4_096)] = 32
    # after so many rows each the bins of a number become 2, 3, 5, … up to `bins`, which is 3, 5, 9,
    # 17, 33 or 65 (growing Q-networks, arXiv:2404.04253); null: all of them from the beginning
    grow_every: Count | None = None

    def __post_init__(self) -> None:
        if self.grow_every is not None and (self.bins < 3 or (self.bins - 1) & (self.bins - 2)):
            raise ValueError(
                f"bins ({self.bins}) cannot be grown to by halves: want 3, 5, 9, 17, 33 or 65"
            )


class CheckpointConfig(Record, frozen=True, kw_only=True):
    """When the learner saves by itself, and how many checkpoints stay."""

    every_seconds: Seconds | None = 60.0
    every_updates: Count | None = None
    keep: Annotated[int, Meta(ge=1, le=1000)] = 3


class InitConfig(Record, frozen=True, kw_only=True):
    """Weights to begin with: what was learned elsewhere, to go on from."""

    file: Annotated[str, Meta(min_length=1)]  # safetensors, or the name of a bundled model
    part: str = ""  # of several networks in it the one whose tensors' names begin with part/
    scale: Positive = 1.0  # factor on the outputs: logits of moves are no values yet


class FollowConfig(Record, frozen=True, kw_only=True):
    """For `learner: none`: play the checkpoints that another daemon's agent writes."""

    folder: Annotated[str, Meta(min_length=1)]  # that agent's, as this machine sees it
    every_s: Seconds = 5.0  # how often to look for a newer one


INT8 = "cpu-int8"
"""The device that computes products in whole numbers, for agents that only play."""
STREAMING = ("pqn", "stream_q")
"""Learners that learn from each row when it is fresh, and never again."""


class AgentConfig(Record, frozen=True, kw_only=True):
    """Everything that makes one agent: what learns, from what, how fast, and where it is kept."""

    preset: PresetName | None = None  # the preset that these values started from
    learner: Literal["dqn", "pqn", "stream_q", "supervised", "none"] = "dqn"
    seed: Annotated[int, Meta(ge=0, le=2**63 - 1)] = 0
    model: ModelSpec = msgspec.field(default_factory=default_model)
    init: InitConfig | None = None  # null: weights are drawn by the seed
    follow: FollowConfig | None = None  # null: an agent that only plays goes on with what it has
    optimizer: OptimizerSpec = STEADY
    loss: ValueLoss = "huber"
    dqn: DqnConfig = msgspec.field(default_factory=DqnConfig)
    pqn: PqnConfig = msgspec.field(default_factory=PqnConfig)
    stream_q: StreamQConfig = msgspec.field(default_factory=StreamQConfig)
    reward: RewardConfig = msgspec.field(default_factory=RewardConfig)
    demonstrations: DemonstrationConfig = DEMONSTRATIONS
    supervised: SupervisedConfig = msgspec.field(default_factory=SupervisedConfig)
    replay: ReplayConfig = msgspec.field(default_factory=ReplayConfig)
    pace: PaceConfig = msgspec.field(default_factory=PaceConfig)
    exploration: ExplorationConfig = msgspec.field(default_factory=ExplorationConfig)
    actions: ActionsConfig = msgspec.field(default_factory=ActionsConfig)
    checkpoint: CheckpointConfig = msgspec.field(default_factory=CheckpointConfig)
    # acknowledged rows that a power failure may take: none (answers wait for the disk), those of
    # the last second, or those since the last checkpoints
    durability: Literal["always", "1s", "os"] = "os"
    # numbers for its games: they are told, and the operation `settings` changes them
    game: dict[SettingName, Finite] = msgspec.field(default_factory=dict)

    def __post_init__(self) -> None:
        pace, capacity = self.pace, self.replay.capacity
        if self.follow is not None and self.learner != "none":
            raise ValueError(f"`follow` is for learner none: {self.learner} learns by itself")
        if self.learner in ("dqn", *STREAMING) and pace.learn_start > capacity:
            raise ValueError(
                f"pace.learn_start ({pace.learn_start}) is more than replay.capacity "
                f"({capacity}): learning would never start"
            )
        if self.learner in STREAMING and pace.train_every > capacity:
            raise ValueError(
                f"pace.train_every ({pace.train_every}) is more than replay.capacity "
                f"({capacity}): a fragment of fresh rows would not fit into the ring"
            )
        if self.learner not in ("dqn", *STREAMING) and self.reward != UNSHAPED:
            raise ValueError("`reward` is for learners of rewards, see `learner`")
        if self.learner == "pqn" and pace.updates % self.pqn.minibatches:
            raise ValueError(
                f"pace.updates ({pace.updates}) is no multiple of pqn.minibatches "
                f"({self.pqn.minibatches}): an epoch would be cut short"
            )
        if self.learner in STREAMING:
            self._check_streaming()
        check_recurrent(self.model.layers, self.learner, self.dqn, self.exploration.kind, capacity)
        if self.learner != "dqn" and self.actions.grow_every is not None:
            raise ValueError(f"actions.grow_every is for learner dqn, not for {self.learner}")
        if self.learner == "dqn":
            self._check_dqn()
        elif (name := self.dqn.not_for_others) is not None:
            raise ValueError(
                f"dqn.{name} ({getattr(self.dqn, name)}) is for learner dqn: "
                f"{self.learner} does not have that in its network or its targets"
            )

    def _check_dqn(self) -> None:
        dqn, capacity = self.dqn, self.replay.capacity
        check_search(dqn, self.reward)
        deep = {"dqn.frame_stack": dqn.frame_stack, "dqn.last_actions": dqn.last_actions + 1}
        name = max(deep, key=lambda key: deep[key])
        if dqn.n_step + deep[name] > capacity:
            raise ValueError(
                f"dqn.n_step ({dqn.n_step}) and {name} ({getattr(dqn, name[4:])}) need more rows "
                f"than replay.capacity ({capacity})"
            )
        first = [type(x) for x in self.model.layers if not isinstance(x, Normalize)][:1]
        if dqn.last_actions and first in ([Scale], [EmbeddingBag]):
            raise ValueError(
                f"dqn.last_actions ({dqn.last_actions}) and a model that begins with `scale` or "
                "`embedding_bag`: expected a first layer that takes actions, 0 or 1, as they are"
            )
        if dqn.distribution != "none" and self.loss == "mse":
            raise ValueError(
                f"dqn.distribution {dqn.distribution} has a loss of its own: no `loss: mse` with it"
            )
        if any(isinstance(layer, Expectation) for layer in self.model.layers):
            raise ValueError("model.layers: `expectation` follows from dqn.distribution by itself")

    def _check_streaming(self) -> None:
        settings = self.pqn if self.learner == "pqn" else self.stream_q
        bound, pace = settings.max_policy_lag, self.pace
        if pace.mode == "paced" and bound is not None and bound < pace.updates:
            raise ValueError(
                f"{self.learner}.max_policy_lag ({bound}) is less than pace.updates "
                f"({pace.updates}): paced rows are a due point old, so none would be learned from"
            )
        if self.learner == "pqn":
            return
        if pace.updates != pace.train_every:
            raise ValueError(
                f"pace.updates ({pace.updates}) is not pace.train_every ({pace.train_every}): "
                "stream_q learns from each row once"
            )
        if self.optimizer not in (STEADY, OptimizerSpec()) or self.loss != "huber":
            raise ValueError("stream_q has an optimizer of its own: no `optimizer`, no `loss`")


def unshareable(config: AgentConfig) -> str:
    """Why an agent cannot share a learner with other daemons, "" where it can."""
    if config.learner not in ("dqn", "supervised", "none"):
        return (
            f"learner {config.learner} learns from each row when it is fresh, so it needs one "
            "daemon; a shared learner takes dqn and supervised"
        )
    if layer := remembering(config.model.layers):
        return f"model.layers: `{layer}` remembers, and a shared learner does not get what it kept"
    if config.learner != "none" and config.pace.mode == "paced":
        return "pace.mode paced would have every game wait for a network: want free or live"
    return ""


class PlayConfig(Record, frozen=True, kw_only=True):
    """How a preset is played by ``rl train`` and ``demo``."""

    game: GameName = "cartpole"  # a game of ours, or gym:<id> for a Gymnasium environment
    clients: Annotated[int, Meta(ge=1, le=256)] = 1  # processes that play
    streams: Annotated[int, Meta(ge=1, le=65536)] = 1  # environments per client
    steps: Count = 50_000  # environment steps in all
    episodes: Annotated[int, Meta(ge=1, le=100_000)] = 20  # greedy episodes of the evaluation
    evaluation: GameName | None = None  # the evaluation's game, where it is another one
    solved: float | None = None  # greedy mean return that counts as solved


class Preset(Record, frozen=True, kw_only=True):
    """A bundled starting point: an agent and the game it is for."""

    description: str = ""
    play: PlayConfig = msgspec.field(default_factory=PlayConfig)
    agent: AgentConfig = msgspec.field(default_factory=AgentConfig)


class TlsConfig(Record, frozen=True, kw_only=True):
    """TLS for the game port. ``client_ca`` asks clients for a certificate too (mTLS)."""

    cert: str  # PEM file: the server's chain
    key: str  # PEM file: its private key
    client_ca: str | None = None  # PEM file: who signs the clients' certificates


class GodotConfig(Record, frozen=True, kw_only=True):
    """A port for games of Godot RL Agents, versions 0.3 and 0.7."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port = 11008  # the plug-in dials this one; 0 picks a free one
    role: Literal["train", "eval", "play"] = "train"
    prefix: AgentPrefix = ""  # goes before its agents' names: `arena.` makes arena.shared_policy
    # these games know no tokens: true lets them in beside `tokens`, or beyond loopback
    open: bool = False


Origin = Annotated[
    str,
    Meta(
        pattern=r"^(null|[A-Za-z][A-Za-z0-9+.-]*://[^/\s]+)$(?!\n)",
        description="null, or an origin as in https://game.example:8443",
    ),
]


class WebConfig(Record, frozen=True, kw_only=True):
    """Which pages may connect, beside those of this machine and host, and by which names."""

    origins: tuple[Origin, ...] = ()  # of pages elsewhere, as in https://game.example; null: files
    hosts: tuple[str, ...] = ()  # names that requests may call this host by, beside IP addresses


class SharedLearnerConfig(Record, frozen=True, kw_only=True):
    """A learner that several daemons share: rows go there, weights come back (docs/CLUSTER.md).

    It takes agents whose learner is dqn or supervised, with pace free or live.
    """

    address: Annotated[
        str,
        Meta(
            pattern=r"^(unix:.+|ray:.*)$(?!\n)",
            description="unix:PATH on this machine, or ray:ADDRESS of a cluster",
        ),
    ]
    rows_every_s: Seconds = 0.05  # small and often: a burst is more than a learner can follow
    weights_every_s: Seconds | None = None  # null: 0.25, or 0.05 for networks below 90 kB


class LimitsConfig(Record, frozen=True, kw_only=True):
    """Bounds that keep one client from hurting another."""

    max_connections: Count = 4_096
    max_frame: Annotated[int, Meta(ge=1_024, le=2**31 - 1)] = 8 * 2**20  # bytes, after welcome
    max_rows: Annotated[int, Meta(ge=1, le=2**20)] = 4_096  # rows in one step frame
    window: Annotated[int, Meta(ge=1, le=65_536)] = 8  # unanswered steps before reading stops
    max_streams: Annotated[int, Meta(ge=1, le=2**20)] = 4_096  # streams of one session
    max_agents: Count = 64
    # bytes of memory that one agent may take by estimate; null: half of the machine's
    agent_memory_bytes: Bytes | None = None
    # bytes of replay, weights and checkpoints that one agent may keep; null: what the disk has free
    agent_disk_bytes: Bytes | None = None
    # sessions that train or wait for a resume, over all agents
    max_sessions: Annotated[int, Meta(ge=1, le=2**20)] = 16_384
    hello_timeout_s: Seconds = 2.0
    frame_s: Seconds = 10.0  # a frame once begun must be complete after so long
    heartbeat_s: Seconds = 15.0  # silent for twice as long means gone
    resume_s: Seconds = 60.0  # a lost session may come back for so long
    write_buffer_bytes: Annotated[int, Meta(ge=4_096, le=2**31 - 1)] = 16 * 2**20
    slow_reader_s: Seconds = 10.0  # a full write buffer that does not shrink for so long: gone
    drain_s: Seconds = 8.0  # from SIGTERM to the last answer
    hang_s: Seconds = 10.0  # a learner or worker without a sign of life for so long is restarted
    paced_wait_s: Seconds = 30.0  # paced frames wait so long for a learner without progress


class ServerConfig(Record, frozen=True, kw_only=True):
    """The daemon. Every value may come from a flag, AGENTD_* or the file; see ``config show``."""

    host: Annotated[str, Meta(min_length=1, max_length=255)] = "127.0.0.1"
    port: Port = 7331  # 0 picks a free one
    unix: str | None = None  # also listen on this unix socket
    # serving processes on the port; all but the first play only agents with `learner: none`
    workers: Annotated[int, Meta(ge=1, le=64)] = 1
    http_port: Port | None = 7332  # health and metrics; null for none
    data_dir: str = ""  # "" is $XDG_DATA_HOME/agentd
    tensorboard: str | None = None  # folder for TensorBoard's event files; null for none
    device: Device = "cpu"
    tokens: str | None = None  # file with a `grant token` pair a line
    tls: TlsConfig | None = None
    godot: GodotConfig | None = None  # also take in games of Godot RL Agents
    web: WebConfig = msgspec.field(default_factory=WebConfig)
    limits: LimitsConfig = msgspec.field(default_factory=LimitsConfig)
    shared_learner: SharedLearnerConfig | None = None  # null: each agent's learner is below here
    autocreate: bool | None = None  # create unknown agents; null: only when bound to loopback
    agent: AgentConfig = msgspec.field(default_factory=AgentConfig)  # what unknown agents become
    agents: dict[AgentName, AgentConfig] = msgspec.field(default_factory=dict)  # what named ones do

    def __post_init__(self) -> None:
        if self.workers > 1 and self.tls is not None:
            raise ValueError("workers > 1 needs a port without TLS: its sockets change hands")
        if self.device == INT8:
            for name, agent in self.agents.items():
                if agent.learner != "none":
                    raise ValueError(f"device {INT8} only plays, and agent {name} learns")
        if self.shared_learner is not None:
            for name, agent in {"of any name": self.agent, **self.agents}.items():
                if why := unshareable(agent):
                    raise ValueError(f"shared_learner: agent {name}: {why}")
