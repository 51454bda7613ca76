"""The reliability behaviours, each with its figure: ``make figures``. Read next: figure.py, then any of the others."""
