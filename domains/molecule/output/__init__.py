"""Molecules as drawings in HTML, with the script that turns them, and as files."""
