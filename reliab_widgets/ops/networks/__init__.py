"""Networks changed as wholes: untrained, trained further, with gates or ranges of their own."""
