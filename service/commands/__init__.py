"""One file a command: what it is called with, what it prints, its exit status. The work is done elsewhere."""
