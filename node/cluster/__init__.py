"""The shell between the node's core and other nodes."""
