"""Facts about models: prices and context windows."""
