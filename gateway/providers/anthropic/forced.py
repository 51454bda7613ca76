"""An answer of a schema where the model has no words for one: a tool that it must call, whose input is the answer.

Read next: request.py, which forces it; said.py, which turns its input into text.
"""

from __future__ import annotations

from typing import Final

__all__ = ["ANSWER", "WHY"]

#: The tool's name. It is ours: no client's tool is called so.
ANSWER: Final = "signalbox_answer"
WHY: Final = "Give the final answer to the user. Its input is the answer itself."
