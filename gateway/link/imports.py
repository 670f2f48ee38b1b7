"""Finds what a configuration names as `module:attribute`.

Not here: what it must be (gateway/sessions/loading.py, node/kafka/tokens.py).
"""

from __future__ import annotations

import sys
from importlib import import_module
from typing import Any


def imported(reference: str, folder: str = "") -> Any:
    """What the module has under this name; None if nothing.

    Args:
        folder: Where a module is looked for besides Python's own path, after it.

    Raises:
        Exception: Whatever importing the module raises.
    """
    if folder and folder not in sys.path:
        sys.path.append(folder)
    module, _, attribute = reference.partition(":")
    return getattr(import_module(module), attribute, None)
