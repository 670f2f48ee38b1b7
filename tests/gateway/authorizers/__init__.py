"""Tests of the authorizers that are built in."""
