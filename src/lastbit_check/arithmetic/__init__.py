"""Numbers: exact ones on grids, what binary32 makes of them, enclosures of real functions."""
