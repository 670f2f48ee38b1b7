"""REFERENCE.md says what the schema says."""

from pathlib import Path

import node.settings
from node.settings.keys import KEYS, LISTS
from node.settings.reference import markdown


def test_the_reference_is_what_the_schema_says() -> None:
    path = Path(node.settings.__file__).parent / "REFERENCE.md"
    assert path.read_text() == markdown(), "run: python -m node.settings.reference > node/settings/REFERENCE.md"


def test_the_reference_has_every_key() -> None:
    text = markdown()
    for key in [*KEYS.values(), *LISTS["topics"].values(), *LISTS["namespaces"].values()]:
        assert key.description in text
        assert f"| `{'…' if key.kind == 'rest' else key.name}` |" in text
