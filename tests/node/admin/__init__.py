"""The admin listener, its decisions and its answers."""
