"""Who reads which Kafka log, and what the others get of it."""
