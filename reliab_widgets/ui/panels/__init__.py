"""Parts of widgets that several of them have."""
