"""How good the scores are: metrics of detectors and parsers on labelled data."""
