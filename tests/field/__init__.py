"""Situations of Kafka, networks and clients as they are in the world: a file for each kind, a sentence for each."""
