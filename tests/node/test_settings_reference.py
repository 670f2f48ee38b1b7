"""REFERENCE.md says what the schema says."""

from node.settings.keys import KEYS, LISTS, SECTIONS
from node.settings.reference import PAGE, descriptions, markdown


def test_the_reference_is_what_the_schema_says() -> None:
    assert PAGE.read_text() == markdown(PAGE.read_text()), "run: python -m node.settings.reference"


def test_every_key_is_described_in_the_reference() -> None:
    text = PAGE.read_text()
    for section, struct in (SECTIONS | LISTS).items():
        described = descriptions(struct)
        for key in (key for key in KEYS.values() if key.section == section):
            assert described[key.attribute].endswith("."), key.path
            assert described[key.attribute] in text
