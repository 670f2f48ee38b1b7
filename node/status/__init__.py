"""What a node tells people and monitors."""
