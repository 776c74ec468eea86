"""Pictures made from results, one file an edit: each is a Result itself, so that it is drawn and saved as they are."""
