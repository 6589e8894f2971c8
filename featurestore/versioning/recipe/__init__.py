"""From the code a feature reaches to its hash: recipe 1."""
