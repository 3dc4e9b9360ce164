"""The commands: they read the command line, call the library, and print."""
