"""What a feature's code reaches: the project's syntax trees, scopes and names."""
