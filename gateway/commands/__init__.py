"""What commands do that do not serve. Read next: admin.py, whom keys and usage ask; dry_run.py; ../cli.py."""
