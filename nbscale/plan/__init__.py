"""The plan: from expressions to stages. Pure: no clock, no thread, no file."""
