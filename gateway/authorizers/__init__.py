"""The authorizers that are built in."""
