"""A whole cluster with Kafka and its clients in one process, driven by one integer: what breaks here breaks again from
its seed.

    model of Kafka -> NodeCore -> link -> Sessions -> lines -> Session of the SDK -> application    (cores as shipped)

    options.py     what a seed means: which faults, how bad a network, how many nodes, topics and clients
    run.py         one run: a safety phase, then a liveness phase
    world.py       all machines, clients and Kafka of a run; setting.py: what they share; schedule.py: time
    faults.py      what is done to them
    network.py     packets between nodes: delayed, lost, doubled, reordered, cut off
    broker/        the model of Kafka and of librdkafka
    machines/      what processes run on: nodes with disks and clocks, workers, the link between them
    apps/          clients: the SDK's session with an application, and the line to a worker
    checkers/      what must be, worked out beside the cluster
    controls.py    broken parts that the checkers must find
    report.py      how often every fault and every path was taken

Nothing here says how a node, a worker or a client works inside.

(TigerBeetle's VOPR is the model: a safety phase in which anything may fail and nothing wrong may happen, then a
liveness phase in which a part is healed and must get well by itself.)
"""
