"""What a run leaves behind: its folder, its trackers, and what its terminal shows. A new tracker is a module here."""
