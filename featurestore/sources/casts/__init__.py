"""Columns to the types of the store, exactly or not at all: nothing is rounded or guessed at."""
