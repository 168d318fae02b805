"""The generic widget and what it stands on."""
