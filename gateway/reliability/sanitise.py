"""What may be repeated of a provider's words: no keys, tokens or organisation ids, and not too many of them.

Read next: failures.py, which lets nothing through that has not been here.
"""

from __future__ import annotations

import re
from typing import Final

__all__ = ["MAX_MESSAGE", "sanitise"]

#: Characters that are kept of a message.
MAX_MESSAGE: Final = 500

REDACTED: Final = "[redacted]"
SECRET: Final = re.compile(
    r"""
      \beyJ[\w-]{6,}(?:\.[\w-]*){1,4}                                  # JWT, JWE
    | \b(?:sk|pk|rk|gw|gsk|xai|hf|r8|nvapi|pplx|csk|fw|tgp|glpat|ghp|gho|github_pat|pat|ak|api|key)[-_]
      (?=[\w*.-]*[\d*A-Z])[\w*.-]{6,}                                  # keys that wear a prefix, masked ones too
    | \bsk-[\w*.-]*                                                    # OpenAI's, even a stump of one
    | \bAIza[\w-]{10,} | \bya29\.[\w.-]{10,}                           # Google
    | \b(?:AKIA|ASIA)[A-Z0-9]{12,}                                     # AWS
    | \b(?:org|proj|user|acct)[-_](?=[\w-]*[\dA-Z])[\w-]{6,}           # whose account it is
    | (?<=://)[^\s/@:]+:[^\s/@]+(?=@)                                  # a password in an address
    | \b(?=[A-Za-z]*\d)(?=\d*[A-Za-z])[A-Za-z0-9]{32,}\b               # anything long and shapeless
    """,
    re.VERBOSE,
)
NAMED: Final = re.compile(
    r"(?i)(\b(?:bearer|basic)\s+|\b(?:api[ _-]?key|access[ _-]?token|secret|password|authorization|key)"
    r"(?:\s+provided)?[\"']?\s*[:=]\s*(?:bearer\s+)?[\"'<]?)(?!\[redacted)[^\s\"',;>]{3,}"
)
CONTROL: Final = re.compile(r"[\x00-\x1f\x7f\u2028\u2029\ud800-\udfff]+")


def sanitise(message: str) -> str:
    """The message in one line, at most MAX_MESSAGE characters, with everything that may be a secret taken out."""
    text = CONTROL.sub(" ", message[: 8 * MAX_MESSAGE])
    text = NAMED.sub(rf"\1{REDACTED}", SECRET.sub(REDACTED, text)).strip()
    return text if len(text) <= MAX_MESSAGE else text[: MAX_MESSAGE - 1] + "…"
