"""The program: settings, composition, pipeline, commands."""
