"""What a node costs as clients become many, what nodes cost as they become many, and what follows for more of both."""
