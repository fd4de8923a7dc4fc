"""Configuration: layers and their order, origins, errors with their place, and what comes back."""

from collections.abc import Callable
from pathlib import Path
from typing import Any

import msgspec
import pytest

from agentd.config import (
    AgentConfig,
    ConfigError,
    ServerConfig,
    agent_config_from_wire,
    default_data_dir,
    dump_yaml,
    is_loopback,
    load_agent_config,
    load_preset,
    plain,
    preset_names,
    resolve,
)
from agentd.config.template import comments_of, json_schema, render_template
from agentd.engine.optim.spec import OptimizerSpec
from agentd.errors import MissingInput

Write = Callable[[str], Path]


@pytest.fixture
def write(tmp_path: Path) -> Write:
    def write(text: str) -> Path:
        path = tmp_path / "agentd.yaml"
        path.write_text(text, encoding="utf-8")
        return path

    return write


def origins(path: Path | None = None, **sources: Any) -> dict[str, tuple[Any, str]]:
    return {key: (value, str(o)) for key, value, o in resolve(path, **sources).values()}


# -- layers --------------------------------------------------------------------------------------


def test_without_anything_the_defaults_hold(monkeypatch: pytest.MonkeyPatch) -> None:
    config = resolve().config

    assert (config.host, config.port, config.http_port) == ("127.0.0.1", 7331, 7332)
    assert config.autocreate is True


def test_flag_beats_environment_beats_file_beats_preset_beats_default(write: Write) -> None:
    path = write(
        "limits: {window: 2, max_rows: 3, max_agents: 4}\n"
        "agent: {preset: cartpole, exploration: {end: 0.5}}\n"
    )
    environ = {"AGENTD_LIMITS__WINDOW": "5", "AGENTD_LIMITS__MAX_ROWS": "6"}
    preset = load_preset("cartpole").agent

    seen = origins(path, overrides={"limits.window": 7}, environ=environ)

    assert seen["limits.window"] == (7, "flag --set")
    assert seen["limits.max_rows"] == (6, "environment AGENTD_LIMITS__MAX_ROWS")
    assert seen["limits.max_agents"] == (4, f"file {path}:1")
    assert seen["agent.exploration.end"] == (0.5, f"file {path}:2")
    assert seen["agent.exploration.steps"][0] == preset.exploration.steps
    assert seen["agent.exploration.steps"][1].startswith("preset cartpole:")
    assert seen["limits.drain_s"] == (8.0, "default")


def test_named_agents_start_from_the_common_one(write: Write) -> None:
    path = write(
        "agent: {dqn: {gamma: 0.5}, seed: 1}\n"
        "agents:\n  one: {seed: 2}\n  two: {preset: cartpole, seed: 3}\n"
    )

    config = resolve(path).config

    assert (config.agent.dqn.gamma, config.agent.seed) == (0.5, 1)
    assert (config.agents["one"].dqn.gamma, config.agents["one"].seed) == (0.5, 2)
    assert config.agents["two"] == msgspec.structs.replace(load_preset("cartpole").agent, seed=3)


def test_another_optimizer_takes_no_constants_of_the_old_one(write: Write) -> None:
    base = resolve(write("agent: {optimizer: {name: adam, lr: 0.5}}\n")).config.agent

    changed = agent_config_from_wire({"optimizer": {"name": "sgd"}}, base)
    tuned = agent_config_from_wire({"optimizer": {"eps": 1e-4}}, base)

    assert changed.optimizer == OptimizerSpec(name="sgd")
    assert (tuned.optimizer.lr, tuned.optimizer.eps) == (0.5, 1e-4)


def test_one_way_to_follow_the_target_replaces_the_other() -> None:
    target = agent_config_from_wire({"dqn": {"target": {"tau": 0.1}}}).dqn.target

    assert (target.every, target.tau) == (None, 0.1)


def test_relative_names_in_the_file_are_relative_to_it(write: Write) -> None:
    path = write("data_dir: data\ntokens: /etc/tokens\ntls: {cert: c.pem, key: k.pem}\n")

    config = resolve(path).config

    assert config.data_dir == str(path.parent / "data")
    assert config.tokens == "/etc/tokens"
    assert config.tls is not None
    assert config.tls.cert == str(path.parent / "c.pem")


def test_data_directory_follows_xdg() -> None:
    assert default_data_dir({"XDG_DATA_HOME": "/x"}) == Path("/x/agentd")
    assert default_data_dir({}) == Path.home() / ".local/share/agentd"
    assert resolve(environ={"XDG_DATA_HOME": "/x"}).config.data_dir == "/x/agentd"


def test_text_from_the_environment_stays_text() -> None:
    environ = {"AGENTD_DATA_DIR": "123", "AGENTD_UNIX": "null", "AGENTD_HTTP_PORT": "null"}

    config = resolve(environ=environ).config

    assert (config.data_dir, config.unix, config.http_port) == ("123", None, None)


def test_an_empty_variable_is_none_at_all() -> None:
    assert resolve(environ={"AGENTD_PORT": ""}).config.port == 7331


# -- who may come in -----------------------------------------------------------------------------


@pytest.mark.parametrize(
    ("host", "only_us"),
    [
        ("127.0.0.1", True),
        ("127.8.9.1", True),
        ("localhost", True),
        ("::1", True),
        ("[::1]", True),
        ("0.0.0.0", False),
        ("::", False),
        ("192.168.1.5", False),
        ("localhost.example.org", False),
    ],
)
def test_loopback_is_known(host: str, only_us: bool) -> None:
    assert is_loopback(host) is only_us


def test_open_to_others_without_tokens_is_refused(write: Write) -> None:
    with pytest.raises(ConfigError, match=r"0\.0\.0\.0 is open .*; set `tokens: FILE`") as caught:
        resolve(write("port: 1\nhost: 0.0.0.0\n"))

    assert (caught.value.line, caught.value.key) == (2, "host")


def test_open_to_others_with_tokens_or_client_certificates() -> None:
    tls = {"tls.cert": "c", "tls.key": "k"}

    with_tokens = resolve(None, {"host": "0.0.0.0", "tokens": "t"}).config
    with_mtls = resolve(None, {"host": "::", **tls, "tls.client_ca": "a"}).config

    assert with_tokens.autocreate is False
    assert with_mtls.autocreate is False
    with pytest.raises(ConfigError, match="no token"):
        resolve(None, {"host": "::", **tls})


# -- errors --------------------------------------------------------------------------------------

BAD = {
    "prot: 3": (1, "prot", "one of host, port", "", "did you mean `port`?"),
    "limits:\n  windw: 3": (2, "limits.windw", "one of max_con", "", "did you mean `window`?"),
    "port: hi": (1, "port", "a whole number", "'hi'", ""),
    "port: 65536": (1, "port", "<= 65535", "65536", ""),
    "port: 1.5": (1, "port", "a whole number", "1.5", ""),
    "host: [a]": (1, "host", "a text", "a list", ""),
    "device: gpu": (1, "device", "cpu, opencl", "'gpu'", ""),
    "device: cpu!": (1, "device", "cpu, opencl", "'cpu!'", ""),
    "agent:\n  learner: dq": (2, "agent.learner", "dqn, ", "'dq'", "did you mean `dqn`?"),
    "agent:\n  dqn:\n    gamma: 3": (3, "agent.dqn.gamma", "<= 1", "3", ""),
    "agent:\n  dqn: {target: {}}": (2, "agent.dqn.target", "", "", ""),
    "agent: {preset: cartpol}": (1, "agent.preset", "", "", "did you mean 'cartpole'?"),
    "agent: {model: {layers: [{dens: 3}]}}": (1, "agent.model.layers[0]", "", "", ""),
    "agents:\n  x: {dqn: 3}": (2, "agents.x.dqn", "a mapping", "3", ""),
    "agents:\n  X Y: {}": (2, "agents.X Y", "a name of 1 to 64", "'X Y'", ""),
    "agent:\n  exploration: {start: 2.0}": (2, "agent.exploration", "", "", ""),
    "agent:\n  exploration: {kind: noisy, spread: 7}": (2, "agent.exploration", "", "", ""),
    "agent:\n  learner: none\n  reward: {scale: 2.0}": (2, "agent", "", "", ""),
    "agent:\n  dqn: {n_step: 16}\n  replay: {capacity: 16}\n  pace: {learn_start: 16}": (
        *(2, "agent", "", "", ""),
    ),
    "agent:\n  loss: mse\n  dqn: {distribution: quantile}": (2, "agent", "", "", ""),
    "agent:\n  model: {layers: [{expectation: 3}]}": (2, "agent", "", "", ""),
    "agent:\n  dqn: {soft_policy: {clip: 1}}": (2, "agent.dqn.soft_policy.clip", "<= 0", "1", ""),
    "agent:\n  dqn: {implicit: {samples: 1}}": (2, "agent.dqn.implicit.samples", ">= 2", "1", ""),
    "agent:\n  pqn: {lambda: 1.5}": (2, "agent.pqn.lambda", "<= 1", "1.5", ""),
    "agent:\n  pqn: {lambd: 1}": (2, "agent.pqn.lambd", "one of", "", "did you mean `lambda`?"),
    "tls: {cert: a}": (1, "tls", "", "", ""),
    "- a": (1, "", "a mapping", "a list", ""),
    "port: 1\nport: 2": (2, "", "", "", ""),
    "port: &a 1": (1, "", "", "", ""),
    "port: [": (2, "", "", "", ""),
}


@pytest.mark.parametrize("text", BAD)
def test_a_fault_is_told_with_its_place(text: str, write: Write) -> None:
    line, key, expected, got, hint = BAD[text]
    path = write(text + "\n")

    with pytest.raises(ConfigError) as caught:
        resolve(path)

    error = caught.value
    assert (error.file, error.line, error.key) == (str(path), line, key)
    assert expected in error.expected
    assert (error.got, error.hint) == (got, hint)
    assert str(error).startswith(f"{path}:{line}:")
    assert "\n" not in str(error)


@pytest.mark.parametrize(
    ("agent", "named"),
    [
        ({"learner": "dqn", "pace": {"learn_start": 200}}, "learning would never start"),
        ({"learner": "pqn", "pace": {"learn_start": 200}}, "learning would never start"),
        ({"learner": "pqn", "pace": {"train_every": 101, "updates": 4}}, "would not fit into the"),
        ({"learner": "stream_q", "pace": {"updates": 6}}, "learns from each row once"),
        ({"learner": "stream_q", "loss": "mse", "pace": {"train_every": 4}}, "no `optimizer`"),
        (
            {"pace": {"mode": "paced"}, "pqn": {"max_policy_lag": 3}},
            "max_policy_lag .3. is less than pace.updates .4.",
        ),
        ({"learner": "pqn", "pace": {"updates": 6}}, "6.* no multiple of pqn.minibatches .4"),
        ({"dqn": {"last_actions": 2}, "pace": {}}, "last_actions .2. is for learner dqn: pqn"),
        ({"dqn": {"munchausen": True}, "pace": {}}, "dqn.munchausen .True. is for learner dqn"),
        (
            {"learner": "stream_q", "dqn": {"distribution": "implicit"}}
            | {"pace": {"train_every": 4}},
            "dqn.distribution .implicit. is for learner dqn: stream_q",
        ),
        (
            {"learner": "dqn", "dqn": {"distribution": "implicit", "mean_error": True}, "pace": {}},
            "mean_error is for plain values",
        ),
        (
            {"learner": "dqn", "dqn": {"last_actions": 16}, "replay": {"capacity": 17}, "pace": {}},
            "dqn.last_actions .16. need more rows than replay.capacity .17",
        ),
        (
            {
                "learner": "dqn",
                "dqn": {"last_actions": 1},
                "model": {"layers": ["normalize", "scale", {"dense": 4}]},
                "pace": {},
            },
            "dqn.last_actions .1. and a model that begins with `scale`",
        ),
        ({"exploration": {"kind": "boltzmann", "hold": 2}, "pace": {}}, "`hold` is for epsilon"),
    ],
)
def test_settings_that_contradict_each_other_are_named(agent: dict[str, Any], named: str) -> None:
    fits = {"learner": "pqn", "replay": {"capacity": 100}}
    fits |= {"pace": {"learn_start": 16, "updates": 4}}
    agent_config_from_wire(fits)

    changed = {**fits, **agent, "pace": {**fits["pace"], **agent["pace"]}}
    with pytest.raises(ConfigError, match=named):
        agent_config_from_wire(changed)


def test_a_fault_in_the_environment_names_the_variable() -> None:
    with pytest.raises(ConfigError, match=r"AGENTD_PORT: port: wrong value: expected a whole"):
        resolve(environ={"AGENTD_PORT": "x"})
    with pytest.raises(ConfigError, match=r"no such variable; did you mean AGENTD_PORT\?"):
        resolve(environ={"AGENTD_PRT": "3"})


def test_a_fault_in_a_flag_names_the_flag() -> None:
    with pytest.raises(ConfigError, match=r"flag --port: port: wrong value"):
        resolve(None, {"port": 70000})


def test_a_missing_file_says_how_to_get_one(tmp_path: Path) -> None:
    with pytest.raises(MissingInput, match="no configuration file") as caught:
        resolve(tmp_path / "no.yaml")

    assert "agentd config init" in str(caught.value.hint)


def _mutations() -> list[str]:
    """The shipped template with one fault in each: a key or a value that cannot stand."""
    lines = render_template().splitlines()
    found = []
    for at, line in enumerate(lines):
        key, colon, value = line.partition(":")
        if line.startswith("#") or not colon:
            continue
        found.append("\n".join([*lines[:at], f"{key}x:{value}", *lines[at + 1 :]]))
        if value.strip() and not value.strip().startswith("#"):
            found.append("\n".join([*lines[:at], f"{key}: {{no: x}}", *lines[at + 1 :]]))
    return found


def test_no_mutation_of_the_shipped_file_gets_through(tmp_path: Path) -> None:
    path = tmp_path / "mutant.yaml"
    mutants = _mutations()

    assert len(mutants) > 60
    for text in mutants:
        path.write_text(text)
        with pytest.raises(ConfigError) as caught:
            resolve(path)
        assert caught.value.line, text


# -- agents over the wire --------------------------------------------------------------------------


def test_create_may_start_from_a_preset() -> None:
    config = agent_config_from_wire({"preset": "cartpole", "seed": 7})

    assert config == msgspec.structs.replace(load_preset("cartpole").agent, seed=7)


def test_create_may_start_from_the_servers_agent() -> None:
    base = AgentConfig(seed=5)

    assert agent_config_from_wire({"loss": "mse"}, base) == msgspec.structs.replace(
        base, loss="mse"
    )


@pytest.mark.parametrize(
    ("values", "key"),
    [
        ({"dqn": {"n_stp": 3}}, "dqn.n_stp"),
        ({"preset": "../../etc/passwd"}, "preset"),
        ({"preset": 3}, "preset"),
        ({"model": {"layers": [{"dense": 0}]}}, "model.layers[0]"),
        ({"replay": {"capacity": 1e9}}, "replay.capacity"),
    ],
)
def test_create_refuses_with_the_path(values: dict[str, Any], key: str) -> None:
    with pytest.raises(ConfigError) as caught:
        agent_config_from_wire(values)

    assert caught.value.key == key


# -- there and back --------------------------------------------------------------------------------


@pytest.mark.parametrize("name", preset_names())
def test_presets_stand_and_come_back_from_yaml(name: str, tmp_path: Path) -> None:
    preset = load_preset(name)
    path = tmp_path / "config.yaml"
    path.write_text(dump_yaml(preset.agent))

    assert preset.description
    assert preset.agent.preset == name
    assert load_agent_config(path) == preset.agent


def test_unknown_preset_names_the_nearest() -> None:
    with pytest.raises(MissingInput, match="no preset 'cartpol'") as caught:
        load_preset("cartpol")

    assert caught.value.hint == "did you mean 'cartpole'?"


def test_the_template_says_what_holds_without_it(write: Write) -> None:
    path = write(render_template())

    assert resolve(path).config == resolve().config


def test_the_template_of_a_preset_starts_from_it(write: Write) -> None:
    path = write(render_template("cartpole"))

    assert resolve(path).config.agent == load_preset("cartpole").agent


def test_field_comments_are_found() -> None:
    assert comments_of(ServerConfig)["port"] == "0 picks a free one"


def test_the_schema_knows_every_key() -> None:
    schema = json_schema()

    known = schema["$defs"]["ServerConfig"]["properties"]
    assert set(known) == set(plain(ServerConfig()))
    assert schema["$defs"]["DqnConfig"]["additionalProperties"] is False


def test_the_token_file_of_the_data_directory_guards_without_being_named(tmp_path):
    (tmp_path / "token").write_text("admin " + "x" * 16 + "\n")
    flags = {"data_dir": str(tmp_path), "host": "0.0.0.0"}

    assert resolve(None, flags, {}).config.tokens == str(tmp_path / "token")


# -- what others set -----------------------------------------------------------------------------

KUBERNETES = {
    "AGENTD_SERVICE_HOST": "10.0.0.1",
    "AGENTD_SERVICE_PORT": "7331",
    "AGENTD_SERVICE_PORT_GAMES": "7331",
    "AGENTD_PORT": "tcp://10.0.0.1:7331",
    "AGENTD_PORT_7331_TCP": "tcp://10.0.0.1:7331",
    "AGENTD_PORT_7331_TCP_PROTO": "tcp",
    "AGENTD_PORT_7331_TCP_PORT": "7331",
    "AGENTD_PORT_7331_TCP_ADDR": "10.0.0.1",
    "AGENTD_HTTP_PORT": "tcp://10.0.0.2:7332",  # of a service agentd-http
    "AGENTD_HTTP_SERVICE_HOST": "10.0.0.2",
}


def test_what_kubernetes_sets_for_a_service_is_passed_over(
    caplog: pytest.LogCaptureFixture,
) -> None:
    config = resolve(environ=KUBERNETES | {"AGENTD_LIMITS__WINDOW": "3"}).config

    assert (config.port, config.http_port, config.limits.window) == (7331, 7332, 3)
    assert len(caplog.records) == 1
    assert all(name in caplog.text for name in KUBERNETES)


@pytest.mark.parametrize("name", ["AGENTD_PORT", "AGENTD_SERVICE", "AGENTD_HTTP_PORT"])
def test_what_only_looks_like_it_is_refused_as_ever(name: str) -> None:
    with pytest.raises(ConfigError, match=name):
        resolve(environ={name: "seven"})


@pytest.mark.parametrize("source", ["file", "environment", "flag"])
def test_home_is_meant_wherever_a_path_is_read(
    write: Write, monkeypatch: pytest.MonkeyPatch, source: str
) -> None:
    monkeypatch.setenv("HOME", "/home/me")
    keys = {"data_dir": "~/data", "unix": "~/a.sock", "tokens": "~/tokens"}
    match source:
        case "file":
            path = write("".join(f"{key}: {value}\n" for key, value in keys.items()))
            config = resolve(path).config
        case "environment":
            config = resolve(environ={f"AGENTD_{k.upper()}": v for k, v in keys.items()}).config
        case "flag":
            config = resolve(overrides=keys).config

    assert (config.data_dir, config.unix) == ("/home/me/data", "/home/me/a.sock")
    assert config.tokens == "/home/me/tokens"
    assert default_data_dir({"XDG_DATA_HOME": "~/x"}) == Path("/home/me/x/agentd")


def test_the_template_names_the_words_that_a_value_may_be() -> None:
    text = render_template()
    assert "  learner: dqn  # one of dqn, pqn, stream_q, supervised, none\n" in text
    assert "mode: live  # one of live, free, paced\n" in text


# -- a door for games without tokens ---------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "why"),
    [
        ("godot: {host: 0.0.0.0}\n", "it is open to other machines"),
        ("tokens: t.txt\ngodot: {}\n", "others must show one"),
        ("godot: {prefix: Big}\n", "how names of agents begin"),
        ("godot: {port: 70000}\n", "65535"),
    ],
)
def test_games_without_tokens_come_in_only_where_that_is_wanted(
    write: Write, text: str, why: str
) -> None:
    with pytest.raises(ConfigError, match=why):
        resolve(write(text))


def test_games_without_tokens_may_be_let_in(write: Write) -> None:
    path = write("tokens: t.txt\ngodot: {host: 0.0.0.0, open: true, prefix: field.}\n")
    assert resolve(path).config.godot is not None
    assert resolve(write("godot: {}\n")).config.godot is not None
    assert resolve(write("port: 0\n")).config.godot is None
