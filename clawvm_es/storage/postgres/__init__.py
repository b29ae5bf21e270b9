"""A journal in a PostgreSQL database, for writers on many machines."""
