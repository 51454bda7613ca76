"""What replicas share, as verbs of the domain."""
