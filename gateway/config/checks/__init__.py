"""Checks of a draft, by what they look after: references, reach, sense and safety."""
