"""Subscriptions on their way to live."""
