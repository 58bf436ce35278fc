"""Principles as others write them: one file a family of formats, each with a recogniser and a reader."""
