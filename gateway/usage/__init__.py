"""Usage: what was asked and what it cost, summed up by day and by whom. Read next: tally.py."""
