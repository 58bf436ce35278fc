"""The world of the core's tests, and its command line, for the tests of this folder."""

from core_fixtures import cli, quick  # noqa: F401  (fixtures)
