"""placeholder"""
from __future__ import annotations
from typing import Any
class KafkaSide(Any): ...  # type: ignore
