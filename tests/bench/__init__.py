"""Measurements of single parts, beside `make bench`, which measures the whole."""
