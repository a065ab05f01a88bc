"""One module a group of commands: each parses, calls the library and returns a `Result`."""
