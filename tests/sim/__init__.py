"""A whole cluster with its clients in one process, driven by one integer: what breaks here breaks again from its seed.

    swarm.py      what a seed means: which faults, how bad a network, how many nodes; then one run of it
    schedule.py   time, and what happens next
    network.py    packets as bytes: delayed, lost, doubled, reordered, cut off
    disk.py       promises that survive, unless the disk is lost
    process.py    the cores of one node, wired as node/cluster/cluster.py wires them; members.py: who it thinks is alive
    machine.py    what a process runs on: it crashes, pauses, has a clock of its own
    cluster.py    all machines and clients
    faults.py     what is done to them
    clients.py    publishers that retry, subscribers that resume
    kafka.py      a model of Kafka, and the feeds that read it
    truth.py      the oracle: what may and must be, worked out beside the cluster; readers.py: of one subscriber
    watch.py      looks at the nodes after every turn and tells the oracle
    variants.py   broken nodes that the oracle must find
    report.py     how often every fault and every path of recovery was taken

(TigerBeetle's VOPR is the model: a safety phase in which anything may fail and nothing wrong may happen, then a
liveness phase in which a part is healed and must get well by itself.)
"""
