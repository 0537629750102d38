"""Speed, measured side by side against what people use today: ``make bench``."""
