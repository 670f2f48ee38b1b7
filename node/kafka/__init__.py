"""Kafka as a node meets it: reading, publishing, and the embedded one of the demo."""
