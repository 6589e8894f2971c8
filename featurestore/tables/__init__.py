"""Reading and writing tables in files."""
