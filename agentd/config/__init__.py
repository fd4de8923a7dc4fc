"""Configuration: frozen records, strictly read, with the origin of every value."""

from agentd.config.convert import dump_yaml, plain
from agentd.config.presets import load_preset, preset_names
from agentd.config.records import (
    AgentConfig,
    LimitsConfig,
    Preset,
    ServerConfig,
    TlsConfig,
    WebConfig,
)
from agentd.config.resolve import (
    agent_config_from_wire,
    default_data_dir,
    is_loopback,
    resolve,
)
from agentd.config.sealed import dump_agent_config, load_agent_config
from agentd.engine.strictyaml import ConfigError

__all__ = [
    "AgentConfig",
    "ConfigError",
    "LimitsConfig",
    "Preset",
    "ServerConfig",
    "TlsConfig",
    "WebConfig",
    "agent_config_from_wire",
    "default_data_dir",
    "dump_agent_config",
    "dump_yaml",
    "is_loopback",
    "load_agent_config",
    "load_preset",
    "plain",
    "preset_names",
    "resolve",
]
