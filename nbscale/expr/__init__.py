"""Expressions: what is meant, as immutable, interned records."""
