"""The exit code of a command that runs inside a test."""


def exit_code(main, arguments):
    """What `main` returns or leaves with; 0 where it returns nothing."""
    try:
        return main(arguments) or 0
    except SystemExit as stopped:
        return stopped.code
