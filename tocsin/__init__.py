"""The words everything else is written in: records, findings, state files, errors."""
