"""The database: connections, tables, and how its schema comes from one version to the next."""
