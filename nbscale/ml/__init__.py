"""Machine learning on the pool. Nothing is imported before it is used."""
