"""The same faults for every pool: who survives what."""
