"""The ``signalbox`` command."""

from __future__ import annotations

import sys

from gateway import __version__


def main() -> int:
    """Run the command line; the exit status is 0 for success and 2 for a wrong call."""
    if sys.argv[1:] == ["--version"]:
        print(f"signalbox {__version__}")
        return 0
    print("usage: signalbox --version", file=sys.stderr)
    return 2
