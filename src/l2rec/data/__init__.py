"""The data floor: from other people's files to item numbers, splits and batches."""
