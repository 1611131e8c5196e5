"""The scheduler: decides which task runs where and when. Does no I/O."""
