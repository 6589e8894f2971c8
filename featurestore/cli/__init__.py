"""The command line. Parses, opens the project, calls one workflow, hands its result to a renderer."""
