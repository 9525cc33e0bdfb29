"""Pure: operations, rows, their merge, and the ports. Imports no library of the outside."""
