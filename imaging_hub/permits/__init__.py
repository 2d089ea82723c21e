"""Who may do what: accounts, projects, permits, and the one function that decides."""
