"""placeholder"""
from __future__ import annotations
from typing import Any
VARIANTS: dict[str, Any] = {}
def seeds_to_catch(variant: Any, first: int, most: int) -> tuple[int, str]: ...  # type: ignore
