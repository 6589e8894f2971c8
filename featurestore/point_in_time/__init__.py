"""The point-in-time join: how a label meets its value."""
