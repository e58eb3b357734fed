"""The recap of a year or a month: its numbers, its page, and its cards as pictures."""
