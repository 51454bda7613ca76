"""Why a connection failed, in words for people.

Read next: pool.py and over_httpx2.py, which say it in their errors.
"""

from __future__ import annotations

import os
import socket
import ssl

__all__ = ["cause", "root"]


def cause(error: BaseException) -> str:
    """What went wrong, in words that are neither a stack nor a number alone."""
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"its certificate was refused: {error.verify_message}"
    if isinstance(error, ssl.SSLError):
        return f"TLS failed: {error.reason or error}"
    if isinstance(error, socket.gaierror):
        return f"its name was not found: {error.strerror}"
    if isinstance(error, OSError):
        return f"not connected: {os.strerror(error.errno).lower() if error.errno else error or type(error).__name__}"
    return f"not connected: {error or type(error).__name__}"


def root(error: BaseException) -> BaseException:
    """The deepest error of the operating system or of TLS under this one; itself when there is none."""
    found = error
    under: BaseException | None = error
    while under is not None:
        if isinstance(under, OSError):
            found = under
        under = under.exceptions[0] if isinstance(under, BaseExceptionGroup) else under.__cause__ or under.__context__
    return found
