"""How an exported policy is fed, in words for people."""

from agentd.export.graph import PolicyGraph


def feed_lines(policy: PolicyGraph) -> list[str]:
    """Return lines that tell what goes in and what comes out."""
    lines = ["A row holds the numbers of these tensors, one after the other, in C order:"]
    for t in policy.tensors:
        sizes = " x ".join(map(str, t.shape)) or "1"
        lines.append(f"  {t.name}  {sizes} {t.dtype}, from number {t.at} on")
    lines.append("Numbers are as the agent was given them: normalisation and scaling are inside.")
    if policy.stack > 1:
        lines.append(
            f"The last {policy.stack} rows are one input: pass each row once, reset as an episode "
            "begins."
        )
    if policy.last_actions:
        lines.append(
            f"The last {policy.last_actions} actions are part of the input: what was chosen is "
            "remembered; tell it if another was played."
        )
    names = policy.facts.get("action_names")
    if policy.branches:
        sizes = " x ".join(map(str, policy.branches))
        lines.append(f"Actions: {sizes}, numbered from 0 in each branch; the first of equals wins.")
        lines.append("A mask has a byte for each action of all branches, 1 = legal.")
    if policy.numbers:
        lines.append(
            f"Actions stand for the {policy.heads} numbers that the game takes: `numbers` has them."
        )
    if names:
        lines.append("Their names: " + ", ".join(f"{i} {name}" for i, name in enumerate(names)))
    return lines
