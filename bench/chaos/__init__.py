"""What a fleet bears: scenarios against real processes, each judged by figures. Read next: __main__.py, the command."""
