"""The configuration: YAML, validated, made into an immutable World."""
