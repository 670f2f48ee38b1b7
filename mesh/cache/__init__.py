"""The recent entries of every log, and how a peer gets them."""
