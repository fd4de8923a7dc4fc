"""Configuration: frozen records, strictly read, with the origin of every value."""

from agentd.config.records import (
    AgentConfig,
    CheckpointConfig,
    DqnConfig,
    ExplorationConfig,
    LimitsConfig,
    PaceConfig,
    PlayConfig,
    Preset,
    ReplayConfig,
    ServerConfig,
    SupervisedConfig,
    TargetConfig,
    TlsConfig,
)

__all__ = [
    "AgentConfig",
    "CheckpointConfig",
    "DqnConfig",
    "ExplorationConfig",
    "LimitsConfig",
    "PaceConfig",
    "PlayConfig",
    "Preset",
    "ReplayConfig",
    "ServerConfig",
    "SupervisedConfig",
    "TargetConfig",
    "TlsConfig",
]
