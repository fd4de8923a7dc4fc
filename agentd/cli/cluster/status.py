"""``agentd cluster status``."""

from dataclasses import replace

from agentd import __version__
from agentd.cli.cluster.options import RayFlags
from agentd.cli.screen.options import JsonScreen


def status(screen: JsonScreen, cluster: RayFlags) -> None:
    """List the nodes of a Ray cluster: CPUs, memory, versions; fail where they differ from here.

    Without --ray it is the cluster that this machine is part of.
    """
    flags = replace(cluster, ray=cluster.ray or "auto")
    with flags.connect(screen) as found:
        nodes = found.nodes()
        record = {
            "address": found.address,
            "agentd": __version__,
            "nodes": [
                {"id": node.id, "host": node.host, "resources": node.resources, **node.facts}
                for node in nodes
            ],
        }
    lines = [f"{'node':<26} {'CPUs':>5} {'memory':>9}  {'agentd':<9} {'python':<8} nice token"]
    for node in nodes:
        gib = node.resources.get("memory", 0.0) / 2**30
        facts = node.facts
        lines.append(
            f"{node!s:<26} {node.cpus:>5g} {gib:>5.1f} GiB  {facts['agentd']:<9} "
            f"{facts['python']:<8} {facts['nice']:>4} {'yes' if facts['token'] else 'no'}"
        )
    screen.report(record, "\n".join(lines))
