"""The example page's agent balances the pole without a daemon."""

import json
import shutil
import subprocess
from pathlib import Path

import pytest

PAGE = Path(__file__).parents[3] / "docs" / "examples" / "cartpole"
SCRIPT = """
import { CartPole } from "%(page)s/game.mjs";
import { Policy } from "%(page)s/policy.mjs";
let seed = 7;
const random = () => (seed = (seed * 48271) %% 2147483647) / 2147483647;
const [game, policy, lengths] = [new CartPole(random), new Policy(), []];
let [actions, begun] = [0, process.hrtime.bigint()];
for (let i = 0; i < 30; i++) {
  game.reset();
  policy.reset();
  while (!game.step(policy.act(game.state))) actions++;
  lengths.push(game.steps);
}
const took = Number(process.hrtime.bigint() - begun) / 1e3 / actions;
console.log(JSON.stringify([lengths, took]));
"""


@pytest.mark.skipif(shutil.which("node") is None, reason="node is not installed")
def test_the_exported_agent_balances_in_node(tmp_path: Path) -> None:
    (tmp_path / "main.mjs").write_text(SCRIPT % {"page": PAGE.as_posix()})
    done = subprocess.run(
        ["node", str(tmp_path / "main.mjs")], capture_output=True, text=True, check=True
    )
    lengths, microseconds = json.loads(done.stdout)
    print(f"mean length {sum(lengths) / len(lengths)}, {microseconds:.1f} µs an action")
    assert sum(lengths) / len(lengths) >= 475


def test_the_page_asks_no_other_host() -> None:
    text = "".join(path.read_text() for path in PAGE.iterdir())
    assert "fetch(" not in text
    assert "http" not in text.replace("http.server", "")
