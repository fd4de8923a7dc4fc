"""``python -m agentd`` is the ``agentd`` command."""

import os
import sys

if not sys.flags.safe_path and sys.path and sys.path[0] == os.getcwd():
    del sys.path[0]  # a game's own numpy.py or queue.py there is never taken for ours

from agentd.cli import main

if __name__ == "__main__":
    sys.exit(main())
