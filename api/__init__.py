"""The HTTP surface: ingest, reads, SQL, the web page."""
