"""Configuration: frozen records, strictly read, with the origin of every value."""

from agentd.config.convert import dump_yaml, plain
from agentd.config.presets import load_preset, preset_names
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
from agentd.config.resolve import (
    Resolved,
    agent_config_from_wire,
    default_data_dir,
    is_loopback,
    load_agent_config,
    load_server_config,
    resolve,
)
from agentd.engine.strictyaml import ConfigError

__all__ = [
    "AgentConfig",
    "CheckpointConfig",
    "ConfigError",
    "DqnConfig",
    "ExplorationConfig",
    "LimitsConfig",
    "PaceConfig",
    "PlayConfig",
    "Preset",
    "ReplayConfig",
    "Resolved",
    "ServerConfig",
    "SupervisedConfig",
    "TargetConfig",
    "TlsConfig",
    "agent_config_from_wire",
    "default_data_dir",
    "dump_yaml",
    "is_loopback",
    "load_agent_config",
    "load_preset",
    "load_server_config",
    "plain",
    "preset_names",
    "resolve",
]
