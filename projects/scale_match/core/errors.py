"""The one exception type for input that a user can put right."""

__all__ = ["InputError"]


class InputError(ValueError):
    """Input from outside (a file, an annotation, an option) breaks a rule.

    The message is one sentence for the user: it names the file, the image or annotation id where
    there is one, the rule, and the received value. Tools print it and exit with code 2.
    """
