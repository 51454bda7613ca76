"""The dialects that clients speak, and the canonical form of what they say."""
