"""Running the project's code, and old versions from their files alone."""
