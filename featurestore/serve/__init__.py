"""The HTTP server: routes that call workflows and answer with the documents of ``render/json``."""
