"""The way to providers: transports, and the one loop that drives an attempt."""
