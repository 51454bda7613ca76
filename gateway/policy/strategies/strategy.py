"""What every strategy is: a frozen model whose fields are its YAML, its schema and its documentation.

Read next: ordered.py, the simplest; cost.py, the usual one.
"""

from __future__ import annotations

from typing import ClassVar

from pydantic import BaseModel, ConfigDict

__all__ = ["Parameters"]


class Parameters(BaseModel):
    """The parameters of a strategy. Subclasses say their ``name``, their routing ``reason`` and ``score``.

    ``weighs``: it looks at how busy deployments are. ``two_choices``: of the pool two are drawn, and the better of
    them comes first: many gateways that all sent to the best would together make it the worst (Mitzenmacher 2001).
    """

    model_config = ConfigDict(frozen=True, extra="forbid", strict=True, allow_inf_nan=False)

    name: ClassVar[str]
    reason: ClassVar[str]
    weighs: ClassVar[bool] = False
    two_choices: ClassVar[bool] = False
