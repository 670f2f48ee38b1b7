"""The logs of a node: the slots' and Kafka's."""
