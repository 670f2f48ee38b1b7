"""Bytes and sockets of one client."""
