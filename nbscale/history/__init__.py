"""What runs have done, and what can be told of it: pure, from what engines noted."""
