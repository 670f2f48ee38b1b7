"""Mesh logs: voted epochs, replication and forwarding of every slot."""
