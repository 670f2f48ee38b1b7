"""Auditors."""
