"""Clients and what they may do: cores without sockets."""
