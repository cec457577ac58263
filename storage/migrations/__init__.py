"""How the schema came to be: forward only, each revision in one transaction."""
