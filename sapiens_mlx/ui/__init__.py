"""The page: one file a tab, and what the tabs share. Nothing below imports from here."""
