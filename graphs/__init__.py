"""Events to graphs: windows, nodes, edges."""
