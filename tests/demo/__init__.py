"""The demo's flights and their producer."""
