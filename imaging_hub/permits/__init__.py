"""Access control: accounts, projects, permits, and the one function that decides."""
