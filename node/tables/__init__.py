"""Compacted topics as tables: the latest value of every key, kept on the node's disk and read back from Kafka."""
