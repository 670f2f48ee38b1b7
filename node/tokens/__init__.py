"""What a node does for its workers' authorizer: keys of issuers."""
