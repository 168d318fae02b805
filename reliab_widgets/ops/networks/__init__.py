"""Networks changed as wholes: trained further."""
