"""The test that matters most: under load and faults, every subscriber gets exactly what is in Kafka."""
