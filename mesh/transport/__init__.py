"""ZeroMQ between the nodes."""
