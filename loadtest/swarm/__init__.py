"""Load from Locust users: each is a client of the SDK's session on gevent, and checks all that it gets."""
