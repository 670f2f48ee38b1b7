"""The demo: an embedded Kafka, live data and a cluster of three nodes, started by one command."""
