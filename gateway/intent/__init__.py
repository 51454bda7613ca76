"""What is this request? Features and signals, read off a call."""
