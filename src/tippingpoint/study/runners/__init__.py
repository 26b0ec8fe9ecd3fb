"""What places cells on machines. The store alone decides what is done; a runner only places work."""
