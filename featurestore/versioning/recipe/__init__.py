"""How the code that a feature reaches, and what it declares, become its hash: recipe 2."""
