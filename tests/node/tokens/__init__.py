"""Tests of what a node does for its workers' authorizer."""
