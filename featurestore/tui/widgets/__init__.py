"""What the places are made of: tables, pages and bars. None of it knows what a feature is."""
