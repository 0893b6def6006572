"""Speed against the alternatives; each script prints a table and writes JSON. Not tests."""
