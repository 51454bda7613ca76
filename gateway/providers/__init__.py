"""What providers speak: few protocols (code), many providers (rows)."""
