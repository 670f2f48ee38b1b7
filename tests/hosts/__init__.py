"""Deployment onto real Debian hosts with real systemd: what `ansible/` does there, and what it refuses to do."""
