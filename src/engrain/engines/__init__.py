"""What runs models. Importing this loads none of it."""

from pathlib import Path

SPROUT = Path(__file__).parent / "sprout"
"""The small model that ships; any other decoder-only Hugging Face folder works in its place."""
