"""``python -m agentd.rl TASK`` is a game client, as ``GamePlayer`` starts it."""

import sys

from agentd.rl.player import main

if __name__ == "__main__":
    sys.exit(main(sys.argv[1]))
