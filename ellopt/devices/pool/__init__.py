"""Who may use which device when."""
