"""Results as Markdown, for a pull request or a page. Plain text: nothing here needs Rich."""
