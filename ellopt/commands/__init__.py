"""The commands of the command line, one module a group. Together with ``ellopt.cli`` the only code that prints."""
