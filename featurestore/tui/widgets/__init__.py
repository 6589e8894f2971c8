"""What the places are made of. None of it knows of features."""
