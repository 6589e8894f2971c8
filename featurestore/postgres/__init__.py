"""PostgreSQL servers: their address, a connection over ADBC, and their errors in our words. For sources and stores."""
