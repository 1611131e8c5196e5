"""Contracts that engines, stores and operations must pass. Shipped, so that others can use them."""
