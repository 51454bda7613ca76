"""Budgets: accounts, reservations and what they bound. Read next: book.py."""
