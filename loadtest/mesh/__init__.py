"""Measurements of parts of the mesh by themselves."""
