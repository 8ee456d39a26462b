"""The four roles as one program: the standalone server and the command line."""
