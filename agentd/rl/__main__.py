"""``python -m agentd.rl`` is a game process, as ``GameProcess`` starts it."""

import sys

from agentd.rl.player import main

if __name__ == "__main__":
    sys.exit(main())
