"""What is known of deployments from how they fare, kept by one process and shared with the fleet."""
