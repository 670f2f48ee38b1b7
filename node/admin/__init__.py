"""The listener for those who run a node."""
