"""The torture of money: ``make money``. Read next: __main__.py, which runs it."""
