"""What processes run on: nodes with their disks and clocks, workers, and the link between them. They decide nothing."""
