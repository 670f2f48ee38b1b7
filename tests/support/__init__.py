"""What tests share: optional tools, a real Kafka, an independent reader of topics, free ports."""
