"""What a node and its workers say to each other: all of gateway/ that node/ may import."""
