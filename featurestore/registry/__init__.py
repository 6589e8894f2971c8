"""What the project holds: features as declared, versions as stored, which of them is active."""
