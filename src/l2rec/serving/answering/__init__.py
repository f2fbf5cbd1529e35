"""The desk that answers, and the release that stands behind it."""
