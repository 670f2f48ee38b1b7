"""Auditors: loading them, their threads, and those that are built in."""
