"""Pure code: operations, rows, their merge, and the ports. Imports no client library."""
