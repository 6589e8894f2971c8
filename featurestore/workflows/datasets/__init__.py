"""Data sets: joined tables that can be made again."""
