"""What was never seen before, weighed by how rarely anything new appears."""
