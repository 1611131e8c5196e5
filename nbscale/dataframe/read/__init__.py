"""Reading files in pieces: which files, where to cut, what is in them, one piece parsed."""
