"""Plain HTTP on the clients' port."""
