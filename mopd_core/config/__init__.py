"""The run's config: typed sections, composed with the options of whatever plugins are installed."""
