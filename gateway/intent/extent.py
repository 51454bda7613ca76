"""How many tokens of input a request can come to at most: its bytes, what its media may hold, what providers add.

Read next: features.py, which asks; ../budgets/bound.py, which makes money of it.

No token is shorter than a byte of the text that it stands for, so bytes bound text in every family, and the JSON around
a message is longer than what a chat template puts in its place. A medium is bounded by what its kind comes to at worst.

Sources, read 2026-11: OpenAI "Images and vision" (gpt-4o-mini: 2,833 tokens and 5,667 for each of up to 8 tiles) and
"File inputs" (of each page text and a picture); Anthropic "Vision", "PDF support" (1,500 to 3,000 tokens a page, and
its picture), "Tool use" (159 to 804 tokens for tools at all) and "Computer use" (466 to 735 and more for a tool);
Google "Understand and count tokens" (sound 32 tokens a second, video 263); Mistral's Voxtral (12.5 a second, counted in
pieces of 30 seconds).
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from typing import Any, Final

from msgspec import Struct

from gateway.types import LARGEST_IMAGE

__all__ = ["BEFORE", "Media", "added"]

#: What a request comes to before anything is said: templates, dates and rules that a provider puts before it, as Grok's
#: 680 tokens.
BEFORE: Final = 1_024
#: For tools at all, and for each that the provider has defined itself, whose description nobody sees.
TOOLS: Final = 2_048
DEFINED: Final = 2_048
#: For what providers fetch while they answer, such as pages of the web. Nothing in a request bounds that, so that this
#: is no proof but a figure: of a dozen searches in one answer of Claude's, each adds what it found to all after it.
FETCHED: Final = 500_000
#: A medium whose extent nobody knows before it is fetched: as much as the largest windows hold.
ANYTHING: Final = 1_000_000
#: Characters of base64 for one token: of compressed sound at 500 bytes a second, sound as it is, and video.
SOUND: Final = 20
PLAIN_SOUND: Final = 160
VIDEO: Final = 4
#: Sound is counted in pieces that are filled up.
PIECE: Final = 1_000
#: Characters of base64 in which a document has a page at least, what a page comes to, and pages that are read at most.
PAGE: Final = 1_024
PAGE_TOKENS: Final = 3_000
PAGES: Final = 1_000
#: Compressed text of a document is at most so many tokens for each character of base64.
TEXT: Final = 2

UNCOMPRESSED: Final = frozenset({"wav", "pcm16", "aiff"})
#: Tools that Anthropic has defined and the client runs.
OF_CLIENTS: Final = ("bash_", "text_editor_", "computer_", "memory_")


class Media(Struct, eq=False):
    """All media of a request: the ``tokens`` that they are at most, less the bytes of the request that they take.

    ``sound`` and ``loose`` are tokens among them: of sound, and of what only a model's window bounds.
    """

    tokens: int = 0
    sound: int = 0
    loose: int = 0
    pictures: int = 0

    def take(self, part: Mapping[str, Any], need: str) -> None:
        """One more: a part that is no text; ``need`` is what it takes of a model."""
        inner = part.get(part["type"])
        data = _data(inner)
        size = len(data)
        if need == "vision" and data[:11] != "data:applic":
            self.tokens += LARGEST_IMAGE - size
            self.pictures += 1
        elif (
            size == 0
            or data[:4].lower() == "http"
            or _is_named(inner)
            or need not in ("audio", "video", "documents", "vision")
        ):
            # A provider's own block, too, may name what only the provider has.
            self._loose(need, ANYTHING, 0)
        elif need == "audio":
            plain = type(inner) is dict and inner.get("format") in UNCOMPRESSED
            sound = size // (PLAIN_SOUND if plain else SOUND) + PIECE
            self.tokens += sound - size
            self.sound += sound
        elif need == "video":
            self._loose(need, size // VIDEO + PIECE, size)
        elif not data.startswith("data:text/"):
            self._loose(need, TEXT * size + PAGE_TOKENS * min(1 + size // PAGE, PAGES), size)

    def name_something(self) -> None:
        """What only the provider has, such as contents that Google keeps."""
        self._loose("", ANYTHING, 0)

    def _loose(self, need: str, tokens: int, size: int) -> None:
        self.tokens += tokens - size
        self.loose += tokens
        if need in ("audio", "video"):
            self.sound += tokens


def added(needs: Set[str], tools: Sequence[Mapping[str, Any]]) -> int:
    """Tokens that providers add to a request that says this of tools."""
    defined = [kind for tool in tools if type(kind := tool.get("type")) is str and kind not in ("function", "custom")]
    fetches = "web_search" in needs or "server_tools:google" in needs
    fetches = fetches or any(not kind.startswith(OF_CLIENTS) for kind in defined)
    return (TOOLS if tools or "tools" in needs else 0) + DEFINED * len(defined) + (FETCHED if fetches else 0)


def _is_named(inner: Any) -> bool:
    """Whether a file is at the provider already."""
    return type(inner) is dict and inner.get("file_id") is not None


def _data(inner: Any) -> str:
    """The longest text of a part is its data or its address."""
    if type(inner) is dict:
        return max([value for value in inner.values() if type(value) is str], key=len, default="")
    return inner if type(inner) is str else ""
