"""Widgets: each a Python class beside the TypeScript that draws it."""
