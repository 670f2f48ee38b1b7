"""That the two Kafkas of the tests behave as the tests believe."""
