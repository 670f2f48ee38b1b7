"""Tests: one folder per room, `support/` with what they share (README "Tests")."""
