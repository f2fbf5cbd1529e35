"""What a person looks at in a browser: explorer, newcomer, runs and service, as pages that the server renders."""

from l2rec.serving.pages.site import install

__all__ = ["install"]
