"""Records in, scores out; then calibrated and judged."""
