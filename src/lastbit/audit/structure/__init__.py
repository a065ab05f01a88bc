"""What runtimes make of a graph, matched with the normal form."""
