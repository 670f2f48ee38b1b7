"""The demo: an embedded Kafka, live data and a node, started by one command."""
