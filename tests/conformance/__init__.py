"""What others say of the gateway: OpenAI's SDK in both majors, its own tests, and a provider. Read next: checks.py."""
