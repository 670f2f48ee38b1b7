"""Clients: the shipped Python SDK's session, an application on top, and the line to a worker. They judge nothing."""
