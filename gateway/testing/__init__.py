"""For users' tests too: simulated providers and a hand-wound clock."""
