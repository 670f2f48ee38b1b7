"""Loads of the shapes that others of this market publish, with resume on, each beside a floor of the same run."""
