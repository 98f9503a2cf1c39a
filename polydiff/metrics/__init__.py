"""Numbers that judges use. They know no model and no domain."""
