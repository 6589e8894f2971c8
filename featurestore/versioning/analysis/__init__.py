"""What a feature's code reaches: syntax trees, scopes and names of the project. Knows nothing of hashes."""
