"""Taking a migration back: its memories are forgotten and proven gone, and nothing else is touched."""
