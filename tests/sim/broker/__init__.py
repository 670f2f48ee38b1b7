"""A model of Kafka: what is true of each partition, the brokers with their faults, and librdkafka as the node uses it.

log.py         one partition: records, transactions, leader epochs, truncation, compaction; and all that was readable
cluster.py     topics, who reaches and may read what, and a producer that is none of ours
librdkafka.py  Consumer and AdminClient, as far as the node's own code uses them
threads.py     Kafka's threads of one node, at the seam of node/kafka/events.py
"""
