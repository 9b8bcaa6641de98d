"""The tests of ai8x; `tests.support` holds what several of them share."""
