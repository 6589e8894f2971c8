"""The five places, a module each."""
