"""Where values live while a run needs them, and how large they are."""
