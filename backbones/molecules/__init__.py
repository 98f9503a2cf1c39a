"""Networks of molecules."""
