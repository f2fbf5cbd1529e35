"""One function a public format: reads it into the columns that `prepare` understands."""
