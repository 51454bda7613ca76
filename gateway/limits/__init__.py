"""How much callers may ask for: requests and tokens a minute, and requests at once."""
