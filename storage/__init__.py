"""What we keep: tables, migrations, event segments, the promised views."""
