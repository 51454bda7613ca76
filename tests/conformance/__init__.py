"""What others say of the gateway: both majors of OpenAI's SDK, and that SDK's own tests. Read next: checks.py."""
