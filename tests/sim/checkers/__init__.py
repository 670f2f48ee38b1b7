"""What must be, worked out beside the cluster from Kafka's model and from what applications were handed.

violation.py   a promise that was broken
truth.py       what each log holds: Kafka's as the model says, the cluster's own as applications were told
reader.py      one subscription of one application: everything due, once, in order, or a gap that is true and needed
publishes.py   what was acknowledged is there, once
slots.py       the cluster's own invariants: one coordinator per epoch, one item per position, W copies
"""
