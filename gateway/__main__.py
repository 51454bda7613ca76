"""``python -m gateway``: the same as ``signalbox``. Read next: cli.py."""

from __future__ import annotations

import sys

from gateway.cli import main

if __name__ == "__main__":
    sys.exit(main())
