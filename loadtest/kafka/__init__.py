"""A real Kafka for tests and measurements."""
